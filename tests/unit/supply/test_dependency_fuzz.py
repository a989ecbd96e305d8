"""Whatever the bytes: a parser gives a result or an InputError, quickly, and what it gives can be recorded."""

import contextlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packageurl import PackageURL
from tests.unit.supply import test_conda, test_lock_files, test_pyproject

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import DependenciesPredicate, DependencyFile, DependencyProblem
from heliotrope.supply.dependencies.formats import PARSERS, parse_file
from heliotrope.supply.dependencies.installed import parse_environment
from heliotrope.supply.dependencies.judging import judge

A = "a" * 64
SEEDS: dict[str, str] = {
    "requirements": f"x==1 \\\n --hash=sha256:{A}\n-r a.txt\n-e git+https://e.org/b@main#egg=b\ny[z]>=2; os_name == 'nt' # c\n",
    "constraints": "x==1\n",
    "pylock": test_lock_files.PYLOCK,
    "uv-lock": test_lock_files.UV,
    "poetry-lock": test_lock_files.POETRY_2,
    "pdm-lock": test_lock_files.PDM,
    "pipfile-lock": json.dumps(test_lock_files.PIPFILE, indent=1),
    "conda-environment": test_conda.ENVIRONMENT,
    "conda-lock": test_conda.LOCK,
    "conda-explicit": f"@EXPLICIT\nhttps://c.org/f/linux-64/numpy-1.2-py_0.conda#{'d' * 32}\n",
    "pyproject": test_pyproject.STANDARD,
}


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """A good file with a few places changed, cut out, doubled or inserted."""
    data = bytearray(text.encode())
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(1, 30))
        kind = draw(st.sampled_from(["cut", "double", "bytes", "word"]))
        if kind == "cut":
            del data[at : at + size]
        elif kind == "double":
            data[at:at] = data[at : at + size]
        elif kind == "bytes":
            data[at:at] = draw(st.binary(min_size=1, max_size=6))
        else:
            words = [
                "{",
                "[",
                '"',
                "'",
                "\n",
                "=",
                "\x00",
                "\\",
                "://",
                "@",
                "#",
                "[[package]]",
                "3",
                "\ud7ff",
                "*&a",
                ";",
            ]
            data[at:at] = draw(st.sampled_from(words)).encode()
    return bytes(data)


def check(form: str, data: bytes) -> None:
    try:
        parsed = PARSERS[form](data)  # type: ignore[index]
    except InputError as error:
        error.message.encode()
        return
    file = DependencyFile(
        path="f",
        format=form,  # type: ignore[arg-type]
        role=parsed.role,
        sha256=None,
        packages=parsed.packages,
        indexes=parsed.indexes,
    )
    problems = tuple(DependencyProblem(path="f", reason=item.reason, line=item.line) for item in parsed.problems)
    predicate = DependenciesPredicate(files=(file,), problems=problems, python_code=True)
    json.dumps(predicate.document(), ensure_ascii=False, allow_nan=False).encode()
    for remark in judge(predicate):
        assert remark.message.isprintable()
    for package in parsed.packages:
        found = PackageURL.from_string(package.purl)
        assert (found.type, found.name) == (package.ecosystem, package.name)


@pytest.mark.parametrize("form", sorted(PARSERS))
def test_every_format_has_a_seed(form):
    assert PARSERS[form](SEEDS[form].encode()).packages


@pytest.mark.parametrize("form", sorted(PARSERS))
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_files_give_a_result_or_an_input_error(form: str, data: st.DataObject) -> None:
    check(form, data.draw(mutated(SEEDS[form])))


@pytest.mark.parametrize("form", sorted(PARSERS))
@settings(max_examples=60)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_arbitrary_bytes_give_a_result_or_an_input_error(form: str, data: bytes) -> None:
    check(form, data)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
)
WORDS = (
    "name version source url git path hash hashes files file groups extras dependencies markers index wheels sdist vcs "
    "archive directory type registry sources _meta default package packages metadata lock-version manager"
)
KEYS = st.sampled_from(WORDS.split())
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=200)
@given(entry=st.dictionaries(KEYS, TREES, max_size=6), name=st.sampled_from(["x", "y z"]))
def test_values_of_any_type_in_any_place(entry: dict[str, object], name: str) -> None:
    """JSON is YAML, and the formats share their readers of entries: types that nobody expects come in this way."""
    item = {**entry, "name": name}
    check("pipfile-lock", json.dumps({"default": {name: entry}, **({"_meta": entry} if entry else {})}).encode())
    check("conda-lock", json.dumps({"package": [item]}).encode())
    check("conda-environment", json.dumps({"dependencies": [item, name, {"pip": [name, entry]}]}).encode())
    for form, head in (("pylock", {"lock-version": "1.0"}), ("uv-lock", {"version": 1})):
        check(form, toml({**head, "packages" if form == "pylock" else "package": [item]}))
    check("poetry-lock", toml({"package": [item], "metadata": entry}))
    check("pdm-lock", toml({"package": [item], "metadata": {**entry, "lock_version": "4.4"}}))
    check(
        "pyproject",
        toml({"project": {"dependencies": [name, item]}, "tool": {"poetry": {"dependencies": {"x": entry}}}}),
    )


def toml(value: dict[str, object]) -> bytes:
    return "\n".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()).encode()


def inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(item) for item in value) + "]"
    return '"none"' if value is None else json.dumps(value).replace("\x7f", "\\u007f")


@settings(max_examples=60)
@given(
    metadata=st.one_of(st.binary(max_size=300), mutated("Name: a\nVersion: 1\nRequires-Dist: b; extra == 'c'\n\ntext")),
    direct=mutated('{"url": "https://e.org", "vcs_info": {"vcs": "git", "commit_id": "1"}}'),
)
def test_metadata_of_any_bytes(metadata: bytes, direct: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / "a-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_bytes(metadata)
        (info / "direct_url.json").write_bytes(direct)
        found = parse_environment((Path(folder),))
    assert len(found.packages) + len(found.problems) == 1
    json.dumps([item.document() for item in found.packages], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "name",
    ["requirements.txt", "uv.lock", "environment.yml", "pyproject.toml", "prod.txt", "x.yaml", "x.toml", "x.lock"],
)
@pytest.mark.parametrize("data", [b"", b"\n", b"{}", b"[]", b"@EXPLICIT", b"package: []", b"lock-version = '1.0'"])
def test_any_name_with_any_content(name, data):
    with contextlib.suppress(InputError):
        assert parse_file(name, data)[1].role in {"declares", "pins", "limits"}
