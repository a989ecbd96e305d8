"""A ledger on a server that others use, too: rights, locks, foreign hands, and everything that can be wrong with it."""

import threading
import time

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.services import PASSWORD, Postgres
from tests.unit.ledger.forgery import ServerConnection, connected, entry, fill, forging

from heliotrope.core.errors import ExitCode, LedgerError
from heliotrope.ledger import Entry, LedgerTampered, open_ledger
from heliotrope.ledger._postgres_url import parse_postgres
from heliotrope.ledger.interface import MAX_KEYS


@pytest.fixture
def url(postgres: Postgres):
    return postgres.new_url()


def refused(url, match, *, create=False):
    with pytest.raises(LedgerError, match=match) as caught:
        open_ledger(url, create=create, busy_timeout=0.3)
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.INCONCLUSIVE
    assert PASSWORD not in caught.value.diagnostics()
    return caught.value


def schema_of(url):
    return parse_postgres(url).schema


def test_nothing_there(url):
    refused(url, "there is no ledger")


def test_a_schema_that_holds_something_else(url, postgres):
    postgres.execute(f"CREATE SCHEMA {schema_of(url)}", f"CREATE TABLE {schema_of(url)}.songs (title text)")
    refused(url, "holds something else")
    refused(url, "holds something else", create=True)


def test_an_empty_schema_becomes_a_ledger(url, postgres):
    postgres.execute(f"CREATE SCHEMA {schema_of(url)}")
    fill(url, 3)
    with open_ledger(url) as ledger:
        assert ledger.verify().records == 3


def test_two_schemas_are_two_ledgers(postgres):
    one, two = postgres.new_url(), postgres.new_url()
    assert fill(one, 3) != fill(two, 2)
    with open_ledger(one) as ledger, open_ledger(two) as other:
        assert ledger.id != other.id
        assert (ledger.verify().records, other.verify().records) == (3, 2)


def test_with_a_password_in_the_url_or_beside_it(postgres, monkeypatch, tmp_path):
    schema = schema_of(postgres.new_url())
    with open_ledger(f"{postgres.password_url}?schema={schema}", create=True) as ledger:
        ledger.append([entry(1)])
        assert ledger.location == f"{postgres.loopback_url}?schema={schema}"
        assert PASSWORD not in repr(vars(ledger)) + repr(ledger._database._engine.url)
    bare = f"{postgres.loopback_url}?schema={schema}"
    refused(bare, "does not let this user in")
    refused(bare.replace("@", ":wrong@", 1), "does not let this user in")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with open_ledger(bare) as ledger:
        assert ledger.verify().records == 1
    monkeypatch.delenv("PGPASSWORD")
    passfile = tmp_path / "pass"
    passfile.write_text("*:*:*:*:" + PASSWORD.replace("\\", "\\\\").replace(":", "\\:") + "\n", "utf-8")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    with open_ledger(bare) as ledger:
        assert ledger.verify().records == 1


def test_sslmode_is_passed_on(postgres):
    refused(f"{postgres.password_url}?sslmode=require", "SSL")


def test_servers_and_databases_that_are_not_there(postgres, tmp_path):
    refused(f"postgresql://u@127.0.0.1:1/x?schema={schema_of(postgres.new_url())}", "cannot be reached.*refused")
    refused(f"postgresql:///x?host={tmp_path}&user=u", "cannot be reached")
    refused(f"postgresql://{postgres.user}@/nowhere?host={postgres.folder}&port={postgres.port}", "does not exist")
    refused(postgres.password_url.replace("127.0.0.1", "127.0.0.1,127.0.0.1").replace("keeper", "nobody"), "let")


