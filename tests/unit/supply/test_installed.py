"""Installed environments: read from metadata files, with real ones and with made ones."""

import hashlib
import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from heliotrope.core.errors import InputError
from heliotrope.supply.dependencies.collecting import RUNNING, environment_inputs, read_environment
from heliotrope.supply.dependencies.installed import package_folders, parse_environment


def distribution(folder: Path, name: str, metadata: str, **files: str) -> Path:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(metadata)
    for file, text in files.items():
        (info / file.replace("__", ".")).write_text(text)
    return info


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    packages.mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    distribution(
        packages,
        "Web",
        "Metadata-Version: 2.4\nName: Web\nVersion: 1.0\nLicense-Expression: mit OR apache-2.0\n"
        "Requires-Dist: click>=8\nRequires-Dist: socks; extra == 'proxy'\nRequires-Dist: old; python_version < '3'\n"
        "\nLong text\nVersion: 9\n",
        RECORD="web.py,,\n",
        REQUESTED="",
    )
    distribution(
        packages,
        "tool",
        "Name: tool\nVersion: 1.0\nClassifier: License :: OSI Approved :: BSD License\n",
        direct_url__json=json.dumps(
            {"url": "https://me:pw@e.org/tool.git", "vcs_info": {"vcs": "git", "commit_id": "0" * 40}}
        ),
    )
    (packages / "evil.py").write_text("raise SystemExit('imported')")
    (packages / "evil.pth").write_text("import evil\n")
    return tmp_path / "venv"


def test_a_virtual_environment(environment):
    file, problems = read_environment(environment, "venv")
    assert problems == []
    web, tool = file.packages[1], file.packages[0]
    assert (web.name, web.version, web.requires, web.relation) == ("web", "1.0", ("click",), "direct")
    assert (web.licence, web.licence_is_spdx) == ("MIT OR Apache-2.0", True)
    assert web.record_sha256 == hashlib.sha256(b"web.py,,\n").hexdigest()
    assert (tool.licence, tool.licence_is_spdx, tool.record_sha256) == ("BSD License", False, None)
    assert (tool.source.kind, tool.source.fixed, tool.source.address) == ("vcs", True, "https://e.org/tool.git")
    assert (file.role, file.sha256) == ("installed", None)


def test_evidence_about_an_environment_rests_on_its_metadata(environment):
    assert sorted(environment_inputs(environment)) == [
        "Web-1.0.dist-info/METADATA",
        "Web-1.0.dist-info/RECORD",
        "tool-1.0.dist-info/METADATA",
        "tool-1.0.dist-info/direct_url.json",
    ]


def test_site_packages_themselves(environment):
    assert package_folders(environment / "lib/python3.11/site-packages") == (
        environment / "lib/python3.11/site-packages",
    )


@pytest.mark.parametrize("name", ["", "lib/python3.11/site-packages/evil.py", "nothing"])
def test_what_is_no_environment_is_refused(tmp_path, environment, name):
    with pytest.raises(InputError):
        package_folders(tmp_path / name if not name else environment / name)


def test_the_running_interpreter_agrees_with_importlib():
    file, problems = read_environment(None, RUNNING)
    assert problems == []
    ours = {package.name: package for package in file.packages}
    theirs = {
        item.metadata["Name"].lower().replace("_", "-").replace(".", "-"): item.version
        for item in importlib.metadata.distributions()
    }
    assert {name: ours[name].version for name in ours} == {name: theirs[name] for name in ours}
    assert set(theirs) <= set(ours)
    assert "packaging" in ours
    assert "pydantic-core" in ours["pydantic"].requires
    assert ours["packaging"].licence


def test_nothing_is_imported(environment):
    read_environment(environment, "venv")
    assert "evil" not in sys.modules


def test_broken_metadata_are_problems(tmp_path):
    distribution(tmp_path, "a", "Name: a\nVersion: 1\n")
    distribution(tmp_path, "b", "Name: b\n")
    distribution(tmp_path, "c", "Version: 1\n")
    distribution(tmp_path, "d", "Name: d\nVersion: 1\n", direct_url__json="[")
    distribution(tmp_path, "e", "Name: e\nVersion: 1\n", direct_url__json="[]")
    (tmp_path / "f-1.dist-info").mkdir()
    (distribution(tmp_path, "g", "Name: g\nVersion: 1\n") / "METADATA").unlink()
    (tmp_path / "g-1.0.dist-info/METADATA").symlink_to("/etc/passwd")
    found = parse_environment((tmp_path,))
    assert [package.name for package in found.packages] == ["a"]
    assert len(found.problems) == 6
    assert not any(str(tmp_path) in problem.reason for problem in found.problems)
