"""engine.files: nothing is opened, followed or read that should not be, and nothing is left out silently."""

import hashlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import InputError
from heliotrope.engine.files import (
    LINK_LEAVES,
    WalkedFile,
    WalkLimits,
    WalkProblem,
    WalkSkipped,
    digest_inputs,
    digest_tree,
    open_regular,
    read_verified,
    sha256_file,
    stat_inputs,
    tree_digest,
    valid_name,
    walk,
)


def names(root: Path, **limits: int) -> list[str]:
    return [found.relative for found in walk(root, limits=WalkLimits(**limits)) if isinstance(found, WalkedFile)]


def problems(root: Path, **limits: int) -> dict[str, str]:
    return {
        found.relative: found.reason
        for found in walk(root, limits=WalkLimits(**limits))
        if isinstance(found, WalkProblem)
    }


def skipped(root: Path) -> dict[str, str]:
    return {found.relative: found.reason for found in walk(root) if isinstance(found, WalkSkipped)}


def write(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_come_in_the_byte_order_of_their_paths(tmp_path):
    for name in ("a0", "a.txt", "a/b", "a/c/d", "B", "é", "z"):
        write(tmp_path / name)
    assert names(tmp_path) == ["B", "a.txt", "a/b", "a/c/d", "a0", "z", "é"]


def test_a_file_as_root_gives_itself_under_the_name_it_was_given(tmp_path):
    write(tmp_path / "blob")
    (tmp_path / "model.pt").symlink_to("blob")
    (found,) = walk(tmp_path / "model.pt")
    assert isinstance(found, WalkedFile)
    assert (found.relative, found.size) == ("model.pt", 1)


def test_a_root_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        list(walk(tmp_path / "nothing"))


def test_links_inside_are_followed_to_files_and_never_to_folders(tmp_path):
    write(tmp_path / "real/model.pt", b"weights")
    (tmp_path / "link.pt").symlink_to("real/model.pt")
    (tmp_path / "folder").symlink_to("real")
    assert names(tmp_path) == ["link.pt", "real/model.pt"]
    assert skipped(tmp_path) == {"folder": "links to folders are not followed"}
    assert problems(tmp_path) == {}


def test_links_that_leave_lead_nowhere_or_in_a_circle_are_problems(tmp_path):
    root = tmp_path / "root"
    write(tmp_path / "secret")
    write(tmp_path / "root-beside/file")  # shares a prefix with the root, but is not in it
    write(root / "ok")
    for name, target in {
        "out": "../secret",
        "beside": "../root-beside/file",
        "outside": "..",
        "absolute": "/etc/passwd",
        "dangling": "nothing",
        "loop": "loop",
    }.items():
        (root / name).symlink_to(target)
    assert problems(root) == {
        "absolute": LINK_LEAVES,
        "beside": LINK_LEAVES,
        "dangling": "no such file or folder, or a link to nothing",
        "loop": "link that leads in a circle",
        "out": LINK_LEAVES,
        "outside": LINK_LEAVES,
    }
    assert names(root) == ["ok"]


def test_pipes_sockets_and_devices_are_problems_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(tmp_path / "s"))  # the path of a socket is at most 108 bytes
    with listening:
        assert problems(tmp_path) == {
            "link": "is a pipe, not a file",
            "pipe": "is a pipe, not a file",
            "s": "is a socket, not a file",
        }
    for name in ("pipe", "link", "s"):
        with pytest.raises(InputError, match="is a pipe, socket or device"):
            open_regular(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe, socket or device"):
        open_regular(Path("/dev/zero"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to drop its privileges")
def test_what_may_not_be_read_is_a_problem(open_folder):
    write(open_folder / "closed/file")
    write(open_folder / "secret")
    (open_folder / "closed").chmod(0)
    (open_folder / "secret").chmod(0)
    script = (
        "import os, sys; from pathlib import Path; from heliotrope.engine.files import digest_tree\n"
        "''.encode('utf-16be')  # loaded while it still may be: Python itself can lie in root's home\n"
        "os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534)\n"
        "print(sorted((p.relative, p.reason) for p in digest_tree(Path('.')).problems))"
    )
    done = subprocess.run([sys.executable, "-c", script, open_folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[('closed', 'cannot be listed: permission denied'), ('secret', 'permission denied')]"


@pytest.mark.parametrize("name", [".git", ".venv", "__pycache__", "node_modules", ".heliotrope"])
def test_folders_passed_over_by_name_are_told(tmp_path, name):
    write(tmp_path / "deep" / name / "payload.pkl")
    assert names(tmp_path) == []
    assert list(skipped(tmp_path)) == [f"deep/{name}"]


def test_venv_is_passed_over_only_when_it_is_one(tmp_path):
    write(tmp_path / "a/venv/model.pt")
    write(tmp_path / "b/venv/pyvenv.cfg")
    assert names(tmp_path) == ["a/venv/model.pt"]
    assert list(skipped(tmp_path)) == ["b/venv"]


def test_limits_are_problems(tmp_path):
    for index in range(5):
        write(tmp_path / f"a/{index}")
    write(tmp_path / "b/c/d/e")
    assert "more than 4 files" in problems(tmp_path, max_files=4)["a"]
    assert "more than 2 folders deep" in problems(tmp_path, max_depth=2)["b/c/d"]
    assert "longer than" in problems(tmp_path, max_path_bytes=len(str(tmp_path)) + 4)["b/c/d/e"]


def test_folders_nested_without_sense_end_in_a_problem(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(200):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
    assert len(problems(tmp_path)) == 1


def test_names_that_are_not_utf8_are_shown_validly_and_still_open(tmp_path):
    raw = os.fsencode(tmp_path) + b"/m\xff.pt"
    Path(os.fsdecode(raw)).write_bytes(b"weights")
    (found,) = walk(tmp_path)
    assert isinstance(found, WalkedFile)
    assert found.relative == "m\\xff.pt"
    assert read_verified(found.path, max_bytes=10).data == b"weights"


@given(st.sets(st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name), min_size=2, max_size=30))
def test_different_names_never_look_the_same(raw):
    shown = {valid_name(os.fsdecode(name)) for name in raw}
    assert len(shown) == len(raw)
    assert all(name.encode() for name in shown)


def test_different_names_never_look_the_same_when_one_spells_an_escape():
    assert valid_name(os.fsdecode(b"\xff")) != valid_name("\\xff") != valid_name("\\x5cxff")


def test_digests_are_those_of_hashlib_and_progress_adds_up(tmp_path):
    data = os.urandom(2_500_000)
    path = write(tmp_path / "f", data)
    seen = []
    digest = sha256_file(path, progress=lambda done, total: seen.append((done, total)))
    assert (digest.sha256, digest.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert seen[-1] == (len(data), len(data))
    assert read_verified(path, max_bytes=len(data)).sha256 == digest.sha256
    assert sha256_file(write(tmp_path / "empty", b"")).sha256 == hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing", "no such file"),
        ("folder", "is a folder"),
        ("x" * 300, "too long"),
        ("loop", "circle"),
        ("a\0b", "null"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for read in (open_regular, sha256_file, lambda path: read_verified(path, max_bytes=1)):
        with pytest.raises(InputError, match=reason):
            read(tmp_path / name)


def test_links_are_followed_only_where_asked(tmp_path):
    write(tmp_path / "file")
    (tmp_path / "link").symlink_to("file")
    open_regular(tmp_path / "link").close()
    with pytest.raises(InputError, match="symbolic link"):
        open_regular(tmp_path / "link", follow=False)


def test_limits_of_size_name_the_limit_and_a_sparse_giant_costs_nothing(tmp_path):
    path = tmp_path / "giant"
    with path.open("wb") as file:
        file.truncate(2**40)
    started = time.monotonic()
    with pytest.raises(InputError, match=f"more than the limit of {64 * 2**30} bytes"):
        sha256_file(path)
    with pytest.raises(InputError, match="more than the limit of 100 bytes"):
        read_verified(path, max_bytes=100)
    assert time.monotonic() - started < 5


def test_a_file_that_changes_while_it_is_read_is_no_evidence(tmp_path):
    path = write(tmp_path / "f", bytes(3 * 2**20))

    def grow(done: int, total: int) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    def touch(done: int, total: int) -> None:
        os.utime(path, ns=(1, done))

    for change in (grow, touch):
        with pytest.raises(InputError, match="changed while it was read"):
            sha256_file(path, progress=change)


def test_another_file_of_the_same_name_is_noticed(tmp_path):
    path = write(tmp_path / "f")
    (found,) = walk(tmp_path)
    assert isinstance(found, WalkedFile)
    path.rename(tmp_path / "g")
    write(path)
    with pytest.raises(InputError, match="changed while it was read"):
        sha256_file(path, inode=found.inode)


def test_a_tree_that_is_written_to_all_the_time_ends(tmp_path):
    for index in range(50):
        write(tmp_path / f"{index}", bytes(200_000))
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            with (tmp_path / "7").open("ab") as file:
                file.write(b"x")

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        tree = digest_tree(tmp_path)
    finally:
        stop.set()
        thread.join()
    assert len(tree.files) + len(tree.problems) == 50
    assert [problem.relative for problem in tree.problems] in (["7"], [])


def test_the_tree_digest_follows_content_names_and_problems_only(tmp_path):
    for root in ("one", "two"):
        write(tmp_path / root / "a/model.pt", b"weights")
        write(tmp_path / root / "b", b"data")
    first, second = digest_tree(tmp_path / "one"), digest_tree(tmp_path / "two")
    assert first.digest == second.digest == tree_digest((f.file.relative, f.file.size, f.sha256) for f in first.files)
    (tmp_path / "two/link").symlink_to("/etc/passwd")
    with_problem = digest_tree(tmp_path / "two").digest
    assert with_problem != first.digest
    (tmp_path / "two/link").unlink()
    write(tmp_path / "two/b", b"dat4")
    assert digest_tree(tmp_path / "two").digest not in {first.digest, with_problem}
    write(tmp_path / "one/.git/config")
    assert digest_tree(tmp_path / "one").digest == first.digest


def test_inputs_are_digested_by_name_and_a_missing_one_is_named(tmp_path):
    file = write(tmp_path / "model.pt", b"weights")
    digests = digest_inputs({"weights": file, "data": tmp_path})
    assert digests == {"weights": hashlib.sha256(b"weights").hexdigest(), "data": digest_tree(tmp_path).digest}
    with pytest.raises(InputError, match=r"^weights: .*gone: no such file"):
        digest_inputs({"weights": tmp_path / "gone"})


def test_stat_tokens_differ_when_anything_was_touched(tmp_path):
    file = write(tmp_path / "d/model.pt", b"weights")
    inputs = {"file": file, "tree": tmp_path}
    before = stat_inputs(inputs)
    assert stat_inputs(inputs) == before
    os.utime(file, ns=(0, 0))  # the same size, and a forged time
    after = stat_inputs(inputs)
    assert after["file"] != before["file"]
    assert after["tree"] != before["tree"]
    file.unlink()
    gone = stat_inputs(inputs)
    assert gone["file"] != after["file"]
    assert gone["tree"] != after["tree"]


def test_descriptors_are_closed_and_not_inherited(tmp_path):
    path = write(tmp_path / "f")
    with open_regular(path) as file:
        assert not os.get_inheritable(file.fileno())
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        sha256_file(path)
        with pytest.raises(InputError):
            open_regular(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