def test_another_encoding(postgres):
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", database="postgres")
    error = refused(postgres.socket_url.replace("/heliotrope?", "/latin?"), "LATIN1", create=True)
    assert "UTF8" in error.hint


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE VIEW {s}.more AS SELECT * FROM {s}.events", "relation"),
        ("CREATE TABLE {s}.other (x int)", "table"),
        ("CREATE TABLE {s}.other () INHERITS ({s}.events)", "table"),
        ("CREATE RULE quiet AS ON INSERT TO {s}.events DO INSTEAD NOTHING", "table"),
        ("CREATE SEQUENCE {s}.other", "relation"),
        ("CREATE INDEX other ON {s}.events (time)", "index"),
        ("ALTER TABLE {s}.events ENABLE ROW LEVEL SECURITY", "table"),
        ("ALTER TABLE {s}.meta SET UNLOGGED", "table"),
        ("ALTER TABLE {s}.events ADD COLUMN other text", "column"),
        ("ALTER TABLE {s}.events ALTER COLUMN kind SET DEFAULT 'note'", "column"),
        ("ALTER TABLE {s}.contents ALTER COLUMN body TYPE text USING encode(body, 'hex')", "column"),
        ("ALTER TABLE {s}.events ADD CHECK (sequence < 5) NOT VALID", "constraint"),
        ("CREATE TRIGGER extra AFTER INSERT ON {s}.events EXECUTE FUNCTION {s}.refuse_change()", "trigger"),
        ("CREATE FUNCTION {s}.length(bytea) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function"),
        (
            "CREATE OR REPLACE FUNCTION {s}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            "function",
        ),
        ("CREATE OPERATOR {s}.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)", "operator"),
    ],
)
def test_a_schema_that_others_have_built_on(url, postgres, statement, what):
    fill(url)
    postgres.execute(statement.replace("{s}", schema_of(url)))
    refused(url, f"holds a {what} that is not ours")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER contents_refuse_delete ON contents",
        "DROP TRIGGER events_refuse_truncate ON events",
        "DROP INDEX events_by_kind",
        "ALTER TABLE event_keys DROP CONSTRAINT event_keys_sequence_fkey",
        "ALTER TABLE events DROP CONSTRAINT events_id_key",
    ],
)
def test_a_guard_that_was_removed_is_found_by_verification(url, statement):
    fill(url)
    with forging(url) as connection:
        connection.execute(statement)
    with open_ledger(url) as ledger, pytest.raises(LedgerTampered, match="was removed"):
        ledger.verify()


def test_a_guard_that_was_switched_off(url, postgres):
    fill(url)
    postgres.execute(f"ALTER TABLE {schema_of(url)}.events DISABLE TRIGGER events_refuse_update")
    refused(url, "trigger that is not ours: 'events_refuse_update'")


@pytest.mark.parametrize("version", ["0", "3", "99999"])
def test_another_version(url, version):
    fill(url)
    with forging(url) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    refused(url, f"format {version}.*reads 1 to 2")


@pytest.fixture
def writer(postgres, url):
    """A role that may read and add, and nothing else, on a ledger that its owner has made."""
    fill(url)
    schema = schema_of(url)
    name = f"w_{schema}"
    postgres.execute(
        f"CREATE ROLE {name} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {name}",
        f"GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA {schema} TO {name}",
    )
    return url.replace(f"//{postgres.user}@", f"//{name}@")


