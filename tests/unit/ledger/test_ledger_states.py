"""Ledgers in a bad state: each is one clear error, and nothing acknowledged is lost."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.ledger.forgery import entry, fill, forging

from heliotrope.core.errors import ExitCode, LedgerError
from heliotrope.ledger import open_ledger
from heliotrope.ledger._sqlite_file import create_file


def refused(path, match, *, create=False):
    with pytest.raises(LedgerError, match=match) as caught:
        open_ledger(path, create=create, busy_timeout=0.2)
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.INCONCLUSIVE
    return caught.value


def test_nothing_there(path):
    refused(path, "there is no ledger")
    assert not path.exists()


def test_the_folder_is_missing(tmp_path):
    refused(tmp_path / "none" / "ledger.db", "folder .* does not exist", create=True)


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file" / "ledger.db", "cannot be reached", create=True)


def test_a_folder_in_its_place(path):
    path.mkdir()
    refused(path, "is a folder", create=True)


def test_a_symbolic_link_in_its_place(path, tmp_path):
    fill(tmp_path / "real.db")
    path.symlink_to("real.db")
    refused(path, "symbolic link", create=True)
    dangling = tmp_path / "dangling.db"
    dangling.symlink_to("elsewhere.db")
    refused(dangling, "symbolic link", create=True)
    assert not (tmp_path / "elsewhere.db").exists()


def test_a_device_in_its_place():
    refused(Path("/dev/null"), "no regular file", create=True)


@pytest.mark.parametrize("data", [b"x", b"xy", b"no database\n" * 500, b"SQLite format 3\x00" + b"\xff" * 5000])
@pytest.mark.parametrize("create", [True, False])
def test_no_database(path, data, create):
    path.write_bytes(data)
    refused(path, "is no database|is damaged", create=create)
    assert path.read_bytes() == data


def test_an_empty_file_is_no_ledger_but_may_become_one(path):
    path.touch()
    refused(path, "no ledger of Heliotrope")
    with open_ledger(path, create=True) as ledger:
        assert ledger.verify().records == 0


def test_another_database(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    refused(path, "no ledger of Heliotrope", create=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE meta (name TEXT, value TEXT)")
    connection.execute("DROP TABLE songs")
    connection.close()
    refused(path, "no ledger of Heliotrope", create=True)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.99])
def test_a_truncated_file(path, share):
    fill(path, 200)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(LedgerError, match=r"damaged|changed|deleted"), open_ledger(path) as ledger:
        ledger.verify()


@pytest.mark.parametrize(
    ("version", "match"),
    [
        ("3", "format 3.*reads 1 to 2"),
        ("0", "format 0"),
        ("99999", "format 99999"),
        ("x", "no ledger"),
        ("", "no ledger"),
    ],
)
def test_another_version(path, version, match):
    fill(path)
    with forging(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    error = refused(path, match)
    assert "upgrade" in error.hint or match == "no ledger"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
        "CREATE TRIGGER extra AFTER INSERT ON events BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE search USING fts5(x)",
        "CREATE TABLE other (x)",
        "CREATE INDEX other ON events (time)",
    ],
)
def test_a_database_that_others_have_built_on(path, statement):
    fill(path)
    with forging(path) as connection:
        connection.execute(statement)
    refused(path, "not ours")


def test_a_guard_with_another_text(path):
    fill(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER meta_refuse_update")
        connection.execute("CREATE TRIGGER meta_refuse_update BEFORE UPDATE ON meta BEGIN SELECT 1; END")
    refused(path, "not ours: 'meta_refuse_update'")


def test_locked_by_another_writer(path):
    fill(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with open_ledger(path, busy_timeout=0.2) as ledger:
        with pytest.raises(LedgerError, match=r"locked.*more than 0\.2 s") as caught:
            ledger.append([entry(11)])
        assert "wait" in caught.value.hint
        assert ledger.verify().records == 10
        other.execute("ROLLBACK")
        ledger.append([entry(11)])
        assert ledger.verify().records == 11
    other.close()


def test_a_new_file_is_readable_by_its_owner_only(path):
    fill(path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_commits_are_synced_and_logged_ahead(path):
    with open_ledger(path, create=True) as ledger, ledger._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.fixture
def open_folder():
    """A folder that an unprivileged user can reach; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="helio-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_nobody(code, *arguments, state):
    """Run code without root's power to write everywhere."""
    prelude = """
        import os, sys, tempfile
        from pathlib import Path
        from heliotrope.core.errors import LedgerError
        from heliotrope.ledger import Entry, open_ledger
        from heliotrope.ledger.blobs import BlobStore
        from heliotrope.ledger.ownership import require_own
        with tempfile.TemporaryDirectory() as folder:  # import everything while the files of Python can be read
            with open_ledger(folder + "/warm.db", create=True) as ledger:
                ledger.append([Entry("note", {})]); ledger.verify()
            require_own(Path(folder, "warm.db"))
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        path = Path(sys.argv[1])
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(code), *map(str, arguments)],
        env={"HELIOTROPE_STATE_HOME": str(state), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


APPEND = """
    try:
        with open_ledger(path) as ledger:
            print(ledger.verify().records)
            ledger.append([Entry("note", {"forged": True})])
            print("appended")
    except LedgerError as error:
        print(error.diagnostics())
