"""engine.listing: one listing for all checks; what is kept from earlier runs is never believed for other bytes."""

import hashlib
import os
import time
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import InputError
from heliotrope.engine import _digest_store, _hashing
from heliotrope.engine._digest_store import DigestStore
from heliotrope.engine.files import digest_tree, tree_digest
from heliotrope.engine.interface import Limits
from heliotrope.engine.listing import Lister, listed_tree

WRONG = bytes(32)


class Context:
    limits = Limits()

    def __init__(self, workdir: Path) -> None:
        workdir.mkdir()
        self.workdir = workdir


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub" / ".git").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"a")
    (root / "sub" / "b.bin").write_bytes(bytes(5000))
    (root / os.fsdecode(b"n\xff")).write_bytes(b"odd name")
    (root / "out").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been written a while ago."""
    later = time.time_ns() + 10 * _hashing.SETTLED_NS
    monkeypatch.setattr(_hashing.time, "time_ns", lambda: later)


def digests(root: Path, **how: bool) -> dict[str, str]:
    return {entry.file.relative: entry.sha256 for entry in Lister(**how).tree(root).files}


def poison(root: Path) -> None:
    """Have a wrong digest kept for every file, as no run would."""
    DigestStore(root).save(dict.fromkeys((entry.file.stamp for entry in digest_tree(root).files), WRONG))


def test_a_check_is_handed_what_the_runner_listed(tree, tmp_path):
    context = Context(tmp_path / "work")
    listed = Lister().list_inputs({"tree": tree, "one": tree / "a.txt"})
    assert listed.digests == {"tree": digest_tree(tree).digest, "one": hashlib.sha256(b"a").hexdigest()}
    listed.hand_over(context.workdir)
    (tree / "later").write_bytes(b"not listed")
    handed = listed_tree(context, tree)
    assert (handed.entries, handed.digest) == (listed.trees["tree"].entries, listed.digests["tree"])
    assert {file.file.relative for file in handed.files} == {"a.txt", "sub/b.bin", "n\\xff"}
    assert {problem.relative for problem in handed.problems} == {"out", "pipe"}
    assert [item.relative for item in handed.skipped] == ["sub/.git"]
    assert all(file.file.path.exists() for file in handed.files)
    assert len(listed_tree(context, tree / "sub").files) == 1, "what was not listed is listed now"


def test_an_input_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"^weights: .*gone: no such file"):
        Lister().list_inputs({"weights": tmp_path / "gone"})


@pytest.mark.parametrize(
    ("touch", "names"),
    [
        (lambda tree: None, []),
        (lambda tree: os.utime(tree / "a.txt", ns=(0, 0)), ["one", "tree"]),
        (lambda tree: (tree / "new").touch(), ["tree"]),
        (lambda tree: (tree / "sub/b.bin").unlink(), ["tree"]),
        (lambda tree: (tree / "a.txt").unlink(), ["one", "tree"]),
        (lambda tree: ((tree / "pipe").unlink(), (tree / "pipe").touch()), ["tree"]),
        (lambda tree: tree.rename(tree.with_name("elsewhere")), ["one", "tree"]),
    ],
)
def test_what_was_touched_since_is_named(tree, touch, names):
    listed = Lister().list_inputs({"tree": tree, "one": tree / "a.txt"})
    touch(tree)
    assert listed.changed() == names


def test_digests_are_kept_for_later_runs_and_fresh_hashes_again(tree, settled):
    right = digests(tree, keep=True)
    assert set(DigestStore(tree).load().values()) == {bytes.fromhex(digest) for digest in right.values()}
    poison(tree)
    assert set(digests(tree, keep=True).values()) == {WRONG.hex()}, "the files were read although they are known"
    assert digests(tree, keep=True, trust=False) == right
    assert digests(tree, keep=True) == right, "what was hashed anew replaces what was kept"
    assert digests(tree) == right


def rewrite(path: Path) -> None:
    path.write_bytes(b"b")


def exchange(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"b")
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite, exchange])
def test_equal_size_and_time_of_change_do_not_hide_other_bytes(tree, settled, change):
    digests(tree, keep=True)
    path = tree / "a.txt"
    before = path.stat()
    change(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert digests(tree, keep=True)["a.txt"] == hashlib.sha256(b"b").hexdigest()


def test_what_was_changed_just_now_is_not_kept(tree):
    lister = Lister(keep=True)
    assert not any(entry.settled for entry in lister.tree(tree).files)
    assert DigestStore(tree).load() == {}
    poison(tree)
    assert lister.tree(tree).files == digest_tree(tree).files


def test_a_file_from_the_future_is_not_kept(tree, monkeypatch):
    """The clock was set back since it was written."""
    monkeypatch.setattr(_hashing.time, "time_ns", lambda: 10**18)
    digests(tree, keep=True)
    assert DigestStore(tree).load() == {}


def store_path() -> Path:
    (path,) = _digest_store._own_folder().iterdir()
    return path


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\1"),
        lambda path: path.write_bytes(path.read_bytes() + bytes(72)),
        lambda path: path.chmod(0o620),
        lambda path: path.parent.chmod(0o770),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.rename(path.parent / "x"), path.symlink_to("x")),
        lambda path: os.truncate(path, 2**40),
    ],
)
def test_a_store_that_is_damaged_or_open_to_others_says_nothing(tree, settled, damage):
    right = digests(tree, keep=True)
    poison(tree)
    damage(store_path())
    assert digests(tree, keep=True) == right


def test_a_store_that_cannot_be_written_costs_time_only(tree, settled, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(tmp_path / "file"))
    assert digests(tree, keep=True) == digests(tree)


def test_stores_and_leftovers_do_not_pile_up(tmp_path, settled, monkeypatch):
    monkeypatch.setattr(_digest_store, "MAX_STORES", 3)
    for number in range(5):
        root = tmp_path / f"{number}"
        root.mkdir()
        (root / "f").touch()
        digests(root, keep=True)
        os.utime(_digest_store._own_folder() / DigestStore(root)._name(), (number, number))
    old = _digest_store._own_folder() / "dead.tmp"
    old.touch()
    os.utime(old, (0, 0))
    digests(tmp_path / "4", keep=True, trust=False)
    digests(tmp_path / "1", keep=True)
    assert [bool(DigestStore(tmp_path / f"{number}").load()) for number in range(5)] == [False, True, False, True, True]
    assert not old.exists()


@given(st.lists(st.tuples(st.text(), st.integers(0, 2**53 - 1), st.from_regex(r"[0-9a-f]{64}", fullmatch=True))))
def test_the_tree_digest_is_over_canonical_json(files):
    listed = [list(file) for file in sorted(files)]
    assert tree_digest(files) == hashlib.sha256(rfc8785.dumps(listed)).hexdigest()
