"""From every schema to every other, on both databases: the chain, its head and the id stay; all or nothing."""

import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.ledger.forgery import connected, entry, fill, forging, rows

from heliotrope.core.errors import LedgerError, UsageError
from heliotrope.ledger import Entry, LedgerTampered, is_postgres, migrate_ledger, open_ledger
from heliotrope.ledger._postgres_url import parse_postgres
from heliotrope.ledger._tables import SCHEMA_VERSION
from heliotrope.ledger.interface import Retention

RETENTION = Retention(by="a test", keep_days=1, older_than="2026-01-01T00:00:00.000Z", horizon=10)


def shape(place):
    """Everything the database says of tables, columns, indexes, constraints and triggers, whoever laid them."""
    if is_postgres(place):
        schema = parse_postgres(place).schema
        ours = f"to_regnamespace('{schema}')"
        queries = [
            (
                "SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, attcollation::regcollation"
                f" FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r' AND attnum > 0 AND relnamespace = {ours}"
            ),
            f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{schema}'",
            f"SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = {ours}",
            (
                "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
                f" WHERE NOT tgisinternal AND relnamespace = {ours}"
            ),
            f"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = {ours}",
        ]
        return {str(row).replace(schema, "S") for query in queries for row in rows(place, query)}
    found = set()
    with closing(sqlite3.connect(place)) as connection:
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
            found.add((kind, name, sql if kind in ("trigger", "index") else ""))
            if kind == "table":
                for pragma in ("table_xinfo", "foreign_key_list", "index_list"):
                    found |= {
                        (name, pragma, *row[pragma == "index_list" :])
                        for row in connection.execute(f"PRAGMA {pragma}({name})")
                    }
                ((without_rowid, strict),) = connection.execute(
                    "SELECT wr, strict FROM pragma_table_list WHERE name = ?", (name,)
                )
                found.add((name, "kind", without_rowid, strict))
    return found