"""


def test_a_read_only_file(open_folder, state):
    open_folder.chmod(0o777)
    path = open_folder / "ledger.db"
    fill(path)
    path.chmod(0o444)
    done = as_nobody(APPEND, path, state=state)
    assert done.returncode == 0, done.stderr
    assert "read-only" in done.stdout or "cannot be opened" in done.stdout
    assert "hint:" in done.stdout
    assert "appended" not in done.stdout


def test_a_read_only_folder(open_folder, state):
    path = open_folder / "ledger.db"
    fill(path)
    path.chmod(0o644)
    done = as_nobody(APPEND, path, state=state)
    assert done.returncode == 0, done.stderr
    assert "cannot be opened" in done.stdout or "read-only" in done.stdout
    assert "hint:" in done.stdout
    create = "try:\n    open_ledger(path, create=True)\nexcept LedgerError as error:\n    print(error.diagnostics())"
    done = as_nobody(create, open_folder / "new.db", state=state)
    assert "cannot be created: Permission denied" in done.stdout, done.stderr


def test_an_unreadable_file(open_folder, state):
    path = open_folder / "ledger.db"
    fill(path)
    done = as_nobody(APPEND, path, state=state)
    assert done.returncode == 0, done.stderr
    assert "cannot be opened" in done.stdout


def test_a_ledger_of_another_user_is_not_ones_own(open_folder, state):
    path = open_folder / "ledger.db"
    fill(path)
    path.chmod(0o644)
    done = as_nobody(
        "try:\n    require_own(path)\nexcept LedgerError as error:\n    print(error.diagnostics())", path, state=state
    )
    assert "belongs to another user" in done.stdout, done.stderr


def test_blobs_in_a_read_only_folder(open_folder, state):
    code = "try:\n    BlobStore(path).put(b'x', 'text/plain')\nexcept LedgerError as error:\n    print(error.diagnostics())"
    done = as_nobody(code, open_folder / "blobs", state=state)
    assert "Permission denied" in done.stdout, done.stderr
    assert "hint:" in done.stdout


def test_a_state_folder_that_cannot_be_written_stops_creation_and_not_closing(open_folder, state):
    open_folder.chmod(0o777)
    code = """
        os.environ["HELIOTROPE_STATE_HOME"] = "/proc/nowhere"
        try:
            open_ledger(path, create=True)
        except LedgerError as error:
            print(error.diagnostics())
        os.environ["HELIOTROPE_STATE_HOME"] = str(path.parent / "state")
        with open_ledger(path, create=True) as ledger:
            ledger.append([Entry("note", {})])
            os.environ["HELIOTROPE_STATE_HOME"] = "/proc/nowhere"
        print("closed")
    """
    done = as_nobody(code, open_folder / "ledger.db", state=state)
    assert "HELIOTROPE_STATE_HOME" in done.stdout, done.stderr
    assert done.stdout.endswith("closed\n")


def test_work_is_done_even_when_the_head_cannot_be_remembered(path, state, monkeypatch):
    with open_ledger(path, create=True) as ledger:
        ledger.append([entry(1)])
        monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(path))
        with pytest.raises(LedgerError, match="list of own ledgers"):
            ledger.remember()
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(state))
    with open_ledger(path) as ledger:
        assert ledger.verify().records == 1


def test_two_creators_at_once(path):
    create_file(path)
    create_file(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(LedgerError, match="is a folder"):
        create_file(path)


BEGIN_AND_DIE = """
    import os, sys
    from pathlib import Path
    from heliotrope.ledger import open_ledger

    path, left = Path(sys.argv[1]), None

    def count(event, arguments):
        global left
        if left is not None and event in ("open", "os.link", "os.remove", "sqlite3.connect"):
            left -= 1
            if left < 0:
                os._exit(9)

    open_ledger(path.with_name("warm.db"), create=True).close()
    sys.addaudithook(count)
    for allowed in range(100):
        child = os.fork()
        if child == 0:
            left = allowed
            open_ledger(path, create=True).close()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if path.exists():
            with open_ledger(path) as ledger:
                assert ledger.verify().records == 0
        if status == 0:
            break
        path.unlink(missing_ok=True)
    print(allowed, status)
"""


def test_whoever_is_killed_while_beginning_a_ledger_leaves_nothing_half_made(path):
    """Each round stops the creator at a later call of the operating system that lays files."""
    code = textwrap.dedent(BEGIN_AND_DIE)
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rounds, status = map(int, done.stdout.split())
    assert status == 0
    assert rounds > 5, "nothing was interrupted"


def test_where_files_have_no_second_name_a_ledger_begins_in_its_place(path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with open_ledger(path, create=True) as ledger:
        assert ledger.verify().records == 0
    assert sorted(item.name for item in path.parent.iterdir()) == ["ledger.db", "state"]
