"""`helio ledger verify`: every way to tamper with a record is named, for people and for programs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.ledger.forgery import delete, forging, hash_at, insert, recompute, renumber


@pytest.fixture
def project(helio, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: demo\n")
    (folder / "model.pkl").write_bytes(b"N.")
    assert helio("assess", folder, "-q").code == 0
    return folder


def change(connection, last):
    connection.execute("UPDATE events SET body = replace(body, 'demo', 'd3mo') WHERE sequence = 3")


def swap(connection, last):
    connection.execute("DELETE FROM event_keys WHERE sequence IN (3, 4)")
    for old, new in ((3, -4), (4, -3), (-4, 4), (-3, 3)):
        connection.execute("UPDATE events SET sequence = ? WHERE sequence = ?", (new, old))


def smuggle(connection, last):
    renumber(connection, 3, 1)
    insert(connection, 3, hash_at(connection, 2))


def replace_all(connection, last):
    delete(connection, 3)
    renumber(connection, 4, -1)
    recompute(connection)


FORGERIES = {
    "changed": (change, "changed", 3),
    "deleted": (lambda connection, last: delete(connection, 3), "deleted", 3),
    "reordered": (swap, "reordered", 3),
    "inserted": (smuggle, "inserted", 3),
}
BEHIND_THE_HEAD = {
    "cut off": (delete, "truncated"),
    "written anew": (replace_all, None),
}


def forge(project: Path, change) -> None:
    path = project / ".heliotrope" / "ledger.db"
    with closing(sqlite3.connect(path)) as connection:
        last = connection.execute("SELECT max(sequence) FROM events").fetchone()[0]
    with forging(path) as connection:
        change(connection, last)


@pytest.mark.parametrize("name", FORGERIES)
def test_the_first_record_that_is_wrong_is_named(helio, project, name):
    change, problem, place = FORGERIES[name]
    forge(project, change)
    said = helio("ledger", "verify", project)
    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith(f"error[ledger-tampered]: record {place} ")
    assert problem in said.err
    document = helio("ledger", "verify", project, "--format", "json").json()
    assert document["schema"] == "heliotrope.ledger-verification/v1"
    assert document["intact"] is False
    assert (document["first_wrong"]["problem"], document["first_wrong"]["record"]) == (problem, place)
    assert helio("assess", project, "-q").code == 1, "nothing is built on it"


@pytest.mark.parametrize("name", BEHIND_THE_HEAD)
def test_with_a_head_cutting_off_and_writing_anew_are_noticed(helio, project, name, tmp_path):
    change, problem = BEHIND_THE_HEAD[name]
    head = helio("ledger", "verify", project, "--format", "json").json()["head"]
    forge(project, change)
    stranger = {"HELIOTROPE_STATE_HOME": str(tmp_path / "another-machine")}
    assert helio("ledger", "verify", project, env=stranger).code == 0, "the chain itself holds"
    said = helio("ledger", "verify", project, "--head", head, "--format", "json", env=stranger)
    assert said.code == 1
    assert said.json()["checked_against"] == head
    assert said.json()["first_wrong"]["problem"] == problem or problem is None
    assert helio("ledger", "verify", project).code == 1, "this machine remembers the head by itself"


def test_an_intact_ledger_is_told_to_programs(helio, project):
    said = helio("ledger", "verify", project, "--format", "json")
    document = said.json()
    assert said.code == 0
    assert document["intact"] is True
    assert document["head"] == f"{document['records']}:{document['head'].partition(':')[2]}"
    assert document["checked_against"] == document["head"]


def test_what_is_no_ledger_is_not_verified(helio, tmp_path):
    assert helio("ledger", "verify", "nowhere").code == 2
    assert helio("ledger", "verify", "--ledger", tmp_path).code == 3
    (tmp_path / "text.db").write_text("not a database, though longer than a header of one hundred bytes" * 4)
    said = helio("ledger", "verify", "--ledger", "text.db")
    assert said.code == 3
    assert "text.db" in said.err
    assert (tmp_path / "text.db").read_text().startswith("not a database")
