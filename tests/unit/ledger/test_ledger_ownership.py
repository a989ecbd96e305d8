"""A ledger that came with a repository, or that somebody else made, is refused."""

import json
import os
import shutil
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from tests.unit.ledger.forgery import delete, entry, fill, forging

from heliotrope.core.errors import LedgerError
from heliotrope.ledger import Head, _state, open_ledger
from heliotrope.ledger.ownership import require_own, state_folder


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )


def refused(path, match):
    with pytest.raises(LedgerError, match=match) as caught:
        require_own(path)
    assert caught.value.hint
    return caught.value


def test_ones_own(path):
    fill(path)
    require_own(path)


def test_nothing_there(path):
    refused(path, "there is no ledger")


def test_one_that_this_user_did_not_create(path, state):
    fill(path)
    shutil.rmtree(state)
    refused(path, "not created by this user")


def test_a_forged_one_with_an_id_of_its_own(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(tmp_path / "attacker"))
    fill(path)
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(tmp_path / "victim"))
    fill(tmp_path / "own.db")
    refused(path, "not created by this user")


def test_one_that_moved_with_its_project(tmp_path):
    (tmp_path / "before").mkdir()
    fill(tmp_path / "before" / "ledger.db")
    (tmp_path / "before").rename(tmp_path / "after")
    require_own(tmp_path / "after" / "ledger.db")
    (tmp_path / "after").rename(tmp_path / "later")
    require_own(tmp_path / "later" / "ledger.db")
    (tmp_path / "after").mkdir()
    fill(tmp_path / "after" / "ledger.db")
    require_own(tmp_path / "later" / "ledger.db")


def test_a_copy_beside_the_original(path, tmp_path):
    fill(path)
    shutil.copy(path, tmp_path / "copy.db")
    refused(tmp_path / "copy.db", "copy of .*ledger.db")
    require_own(path)


def test_a_linked_folder(tmp_path):
    (tmp_path / "real").mkdir()
    fill(tmp_path / "real" / "ledger.db")
    (tmp_path / "link").symlink_to("real")
    refused(tmp_path / "link" / "ledger.db", "symbolic link")


def test_another_database_and_another_file(path):
    path.write_bytes(b"no database" * 100)
    refused(path, "is no database")


def test_a_forged_schema_that_never_answers(path):
    import sqlite3

    connection = sqlite3.connect(path)
    loop = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT printf('%d', x) AS name, x AS value FROM n"
    connection.execute(f"CREATE VIEW meta AS {loop}")
    connection.close()
    refused(path, "too slowly")


@pytest.mark.parametrize("statement", ["DROP TABLE meta", "DELETE FROM meta", "UPDATE meta SET value = x'00'"])
def test_no_identity(path, statement):
    fill(path)
    with forging(path) as connection:
        connection.execute(statement) if "DROP" not in statement else None
    if "DROP" not in statement:
        refused(path, "no ledger of Heliotrope")


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / ".heliotrope").mkdir(parents=True)
    git(folder, "init", "-q")
    return folder


def test_untracked_in_a_repository(repository):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    require_own(path)


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal"])
def test_tracked_by_git(repository, suffix):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    tracked = path.with_name(path.name + suffix)
    if suffix:
        tracked.write_bytes(b"planted")
    git(repository, "add", "-f", str(tracked))
    refused(path, "tracked by git")


def test_tracked_names_are_taken_literally(repository):
    fill(repository / ".heliotrope" / "a.db")
    git(repository, "add", "-f", ".heliotrope/a.db")
    fill(repository / ".heliotrope" / "?.db")
    require_own(repository / ".heliotrope" / "?.db")


def test_asking_git_runs_nothing_that_the_repository_names(repository):
    path = repository / ".heliotrope" / "ledger.db"
    marker = repository / "marker"
    script = repository / "evil"
    script.write_text(f"#!/bin/sh\ntouch {marker}\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "diff.external", "filter.x.clean"):
        git(repository, "config", key, str(script))
    (repository / ".gitattributes").write_text("* filter=x\n")
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "pre-commit", "fsmonitor-watchman"):
        shutil.copy(script, hooks / name)
    fill(path)
    require_own(path)
    assert not marker.exists()


