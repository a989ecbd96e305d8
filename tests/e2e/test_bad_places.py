"""Places that do not serve: closed folders, full disks, streams nobody reads, links to another project, names that are no text."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.conftest import HELIO

CLEAN = b"\x02\0\0\0\0\0\0\0{}"
CONFIG = "version: 1\nproject: demo\n"
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make(tmp_path / "project")


def make(folder: Path) -> Path:
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text(CONFIG)
    (folder / "model.safetensors").write_bytes(CLEAN)
    return folder


def obey_permissions() -> None:
    """In a child about to become helio: even root is held to the permissions of files."""
    if os.geteuid() == 0:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                os._exit(77)


@contextmanager
def mode(path: Path, bits: int):
    """Restored afterwards, so that pytest can clean up."""
    before = path.stat().st_mode
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


def ordinary(cwd: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """helio as somebody without special rights."""
    done = subprocess.run(
        [HELIO, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False, preexec_fn=obey_permissions
    )
    if done.returncode == 77:
        pytest.skip("privileges cannot be dropped here")
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.skipif(sys.platform != "linux", reason="dropping capabilities needs Linux")
class TestPermissions:
    def test_what_cannot_be_read_is_inconclusive(self, tmp_path, project):
        with mode(project / "model.safetensors", 0):
            scanned = ordinary(tmp_path, "scan", project)
            assert (scanned.returncode, "permission denied" in scanned.stdout) == (3, True)
            assessed = ordinary(tmp_path, "assess", project, "-q")
            assert (assessed.returncode, "permission denied" in assessed.stdout) == (3, True)

    @pytest.mark.parametrize("command", ["assess", "scan"])
    @pytest.mark.parametrize("below", ["", "model.safetensors"])
    def test_a_closed_folder_is_inconclusive_wherever_it_is_named(self, tmp_path, project, command, below):
        with mode(project, 0):
            said = ordinary(tmp_path, command, project / below)
            assert said.returncode == 3
            assert "permission denied" in said.stdout + said.stderr
            inside = ordinary(tmp_path, "ledger", "verify", project / "x")
            assert (inside.returncode, inside.stderr.count("error[input]")) == (3, 1)

    def test_a_configuration_that_cannot_be_read_is_one_error(self, tmp_path, project):
        with mode(project / "heliotrope.yaml", 0):
            said = ordinary(tmp_path, "assess", project)
        assert (said.returncode, said.stdout) == (2, "")
        assert "heliotrope.yaml: cannot be read: Permission denied" in said.stderr

    def test_a_folder_that_cannot_be_written_is_one_error_with_a_way_out(self, tmp_path, project):
        with mode(project, 0o555):
            said = ordinary(tmp_path, "assess", project)
            assert said.returncode == 3
            assert "--ledger and --report-dir" in said.stderr
            elsewhere = ("--ledger", tmp_path / "own.db", "--report-dir", tmp_path / "out")
            assert ordinary(tmp_path, "assess", project, *elsewhere).returncode == 0
            assert ordinary(tmp_path, "assess", project, *elsewhere, "--output", project / "x").returncode == 2
            assert ordinary(tmp_path, "init", project, "--force").returncode == 2

    def test_a_ledger_that_is_read_only_is_one_error(self, tmp_path, project):
        assert ordinary(tmp_path, "assess", project, "-q").returncode == 0
        with mode(project / ".heliotrope" / "ledger.db", 0o444):
            said = ordinary(tmp_path, "assess", project, "-q")
        assert said.returncode == 3
        assert "error[ledger]" in said.stderr
        assert "ledger.db" in said.stderr


def shell(cwd: Path, line: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["bash", "-c", line], cwd=cwd, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("assess project -q >/dev/full", 3, "error[output]"),
        ("scan project >/dev/full", 3, "error[output]"),
        ("--help >/dev/full", 3, "error[system]"),
        ("assess project -q >&-", 0, ""),
        ("assess project <&- >&- 2>&-", 0, ""),
        ("assess project 2>/dev/full", 0, ""),
        ("assess nowhere 2>/dev/full", 2, ""),
        ("assess project --report-dir model", 3, "error[output]"),
        ("assess project --output nowhere/file", 2, "error[usage]"),
        ("assess project --output /dev/full", 2, "error[usage]"),
        ("assess project --output project", 2, "error[usage]"),
    ],
)
def test_where_the_result_cannot_go_is_said_and_the_code_is_never_ours(tmp_path, project, line, code, said):
    (tmp_path / "model").write_bytes(CLEAN)
    done = shell(tmp_path, f"{HELIO} {line}")
    assert done.returncode == code, done.stderr
    assert done.stderr.count("error[") == bool(said)
    assert said in done.stderr


@pytest.mark.parametrize("line", ["--help", "assess project -q --format html", "scan project"])
def test_a_reader_that_left_gets_neither_a_pass_nor_a_no(tmp_path, project, line):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as closed:
        done = subprocess.run(
            [HELIO, *line.split()], cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr.count("error[")) == (3, 0)


def test_a_folder_that_was_removed_under_us(tmp_path, project):
    done = shell(tmp_path, f"mkdir gone && cd gone && rmdir ../gone && {HELIO} assess")
    assert done.returncode == 2
    assert "current folder" in done.stderr


@pytest.fixture
def full(tmp_path: Path):
    """A disk without room."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    ).returncode
    if mounted != 0:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> None:
    try:
        with (folder / "filler").open("wb", buffering=0) as stream:
            while stream.write(b"\0" * 4096):
                pass
    except OSError:
        pass