def dump(place):
    return [rows(place, f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("contents", "events", "event_keys")]


def version(place):
    return rows(place, "SELECT value FROM meta WHERE name = 'schema_version'")[0][0]


def test_down_and_up_again_leaves_everything_as_it_was(new_place):
    place = new_place()
    head = fill(place, 30)
    with open_ledger(place) as ledger:
        ledger_id = ledger.id
    before, content = shape(place), dump(place)
    assert migrate_ledger(place, 1) == (2, 1)
    assert version(place) == "1"
    assert shape(place) != before
    with open_ledger(place) as ledger:
        assert ledger.id == ledger_id
        assert ledger.verify(head).head == head
    assert migrate_ledger(place) == (1, SCHEMA_VERSION)
    assert shape(place) == before
    assert dump(place) == content
    with open_ledger(place) as ledger:
        assert ledger.id == ledger_id
        assert ledger.verify(head).head == head
        ledger.append([entry(31)])
    assert migrate_ledger(place) == (SCHEMA_VERSION, SCHEMA_VERSION)


def test_the_scripts_alone_lay_what_a_new_ledger_has(new_place, kind_of_database):
    """From nothing through every script: the same tables as a ledger that begins today."""
    import sqlalchemy as sa
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from heliotrope.ledger import _resolve, migrations

    fresh, place = new_place(), new_place()
    fill(fresh, 1)
    fill(place, 1)
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == [str(number) for number in range(SCHEMA_VERSION, 0, -1)]
    database, _ = _resolve(place, 10.0)
    with database.rebuilding() as connection:
        database.drop_guards(connection, SCHEMA_VERSION)
        for table in ("event_keys", "events", "contents", "blob_parts", "meta"):
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
        with Operations.context(MigrationContext.configure(connection)):
            scripts.get_revision("1").module.upgrade()
            for step in migrations.steps(1, SCHEMA_VERSION):
                step()
        for statement in database.guards(SCHEMA_VERSION).values():
            connection.exec_driver_sql(statement)
    database.close()
    assert shape(place) == shape(fresh)


# A ledger file as the first version wrote it, statement by statement.
FIRST_SCHEMA = """
PRAGMA application_id=1212501065;
CREATE TABLE contents (content_id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (content_id));
CREATE TABLE meta (name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (name));
CREATE TABLE events (sequence INTEGER NOT NULL, id TEXT NOT NULL, time TEXT NOT NULL, kind TEXT NOT NULL,
  content_id TEXT NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL, hash TEXT NOT NULL,
  PRIMARY KEY (sequence), UNIQUE (id), FOREIGN KEY(content_id) REFERENCES contents (content_id));
CREATE INDEX events_by_content ON events (content_id, sequence);
CREATE INDEX events_by_kind ON events (kind, sequence);
CREATE TABLE event_keys (name TEXT NOT NULL, value TEXT NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY (name, value, sequence), FOREIGN KEY(sequence) REFERENCES events (sequence)) WITHOUT ROWID;
CREATE INDEX event_keys_by_sequence ON event_keys (sequence);
"""


@pytest.fixture
def first_version(path, tmp_path):
    """A file that the first version made, with ten records; its head."""
    made = tmp_path / "made.db"
    head = fill(made)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(FIRST_SCHEMA)
        connection.execute("ATTACH ? AS made", (str(made),))
        for table in ("contents", "events", "event_keys"):
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM made.{table}")
        connection.execute(
            "INSERT INTO main.meta SELECT name, replace(value, '2', '1') FROM made.meta WHERE name <> 'ledger_id'"
        )
        connection.execute("INSERT INTO main.meta SELECT * FROM made.meta WHERE name = 'ledger_id'")
        for table in ("contents", "meta", "events", "event_keys"):
            for verb in ("update", "delete"):
                connection.execute(
                    f"CREATE TRIGGER {table}_refuse_{verb} BEFORE {verb.upper()} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END"
                )
    made.unlink()
    return head


def test_a_file_of_the_first_version_is_read_as_it_is(path, first_version):
    before = shape(path)
    with open_ledger(path) as ledger:
        assert ledger.verify(first_version).records == 10
        ledger.append([entry(11)])
        assert ledger.verify(first_version).records == 11
        with pytest.raises(LedgerError, match="format 1") as caught:
            ledger.prune(RETENTION, [])
    assert "migrate" in caught.value.hint
    assert shape(path) == before


def test_a_file_of_the_first_version_is_brought_up_when_it_is_worked_with(path, tmp_path, first_version):
    with open_ledger(path, create=True) as ledger:
        assert ledger.verify(first_version).records == 10
        ledger.append([entry(11)])
    assert version(path) == "2"
    new = tmp_path / "new.db"
    fill(new)
    assert shape(path) == shape(new)


def test_a_ledger_on_a_server_is_not_brought_up_unasked(postgres):
    url = postgres.new_url()
    fill(url)
    migrate_ledger(url, 1)
    with open_ledger(url, create=True) as ledger:
        ledger.append([entry(11)])
        assert ledger.verify().records == 11
        with pytest.raises(LedgerError, match="keeps no blobs") as caught:
            ledger.blobs.put(b"x", "text/plain")
    assert "migrate" in caught.value.hint
    assert version(url) == "1"


def test_what_the_older_schema_cannot_hold_stops_the_way_back(place):
    fill(place)
    before = shape(place)
    with open_ledger(place) as ledger:
        first = next(ledger.events()).content_id
        ledger.prune(RETENTION, [first])
    with pytest.raises(LedgerError, match="1 records have had their content removed") as caught:
        migrate_ledger(place, 1)
    assert caught.value.hint
    assert version(place) == "2"
    assert shape(place) == before
    with open_ledger(place) as ledger:
        ledger.append([entry(1)])  # the same content again
    migrate_ledger(place, 1)
    with open_ledger(place) as ledger:
        assert ledger.verify().pruned == 0


def test_blobs_in_the_database_stop_the_way_back(postgres):
    url = postgres.new_url()
    with open_ledger(url, create=True) as ledger:
        ledger.blobs.put(b"picture", "image/png")
    with pytest.raises(LedgerError, match="keeps no blobs"):
        migrate_ledger(url, 1)
    with open_ledger(url) as ledger:
        assert ledger.verify().records == 0


def test_a_migration_that_fails_changes_nothing(place, monkeypatch):
    from heliotrope.ledger import migrations

    def with_a_failing_end(start, target):
        return [*original(start, target), fail]

    def fail():
        raise RuntimeError("in the middle")

    original = migrations.steps
    head = fill(place)
    before = shape(place)
    monkeypatch.setattr(migrations, "steps", with_a_failing_end)
    with pytest.raises(RuntimeError):
        migrate_ledger(place, 1)
    assert shape(place) == before
    with open_ledger(place) as ledger:
        assert ledger.verify(head).records == 10


def test_foreign_keys_hold_again_after_a_migration(path):
    fill(path)
    migrate_ledger(path, 1)
    with open_ledger(path) as ledger:
        from heliotrope.ledger.migrations import migrate

        migrate(ledger._database, 2)
        with ledger._database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_tampering_is_not_laundered(place):
    fill(place)
    with forging(place) as connection:
        connection.execute("UPDATE events SET time = '2020-01-01T00:00:00.000Z' WHERE sequence = 4")
    migrate_ledger(place, 1)
    migrate_ledger(place)
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered) as caught:
        ledger.verify()
    assert (caught.value.problem, caught.value.sequence) == ("changed", 4)


