"""Files as they come: missing, empty, cut off, unreadable, enormous, linked, changing, oddly named. One clear answer each."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from heliotrope.report import json_schemas, junit_schema

ROOT = Path(__file__).parents[2]


class Bad:
    def __reduce__(self):
        return (os.system, ("true",))


BAD = pickle.dumps(Bad())


def verdict(said) -> tuple[int, str]:
    return said.code, said.json()["verdict"]


def test_missing_and_empty(helio, tmp_path):
    assert helio("scan", "nowhere.pt").code == 2
    assert "nowhere.pt: no such file" in helio("scan", "nowhere.pt").err
    (tmp_path / "empty.pt").write_bytes(b"")
    assert verdict(helio("scan", "empty.pt", "--format", "json"))[0] == 3
    (tmp_path / "nothing").mkdir()
    assert helio("assess", "nothing", "-q").code == 3


def test_cut_off_after_the_payload_is_still_malicious(helio, tmp_path):
    (tmp_path / "cut.pkl").write_bytes(BAD[:-1])
    assert verdict(helio("scan", "cut.pkl", "--format", "json")) == (1, "malicious")


@pytest.mark.parametrize(
    "name", ["\x1b[31mred\x1b[0m.pkl", "<script>alert(1)</script>.pkl", "a|b`c`\n[x](y).pkl", "\u202egnp.pkl"]
)
def test_hostile_names_are_shown_harmlessly_everywhere(helio, tmp_path, name):
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    (gallery / name.replace("/", "\u2215")).write_bytes(BAD)
    said = helio("assess", gallery, "--report-dir", tmp_path / "out")
    assert said.code == 1
    for text in (
        said.out,
        helio("scan", gallery).out,
        *(path.read_text("utf-8") for path in (tmp_path / "out").iterdir()),
    ):
        assert "\x1b" not in text
        assert "\u202e" not in text
    for form in ("report.html", "report.md"):
        assert "<script>" not in (tmp_path / "out" / form).read_text("utf-8")


def test_names_that_are_no_text_are_judged_too(helio, tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.pkl")).write_bytes(BAD)
    assert verdict(helio("scan", ".", "--format", "json")) == (1, "malicious")
    assert helio("assess", ".", "-q").code == 1


def test_links_pipes_and_loops(helio, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.pkl").write_bytes(BAD)
    (folder / "out.pkl").symlink_to(tmp_path / "outside.pkl")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.pkl")
    said = helio("assess", folder, "--format", "json", timeout=60)
    assert said.code == 3
    assert "link" in said.out
    assert helio("scan", folder / "out.pkl").code == 1, "a link that is named is followed"


@pytest.mark.nightly
def test_an_enormous_sparse_file_ends_soon(helio, tmp_path):
    with (tmp_path / "huge.safetensors").open("wb") as stream:
        stream.truncate(20 * 2**30)
    code, word = verdict(helio("scan", "huge.safetensors", "--format", "json", timeout=200))
    assert code in (1, 3)
    assert word != "clean"


UNREADABLE = """
import os, sys
import heliotrope.cli.assess
from heliotrope.cli import main

def run(*arguments):
    sys.argv = ["helio", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code

os.chdir(sys.argv[1])
arguments = sys.argv[2:]
run("scan", "warm.pkl", "-q", "--output", os.devnull)  # the interpreter's own files may be out of reach afterwards
os.setgid(65534)
os.setuid(65534)
sys.exit(run(*arguments))
"""


def as_nobody(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", UNREADABLE, str(folder), *arguments], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "HELIOTROPE_STATE_HOME": str(folder / "state"), "HELIOTROPE_CONFIG_HOME": str(folder / "config")},
    )  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="dropping privileges needs root")
def test_what_may_not_be_read_is_no_pass_and_where_nothing_may_be_written_is_said(tmp_path):
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "warm.pkl").write_bytes(b"N.")
        (folder / "secret.pkl").write_bytes(b"N.")
        (folder / "secret.pkl").chmod(0)
        scanned = as_nobody(folder, "scan", "secret.pkl")
        assert scanned.returncode == 3, scanned.stdout + scanned.stderr
        (folder / "open.pkl").write_bytes(b"N.")
        (folder / "open.pkl").chmod(0o644)
        assessed = as_nobody(folder, "assess", "open.pkl")
        assert assessed.returncode == 3
        assert "cannot be written" in assessed.stderr
        assert "Traceback" not in assessed.stderr


def test_a_file_that_changes_under_us_is_no_pass(helio, tmp_path):
    code = (
        "import os, sys, time\n"
        "end = time.time() + 60\n"
        "while time.time() < end:\n"
        "    with open(sys.argv[1], 'r+b') as f: f.write(os.urandom(4096))\n"
    )
    path = tmp_path / "busy" / "model.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"\0" * (64 * 2**20))
    with subprocess.Popen([sys.executable, "-c", code, path]) as writer:
        try:
            said = helio("assess", path.parent, "-q")
        finally:
            writer.kill()
    assert said.code == 3, said.out


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    out = tmp_path / "untrusted"
    subprocess.run([sys.executable, ROOT / "examples" / "untrusted" / "build.py", out], check=True, capture_output=True)
    return out


def test_the_gallery_is_denied_nothing_runs_and_nothing_is_written_into_it(helio, gallery, tmp_path):
    marker = tmp_path / "it-sang"
    before = sorted(path.name for path in gallery.rglob("*"))
    for command in ("scan", "assess"):
        assert helio(command, gallery, "-q", env={"HELIOTROPE_CANARY": str(marker)}).code == 1
    assert not marker.exists()
    assert sorted(path.name for path in gallery.rglob("*")) == before


def test_reports_are_valid_by_their_schemas(helio, gallery, tmp_path, test_data):
    import json

    import jsonschema
    import xmlschema

    helio("assess", gallery, "--report-dir", tmp_path / "out")
    scan = helio("scan", gallery, "--format", "json").json()
    assessment = json.loads((tmp_path / "out" / "report.json").read_text())
    for document in (scan, assessment):
        jsonschema.validate(document, json_schemas()[document["schema"]])
    xmlschema.XMLSchema(str(junit_schema())).validate(str(tmp_path / "out" / "report.junit.xml"))
    schema = json.loads((test_data / "schemas" / "sarif" / "sarif-schema-2.1.0.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    validator.validate(json.loads((tmp_path / "out" / "report.sarif").read_text()))
    validator.validate(helio("scan", gallery, "--format", "sarif").json())