def test_the_environment_of_git_is_not_trusted(repository, tmp_path, monkeypatch):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    git(repository, "add", "-f", str(path))
    (tmp_path / "elsewhere").mkdir()
    git(tmp_path / "elsewhere", "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "none"))
    refused(path, "tracked by git")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_owner_is_asked_all_the_same(repository):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    git(repository, "add", "-f", str(path))
    os.chown(repository, 65534, 65534)
    os.chown(repository / ".git", 65534, 65534)
    refused(path, "tracked by git")


def test_a_broken_repository_is_no_answer(repository):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    (repository / ".git" / "index").write_bytes(b"no index")
    refused(path, "git cannot say")
    shutil.rmtree(repository / ".git")
    (repository / ".git").mkdir()
    require_own(path)


def test_without_git_the_list_of_own_ledgers_decides(repository, monkeypatch):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    monkeypatch.setenv("PATH", "/nowhere")
    require_own(path)


def test_a_git_of_the_project_itself_is_not_run(repository, monkeypatch):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    (repository / "git").write_text("#!/bin/sh\ntouch marker\n")
    (repository / "git").chmod(0o755)
    monkeypatch.chdir(repository)
    monkeypatch.setenv("PATH", ".")
    require_own(path)
    assert not (repository / "marker").exists()


def test_a_git_that_does_not_answer(repository, tmp_path, monkeypatch):
    path = repository / ".heliotrope" / "ledger.db"
    fill(path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr("heliotrope.ledger.ownership._GIT_SECONDS", 0.2)
    refused(path, "git cannot say")


def test_the_list_is_for_its_owner_only(path, state):
    fill(path)
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "ledgers.json").stat().st_mode & 0o777 == 0o600
    assert sorted(item.name for item in state.iterdir()) == ["ledgers.json", "ledgers.lock"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "other"}', '{"ledgers": {"x": {"path": 1}}}'])
def test_a_damaged_list(path, state, text):
    fill(path)
    (state / "ledgers.json").write_text(text)
    refused(path, "list of own ledgers .* is damaged")


def test_a_list_that_cannot_be_read(path, state):
    fill(path)
    (state / "ledgers.json").unlink()
    (state / "ledgers.json").mkdir()
    refused(path, "list of own ledgers cannot be read")


def test_where_the_list_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert state_folder() == tmp_path / "own"
    monkeypatch.delenv("HELIOTROPE_STATE_HOME")
    assert state_folder() == tmp_path / "xdg" / "heliotrope"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert state_folder() == tmp_path / "home" / ".local" / "state" / "heliotrope"

    def homeless():
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(LedgerError, match="no home folder"):
        state_folder()


def _register(number):
    _state.register(f"id-{number}", Path(f"/ledger-{number}"))


def test_processes_share_the_list(state):
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        list(pool.map(_register, range(30)))
    assert len(json.loads((state / "ledgers.json").read_text())["ledgers"]) == 30


def test_the_head_is_remembered_on_closing_and_on_demand(path):
    with open_ledger(path, create=True) as ledger:
        assert ledger.remembered_head() is None
        ledger.append([entry(1)])
        ledger.remember()
        assert ledger.remembered_head() == ledger.head()
        ledger.append([entry(2)])
        last = ledger.head()
    with open_ledger(path) as ledger:
        assert ledger.remembered_head() == last
        assert ledger.verify(ledger.remembered_head()).records == 2


def test_a_ledger_cut_off_and_continued_still_shows(path):
    head = fill(path)
    with forging(path) as connection:
        delete(connection, 10)
    with open_ledger(path) as ledger:
        ledger.append([entry(number) for number in range(20, 30)])
    with open_ledger(path) as ledger:
        assert ledger.remembered_head() == head
        with pytest.raises(LedgerError, match="recomputed"):
            ledger.verify(ledger.remembered_head())


def test_the_head_of_a_foreign_ledger_makes_it_no_own_one(path, state):
    fill(path)
    shutil.rmtree(state)
    with open_ledger(path) as ledger:
        ledger.append([entry(11)])
        ledger.remember()
        assert ledger.remembered_head() is None
    refused(path, "not created by this user")


def test_an_older_head_does_not_replace_a_newer_one(path):
    head = fill(path)
    with open_ledger(path) as ledger:
        _state.remember_head(ledger.id, str(Head(3, "0" * 64)), 3)
        assert ledger.remembered_head() == head


def test_an_empty_file_holds_nothing_that_would_have_to_be_trusted(tmp_path):
    path = tmp_path / "ledger.db"
    path.touch()
    require_own(path)
    (tmp_path / "ledger.db-journal").write_bytes(b"pages of somebody else")
    with pytest.raises(LedgerError):
        require_own(path)