def test_a_role_that_may_only_add_can_work_and_not_change(writer):
    with open_ledger(writer, create=True) as ledger:
        ledger.append([entry(11)])
        blob = ledger.blobs.put(b"picture", "image/png")
        assert ledger.blobs.get(blob) == b"picture"
        assert ledger.verify().records == 11
    guarded = ServerConnection(writer, guarded=True)
    for statement in ("UPDATE events SET hash = 'x'", "DELETE FROM contents", "TRUNCATE meta", "DROP TABLE event_keys"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            guarded.execute(statement)
    guarded.close()


def test_a_role_without_rights_is_told_which(writer, postgres):
    name = parse_postgres(writer).parameters["user"]
    schema = schema_of(writer)
    postgres.execute(f"REVOKE INSERT ON ALL TABLES IN SCHEMA {schema} FROM {name}")
    with open_ledger(writer) as ledger, pytest.raises(LedgerError, match="refuses this user") as caught:
        ledger.append([entry(11)])
    assert "INSERT" in caught.value.hint
    postgres.execute(f"REVOKE ALL ON SCHEMA {schema} FROM {name}")
    refused(writer, "refuses this user")


def test_locked_by_another_writer(url):
    fill(url)
    with open_ledger(url) as holder, open_ledger(url, busy_timeout=0.3) as ledger:
        with holder._database.writing():
            with pytest.raises(LedgerError, match="locked") as caught:
                ledger.append([entry(11)])
            assert "wait" in caught.value.hint
            assert ledger.verify().records == 10
        ledger.append([entry(11)])
        assert ledger.verify().records == 11


def test_whoever_writes_past_the_lock_meets_the_primary_key(url):
    fill(url)
    with open_ledger(url) as ledger:
        rival = connected(url)
        rival._connection.autocommit = False
        rival.execute(
            "INSERT INTO events SELECT 11, 'RIVAL', time, kind, content_id, size, body, hash FROM events WHERE sequence = 3"
        )
        done = []

        def append():
            try:
                done.append(ledger.append([entry(11)]))
            except LedgerError as error:
                done.append(error)

        thread = threading.Thread(target=append)
        thread.start()
        time.sleep(0.2)
        rival._connection.commit()
        thread.join()
        rival.close()
        assert isinstance(done[0], LedgerError)
        assert done[0].hint
        with pytest.raises(LedgerTampered) as caught:
            ledger.verify()
        assert (caught.value.problem, caught.value.sequence) == ("inserted", 11)


def hang(hanging, rival):
    with hanging._database.writing() as connection:
        rival.append([entry(11)])
        connection.exec_driver_sql("SELECT 1")


def test_a_writer_that_hangs_gives_its_lock_up(url, monkeypatch):
    from heliotrope.ledger import _postgres

    fill(url)
    monkeypatch.setattr(_postgres, "IDLE_SECONDS", 1)
    with open_ledger(url) as hanging, open_ledger(url) as ledger:
        with pytest.raises(LedgerError, match="waiting in a transaction") as caught:
            hang(hanging, ledger)
        assert caught.value.hint
        assert hanging.append([entry(12)])[0].sequence == 12


def test_a_slow_answer_is_ended(url, monkeypatch):
    from heliotrope.ledger import _postgres

    fill(url)
    monkeypatch.setattr(_postgres, "STATEMENT_SECONDS", 1)
    with (
        open_ledger(url) as ledger,
        pytest.raises(LedgerError, match="too slowly"),
        ledger._database.reading() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(20)")


def test_reading_writes_nothing(url):
    fill(url)
    with (
        open_ledger(url) as ledger,
        pytest.raises(LedgerError, match="read-only"),
        ledger._database.reading() as connection,
    ):
        connection.exec_driver_sql("INSERT INTO meta VALUES ('x', 'y')")


def test_commits_wait_for_the_disk_whatever_the_role_prefers(url, postgres):
    postgres.execute(f"ALTER ROLE {postgres.user} SET synchronous_commit = off")
    try:
        fill(url)
        with open_ledger(url) as ledger, ledger._database.reading() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    finally:
        postgres.execute(f"ALTER ROLE {postgres.user} RESET synchronous_commit")


def test_objects_elsewhere_in_the_database_are_not_looked_up(url, postgres):
    """Somebody's function or table of the same name in another schema, or a search path of theirs, changes nothing."""
    postgres.execute(
        "CREATE SCHEMA IF NOT EXISTS decoy",
        "CREATE TABLE IF NOT EXISTS decoy.events (sequence bigint)",
        f"ALTER ROLE {postgres.user} SET search_path = decoy, pg_catalog",
    )
    try:
        fill(url)
        with open_ledger(url) as ledger:
            assert ledger.verify().records == 10
    finally:
        postgres.execute(f"ALTER ROLE {postgres.user} RESET search_path")


def test_the_head_of_a_shared_ledger_is_remembered_by_everybody_who_works_with_it(url, tmp_path, monkeypatch):
    fill(url)
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(tmp_path / "colleague"))
    with open_ledger(url) as ledger:
        assert ledger.remembered_head() is None
    with open_ledger(url, create=True) as ledger:
        ledger.append([entry(11)])
        head = ledger.head()
    with open_ledger(url) as ledger:
        assert ledger.remembered_head() == head
    with forging(url) as connection:
        for table in ("event_keys", "events"):
            connection.execute(f"DELETE FROM {table} WHERE sequence = 11")
        connection.execute("DELETE FROM contents WHERE content_id NOT IN (SELECT content_id FROM events)")
    with open_ledger(url) as ledger, pytest.raises(LedgerTampered) as caught:
        ledger.verify(ledger.remembered_head())
    assert caught.value.problem == "truncated"


def test_a_file_with_the_id_of_a_shared_ledger_is_not_ones_own(url, path):
    from heliotrope.ledger.ownership import require_own

    fill(url)
    with open_ledger(url) as ledger:
        shared = ledger.id
    fill(path)
    with forging(path) as connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'ledger_id'", (shared,))
    with pytest.raises(LedgerError, match="copy of postgresql://"):
        require_own(path)


def test_a_record_with_as_many_keys_as_possible(url):
    keys = tuple(("digest", f"{number:05d}" + "é" * 250) for number in range(MAX_KEYS))
    with open_ledger(url, create=True) as ledger:
        ledger.append([Entry("note", {}, keys)])
        assert ledger.verify().records == 1
        assert ledger.latest("note", *keys[77]).sequence == 1


def test_damage_that_the_server_finds(url, postgres):
    fill(url, 200)
    schema = schema_of(url)
    postgres.execute("CHECKPOINT")
    ((file,),) = postgres.execute(f"SELECT pg_relation_filepath('{schema}.events')")
    postgres.stop("fast")
    with (postgres.folder / "data" / str(file)).open("r+b") as data:
        data.seek(8192 + 20)
        data.write(b"\xff" * 3000)
    postgres.start()
    with pytest.raises(LedgerError) as caught, open_ledger(url) as ledger:
        ledger.verify()
    assert caught.value.hint
    postgres.execute(f"DROP SCHEMA {schema} CASCADE")


def test_blobs_in_the_database(url, tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"x" * 2_500_000)
    with open_ledger(url, create=True) as ledger:
        blob = ledger.blobs.adopt(staged, "text/plain")
        assert not staged.exists()
        assert ledger.blobs.get(blob) == ledger.blobs.get(blob.sha256) == b"x" * 2_500_000
        assert ledger.blobs.put(b"x" * 2_500_000, "text/plain") == blob
        empty = ledger.blobs.put(b"", "text/plain")
        assert ledger.blobs.get(empty) == b""
        assert not ledger.blobs.has("0" * 64)
        for unknown in ("0" * 64, "../etc"):
            with pytest.raises(LedgerError) as caught:
                ledger.blobs.get(unknown)
            assert caught.value.hint
        with pytest.raises(LedgerError, match="cannot be kept"):
            ledger.blobs.put_file(tmp_path / "none", "text/plain")
    with forging(url) as connection:
        connection.execute("UPDATE blob_parts SET body = x'00' WHERE part = 1")
    with open_ledger(url) as ledger:
        for read in (lambda: ledger.blobs.get(blob), lambda: ledger.blobs.put(b"x" * 2_500_000, "text/plain")):
            with pytest.raises(LedgerError, match="was changed"):
                read()


def test_a_blob_that_is_too_large(url):
    from heliotrope.ledger._database_blobs import DatabaseBlobs

    with open_ledger(url, create=True) as ledger:
        blobs = DatabaseBlobs(ledger._database, limit=1000)
        with pytest.raises(LedgerError, match="more than 1000 bytes"):
            blobs.put(b"x" * 1001, "text/plain")


COLUMNS = [("events", name) for name in ("sequence", "id", "time", "kind", "content_id", "size", "body", "hash")] + [
    ("contents", "content_id"),
    ("contents", "body"),
    ("event_keys", "name"),
    ("event_keys", "value"),
    ("event_keys", "sequence"),
]


@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(cell=st.sampled_from(COLUMNS), row=st.integers(1, 10), drawn=st.data())
def test_no_single_cell_can_be_forged(shared, cell, row, drawn):
    """In a ledger that is put right again after each example."""
    url, head, copy = shared
    table, column = cell
    whole = st.integers(-(2**63), 2**63 - 1)
    text = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=70)
    values = {"sequence": whole, "size": whole, "body": st.binary(max_size=200)}.get(column, text)
    where = f"{column} = (SELECT {column} FROM {table} ORDER BY 1 LIMIT 1 OFFSET {row - 1})"
    with forging(url) as connection:
        try:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (drawn.draw(values),))
        except psycopg.IntegrityError:
            return
        same = set(connection.execute(f"SELECT * FROM {table}").fetchall()) == set(copy[table])
    with open_ledger(url) as ledger:
        try:
            assert ledger.verify(head).records == 10
            assert same
        except LedgerTampered:
            assert not same
    with forging(url) as connection:
        for name, kept in copy.items():
            connection.execute(f"DELETE FROM {name}")
            for values in kept:
                connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values))})", values)


@pytest.fixture
def shared(url):
    head = fill(url)
    with forging(url) as connection:
        copy = {
            name: connection.execute(f"SELECT * FROM {name}").fetchall()
            for name in ("contents", "events", "event_keys")
        }
    return url, head, copy