def test_a_full_disk_is_one_error_wherever_it_is(helio, project, full, tmp_path):
    inside = make(full / "project")
    fill(full)
    reported = helio("assess", project, "-q", "--report-dir", full / "reports")
    assert (reported.code, reported.err.count("error[")) == (3, 1)
    assert not list((full / "reports").glob("*")) or not list((full / "reports").glob(".*")), "half a report"
    for said in (
        helio("assess", inside),
        helio("assess", project, "--ledger", full / "ledger.db"),
        helio("assess", project, "--ledger", tmp_path / "new.db", env={"HELIOTROPE_STATE_HOME": str(full / "home")}),
        helio("trust", "project", project, env={"HELIOTROPE_CONFIG_HOME": str(full / "config")}),
    ):
        assert said.code == 3, said.err
        assert said.err.count("error[") == said.err.count("hint:") == 1
    assert helio("assess", project, "--output", full / "result.txt").code == 2
    assert helio("assess", project, "-q").code == 0
    assert helio("ledger", "verify", project).code == 0


@pytest.mark.parametrize("kind", ["folder", "link to nothing", "pipe"])
def test_a_configuration_that_is_no_file_does_not_let_the_folder_off_without_its_gates(helio, project, kind):
    path = project / "heliotrope.yaml"
    path.unlink()
    {"folder": path.mkdir, "link to nothing": lambda: path.symlink_to("nowhere"), "pipe": lambda: os.mkfifo(path)}[
        kind
    ]()
    said = helio("assess", project)
    assert (said.code, said.out) == (2, "")
    assert "heliotrope.yaml" in said.err


def test_a_configuration_behind_a_link_describes_the_folder_that_was_named(helio, project, tmp_path):
    import pickle

    other = make(tmp_path / "other")
    (other / "evil.pkl").write_bytes(pickle.dumps(print))
    (other / "heliotrope.yaml").unlink()
    (other / "heliotrope.yaml").symlink_to(project / "heliotrope.yaml")
    said = helio("assess", other, "--format", "json")
    assert any("evil.pkl" in str(entry["predicate"]) for entry in said.json()["evidence"])
    assert (other / ".heliotrope").is_dir()
    assert not (project / ".heliotrope").exists()


def test_two_names_for_two_projects_are_refused(helio, project, tmp_path):
    other = make(tmp_path / "other")
    said = helio("assess", other, "--config", project / "heliotrope.yaml")
    assert said.code == 2
    assert "leave one of the two out" in said.err
    assert helio("assess", project, "-q", "--config", project / "heliotrope.yaml").code == 0
    assert helio("assess", "-q", "--config", project / "heliotrope.yaml").code == 0


def test_a_folder_whose_name_is_no_text_is_refused_in_one_line(helio, tmp_path):
    folder = make(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n\x1b[31m")))
    for path in (folder, folder / "model.safetensors"):
        said = helio("assess", path)
        assert (said.code, said.out) == (3, "")
        assert "not UTF-8" in said.err
        assert "\x1b" not in said.err
        assert len(said.err.splitlines()) == 2
    assert helio("scan", folder).code == 0


def test_a_terminal_of_another_alphabet_gets_the_result_too(helio, project, tmp_path):
    (project / "schön.safetensors").write_bytes(CLEAN)
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert helio("assess", project, "-q", env=ascii_only).code == 0
    assert "sch\\xf6n" in helio("scan", project, env=ascii_only).out
    said = helio("scan", project, "--format", "json", env=ascii_only)
    assert any("schön" in file["path"] for file in said.json()["files"])