def test_a_row_that_belongs_to_nothing_stops_a_migration(path):
    fill(path)
    with forging(path) as connection:
        connection.execute("INSERT INTO event_keys VALUES ('subject', 'x', 77)")
    with pytest.raises(LedgerError, match="belongs to nothing") as caught:
        migrate_ledger(path, 1)
    assert caught.value.hint
    assert version(path) == "2"


@pytest.mark.parametrize("target", [0, 3, -1])
def test_formats_that_are_none(path, target):
    fill(path)
    with pytest.raises(UsageError, match="no format"):
        migrate_ledger(path, target)


def test_nothing_to_migrate(path, tmp_path):
    with pytest.raises(LedgerError, match="no ledger"):
        migrate_ledger(path)
    assert not path.exists()


def test_a_reader_and_a_writer_that_had_it_open_go_on(place):
    fill(place)
    migrate_ledger(place, 1)
    with open_ledger(place) as before:
        migrate_ledger(place)
        before.append([entry(11)])
        assert before.verify().records == 11
    with closing(connected(place)) as connection, pytest.raises(Exception, match="append-only"):
        connection.execute("DELETE FROM contents")


def test_alembic_stays_away_from_ordinary_work(tmp_path):
    code = (
        "import sys; from heliotrope.ledger import Entry, open_ledger\n"
        f"with open_ledger({str(tmp_path / 'x.db')!r}, create=True) as ledger: ledger.append([Entry('note', {{}})]); ledger.verify()\n"
        "sys.exit(any(name in sys.modules for name in ('alembic', 'psycopg')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_wheel_contains_the_migrations(tmp_path):
    root = Path(__file__).resolve().parents[3]
    source = tmp_path / "source"
    shutil.copytree(
        root, source, ignore=lambda folder, names: [] if Path(folder) != root else [n for n in names if n not in WANTED]
    )
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, capture_output=True, text=True, check=False
    )
    if "No module named 'hatchling'" in done.stderr:
        pytest.skip("hatchling is not installed")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for number in range(1, SCHEMA_VERSION + 1):
        assert f"heliotrope/ledger/migrations/versions/schema_{number}.py" in names


WANTED = {"src", "pyproject.toml", "README.md", "LICENSE", "examples"}


def test_entries_of_kinds_of_the_second_schema_are_read_by_the_first(place):
    """Retention records are records like any other: going back keeps them."""
    with open_ledger(place, create=True) as ledger:
        ledger.append([Entry("retention", RETENTION)])
        head = ledger.head()
    migrate_ledger(place, 1)
    with open_ledger(place) as ledger:
        assert ledger.verify(head).head == head
