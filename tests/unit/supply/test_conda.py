"""conda's environment files, lock files and explicit lists."""

import pytest

from heliotrope.core.errors import InputError
from heliotrope.supply.dependencies.conda import parse_conda_environment, parse_conda_explicit, parse_conda_lock

M, A = "d" * 32, "a" * 64

ENVIRONMENT = """
name: demo
channels: [conda-forge, https://me:pw@repo.example/channel]
dependencies:
  - python=3.11
  - numpy==1.26.4
  - conda-forge::scipy=1.13.1=py311h1
  - pandas>=2,<3
  - pip
  - pip:
      - -r more.txt
      - --extra-index-url https://e.org/simple
      - click==8.1
      - ???
"""


def test_environment():
    found = parse_conda_environment(ENVIRONMENT.encode())
    versions = {(item.ecosystem, item.name): item.version for item in found.packages}
    assert versions == {
        ("conda", "python"): None,
        ("conda", "numpy"): "1.26.4",
        ("conda", "scipy"): "1.13.1",
        ("conda", "pandas"): None,
        ("conda", "pip"): None,
        ("pypi", "click"): "8.1",
    }
    scipy = next(item for item in found.packages if item.name == "scipy")
    assert (scipy.source.address, scipy.line, scipy.purl) == ("conda-forge", 7, "pkg:conda/scipy@1.13.1?build=py311h1")
    assert [item.address for item in found.indexes if item.kind == "channel"] == [
        "conda-forge",
        "https://repo.example/channel",
    ]
    assert [item.path for item in found.includes] == ["more.txt"]
    assert [item.line for item in found.problems] == [14]


def test_a_yaml_file_of_another_program_names_no_dependencies():
    found = parse_conda_environment(b"gravity: 9.81\n")
    assert found.packages == ()
    assert found.remarks


LOCK = f"""
version: 1
metadata: {{}}
package:
- name: NumPy
  version: 1.26.4
  manager: conda
  platform: linux-64
  dependencies: {{python: '>=3.11', __glibc: '>=2.17'}}
  url: https://conda.anaconda.org/conda-forge/linux-64/numpy-1.26.4-py311_0.conda
  hash: {{md5: {M}, sha256: {A}}}
  category: main
- name: click
  version: '8.1'
  manager: pip
  platform: linux-64
  dependencies: {{}}
  url: https://files.pythonhosted.org/click-8.1-py3-none-any.whl
  hash: {{sha256: {A}}}
  category: dev
- name: broken
"""


def test_conda_lock():
    found = parse_conda_lock(LOCK.encode())
    numpy, click = found.packages
    assert (numpy.ecosystem, numpy.name, numpy.version, numpy.requires) == ("conda", "numpy", "1.26.4", ("python",))
    assert [item.algorithm for item in numpy.hashes] == ["md5", "sha256"]
    assert numpy.purl == "pkg:conda/numpy@1.26.4?build=py311_0&subdir=linux-64"
    assert numpy.marker == "linux-64"
    assert (click.ecosystem, click.groups, click.line) == ("pypi", ("dev",), 13)
    assert [(item.line, "name and version" in item.reason) for item in found.problems] == [(21, True)]


def test_explicit_list():
    text = (
        "# platform: linux-64\n@EXPLICIT\n"
        f"https://me:pw@conda.anaconda.org/conda-forge/linux-64/numpy-1.26.4-py311_0.conda#{M}\n"
        f"https://conda.anaconda.org/conda-forge/noarch/six-1.16.0-pyh6_0.tar.bz2#sha256:{A}\n"
        "https://conda.anaconda.org/x.html\n"
    )
    found = parse_conda_explicit(text.encode())
    numpy, six = found.packages
    assert numpy.purl == "pkg:conda/numpy@1.26.4?build=py311_0&subdir=linux-64"
    assert (numpy.hashes[0].algorithm, numpy.line) == ("md5", 3)
    assert "pw" not in repr(found)
    assert (six.name, six.version, six.hashes[0].value) == ("six", "1.16.0", A)
    assert [item.line for item in found.problems] == [5]


def test_exported_list():
    text = "# $ conda create --name <env> --file <this file>\nnumpy=1.26.4=py311_0\nclick=8.1=pypi_0\nodd\n"
    found = parse_conda_explicit(text.encode())
    assert [(item.ecosystem, item.name, item.version) for item in found.packages] == [
        ("conda", "numpy", "1.26.4"),
        ("pypi", "click", "8.1"),
    ]
    assert [item.line for item in found.problems] == [4]


ALIASES = (
    "".join(
        f"{name}: &{name} [{below}]\n"
        for name, below in zip("abcdefg", ["x", *(",".join([f"*{name}"] * 8) for name in "abcdef")], strict=True)
    )
    + "dependencies: [*g]"
)
"""Eight to the sixth."""


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "dependencies: 3",
        "dependencies: !!python/object:os.system x",
        ALIASES,
        "dependencies: [x]\ndependencies: [y]",
        "dependencies: [x]\n---\ndependencies: [y]",
        "dependencies: " + "[" * 1000,
    ],
)
def test_yaml_that_surprises_is_refused(text):
    with pytest.raises(InputError) as caught:
        parse_conda_environment(text.encode())
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("text", ["package: 1", "version: 2\npackage: []", "x: 1", ""])
def test_another_file_is_no_conda_lock(text):
    with pytest.raises(InputError):
        parse_conda_lock(text.encode())
