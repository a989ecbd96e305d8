"""engine.workdirs: the folder of a run that died goes with the next one; the folder of a run that goes on stays."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from heliotrope.engine.workdirs import remove_abandoned, working_folder

DIES = """
import os, sys, time
from heliotrope.engine.workdirs import working_folder
with working_folder() as folder:
    (folder / "weights").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_is_removed_when_its_process_is_gone_and_not_before(temporary):
    process = subprocess.Popen([sys.executable, "-c", DIES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    remove_abandoned()
    assert (folder / "weights").exists()
    process.kill()
    process.communicate()
    assert folder.exists()
    remove_abandoned()
    assert list(temporary.iterdir()) == []


def test_one_s_own_is_kept_and_gone_afterwards(temporary):
    with working_folder() as folder:
        remove_abandoned()
        assert folder.is_dir()
        assert folder.stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []


def test_what_is_being_made_and_what_only_has_the_name_stays(temporary):
    young, old = temporary / "heliotrope-run-young", temporary / "heliotrope-run-old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    (temporary / "elsewhere").mkdir()
    (temporary / "elsewhere" / "lock").touch()
    (temporary / "heliotrope-run-link").symlink_to("elsewhere")
    (temporary / "heliotrope-run-file").touch()
    os.mkfifo(temporary / "heliotrope-run-pipe")
    remove_abandoned()
    assert sorted(path.name for path in temporary.iterdir()) == [
        "elsewhere", "heliotrope-run-file", "heliotrope-run-link", "heliotrope-run-pipe", "heliotrope-run-young",
    ]  # fmt: skip
    assert (temporary / "elsewhere" / "lock").exists()
