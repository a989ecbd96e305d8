"""`helio scan`: where files come from, what decides the exit code, and that no name can steer a terminal."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest

from heliotrope.report import json_schemas, junit_schema

OWN = b"\x80\x02cmypkg.models\nNet\n)\x81}b."
SYSTEM = b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00idtR."
CONFIG = """\
version: 1
project: p
scan:
  allow:
    - global: mypkg.models.Net
      uses: [new, build]
      reason: our own class, reviewed
      expires: {day}
"""


@pytest.fixture
def helio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, data=None, **environment):
        return subprocess.run(
            [sys.executable, "-c", "from heliotrope.cli import main; main()", *map(str, arguments)],
            input=data, capture_output=True, timeout=120, check=False, env={**os.environ, **environment},
        )  # fmt: skip

    return run


@pytest.mark.parametrize(("day", "code"), [("2099-01-01", 0), ("2020-01-01", 1)])
def test_the_decision_decides_the_exit_code_beside_the_raw_verdict(day, code, helio, tmp_path):
    (tmp_path / "own.pkl").write_bytes(OWN)
    (tmp_path / "conf.yaml").write_text(CONFIG.format(day=day))
    done = helio("scan", "own.pkl", "--config", "conf.yaml", "--format", "json")
    assert done.returncode == code, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json_schemas()["heliotrope.scan/v1"])
    assert document["verdict"] == "suspicious"
    assert document["decision"]["verdict"] == ("clean" if code == 0 else "suspicious")
    raw = json.loads(helio("scan", "own.pkl", "--format", "json").stdout)
    assert {**document, "decision": None} == raw
    table = helio("scan", "own.pkl", "--config", "conf.yaml").stdout.decode()
    assert "SUSPICIOUS" in table
    assert ("CLEAN" if code == 0 else "expired on 2020-01-01") in table
    sarif = json.loads(helio("scan", "own.pkl", "--config", "conf.yaml", "--format", "sarif").stdout)
    assert all(bool(item.get("suppressions")) is (code == 0) for item in sarif["runs"][0]["results"])


def test_a_configuration_in_what_is_scanned_allows_nothing(helio, tmp_path):
    (tmp_path / "own.pkl").write_bytes(OWN)
    (tmp_path / "heliotrope.yaml").write_text(CONFIG.format(day="2099-01-01"))
    assert helio("scan", ".").returncode == 1
    (tmp_path / "bad.yaml").write_text(CONFIG.format(day="2099-01-01").replace("mypkg.models.Net", "os.system"))
    done = helio("scan", "own.pkl", "--config", "bad.yaml")
    assert done.returncode == 2
    assert b"os.system cannot be allowed" in done.stderr


def test_standard_input_is_judged(helio):
    done = helio("scan", "-", "--format", "json", data=SYSTEM)
    assert done.returncode == 1
    assert [file["path"] for file in json.loads(done.stdout)["files"]] == ["<stdin>"]
    assert helio("scan", "-", data=b"\x80\x02N.").returncode == 0
    assert helio("scan", "-", data=b"").returncode == 3


def test_the_cache_of_the_hub_is_inspected_once_a_blob(helio, tmp_path):
    repository = tmp_path / "hf" / "hub" / "models--org--net"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "aa").write_bytes(SYSTEM)
    (repository / "blobs" / "bb").write_bytes(b"\x80\x02N.")
    for revision in ("0" * 40, "1" * 40):
        folder = repository / "snapshots" / revision
        folder.mkdir(parents=True)
        (folder / "model.bin").symlink_to("../../blobs/aa")
        (folder / "other.pkl").symlink_to("../../blobs/bb")
    (repository / "snapshots" / ("1" * 40) / "away.pkl").symlink_to("/etc/hostname")
    (tmp_path / "hf" / "hub" / "models--org--second" / "snapshots").mkdir(parents=True)
    home = {"HF_HOME": str(tmp_path / "hf")}
    done = helio("scan", "--hf-cache", "--format", "json", **home)
    assert done.returncode == 1
    found = {file["path"]: file["verdict"] for file in json.loads(done.stdout)["files"]}
    assert found == {
        "org/net@000000000000/model.bin": "malicious",
        "org/net@000000000000/other.pkl": "clean",
        f"org/net/snapshots/{'1' * 40}/away.pkl": "incomplete",
    }
    assert helio("scan", "--hf-cache", "org/second", **home).returncode == 0
    missing = helio("scan", "--hf-cache", "org/none", **home)
    assert missing.returncode == 3
    assert b"org/none is not in" in missing.stderr


@pytest.mark.parametrize("form", ["table", "json", "sarif", "junit"])
def test_no_name_steers_a_terminal(form, helio, tmp_path):
    import zipfile

    evil = "x\x1b[2J\x07\u202e\n\x7f"
    with zipfile.ZipFile(tmp_path / f"{evil}.zip", "w") as archive:
        archive.writestr(f"{evil}.pkl", b"\x80\x02cmy\x1b[31m\nf\n(tR.")
    os.rename(tmp_path / f"{evil}.zip", os.fsencode(tmp_path) + b"/\xff" + evil.encode() + b".zip")  # noqa: PTH104
    done = helio("scan", ".", "--format", form)
    assert done.returncode == 1, done.stderr
    text = done.stdout.decode("utf-8")
    assert not {char for char in text if not (char.isprintable() or char == "\n")}
    assert "\u202e" not in text
    if form in {"json", "sarif"}:
        json.loads(text)


def test_junit_has_a_case_for_each_file(helio, tmp_path):
    xmlschema = pytest.importorskip("xmlschema")
    (tmp_path / "bad.pkl").write_bytes(SYSTEM)
    (tmp_path / "good.pkl").write_bytes(b"\x80\x02N.")
    (tmp_path / "cut.pkl").write_bytes(b"\x80\x02N")
    done = helio("scan", ".", "--format", "junit")
    assert done.returncode == 1
    text = done.stdout.decode()
    xmlschema.XMLSchema(str(junit_schema())).validate(text)
    cases = {case.get("name"): [child.tag for child in case] for case in ET.fromstring(text).iter("testcase")}
    assert cases == {"bad.pkl": ["failure"], "cut.pkl": ["error"], "good.pkl": []}


def test_a_long_scan_is_kept_and_found_again(helio, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number}.pkl").write_bytes(b"\x80\x02K" + bytes([number]) + b".")
    first = helio("scan", "many", "--format", "json")
    again = helio("scan", "many", "--format", "json")
    fresh = helio("scan", "many", "--format", "json", "--no-cache")
    assert first.stdout == again.stdout == fresh.stdout
    assert list(Path(os.environ["HELIOTROPE_STATE_HOME"]).rglob("results-v1.db"))


def test_an_option_of_one_job_is_refused_with_another(helio, tmp_path):
    (tmp_path / "good.pkl").write_bytes(b"\x80\x02N.")
    for arguments in (
        [],
        ["good.pkl", "--finding", "a"],
        ["--explain", "good.pkl", "good.pkl"],
        ["--explain", "--convert", "x", "good.pkl"],
        ["--convert", "good.pkl", "good.pkl"],
        ["--hf-cache", "a/b", "--explain"],
    ):
        done = helio("scan", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
