"""Every way to lie with a ledger's file, and what verification says to it."""

import contextlib
import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.ledger.forgery import (
    connected,
    delete,
    entry,
    fill,
    forging,
    hash_at,
    insert,
    recompute,
    renumber,
    rows,
)

from heliotrope.core.errors import ExitCode, LedgerError
from heliotrope.core.records import canonical_bytes, sha256_hex
from heliotrope.ledger import Entry, Head, LedgerTampered, is_postgres, open_ledger

settings.load_profile("ledger")


def tampered(path, head=None):
    with open_ledger(path) as ledger, pytest.raises(LedgerTampered) as caught:
        ledger.verify(head)
    assert caught.value.exit_code is ExitCode.NO
    assert caught.value.hint
    return caught.value


def verdict(path, head=None):
    error = tampered(path, head)
    return error.problem, error.sequence


def record_id(path, sequence):
    return rows(path, f"SELECT id FROM events WHERE sequence = {sequence}")[0][0]


def test_an_intact_ledger_holds_with_and_without_any_head_it_ever_had(place):
    heads = []
    with open_ledger(place, create=True) as ledger:
        heads.append(ledger.head())
        for number in range(5):
            ledger.append([entry(number)])
            heads.append(ledger.head())
        assert ledger.verify().records == 5
        assert all(ledger.verify(head).head == heads[-1] for head in heads)


def test_an_empty_ledger_holds(place):
    with open_ledger(place, create=True) as ledger:
        assert ledger.verify(ledger.head()).records == 0
    assert verdict(place, Head(0, "0" * 64)) == ("rewritten", 0)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", b"{}"),
        ("body", "text"),
        ("body", b"[1]"),
        ("hash", "0" * 64),
        ("hash", 7),
        ("id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("id", b"\xff\xfe"),
        ("time", "2020-01-01T00:00:00.000Z"),
        ("kind", "evidence"),
        ("content_id", "f" * 64),
        ("size", 1),
        ("size", "many"),
    ],
)
def test_a_changed_cell_of_an_event(place, column, value):
    if is_postgres(place) and type(value) is not {"body": bytes, "size": int}.get(column, str):
        pytest.skip("PostgreSQL holds no value of another type in a column")
    fill(place)
    with forging(place) as connection:
        connection.execute(f"UPDATE events SET {column} = ? WHERE sequence = 4", (value,))
    assert verdict(place) == ("changed", 4)


def test_text_that_is_no_text_is_named_too(path):
    fill(path)
    with forging(path) as connection:
        connection.execute("UPDATE events SET time = CAST(x'ff00fe' AS TEXT) WHERE sequence = 4")
    assert verdict(path) == ("changed", 4)


def test_one_byte_of_a_body_and_of_a_content(place):
    fill(place)
    with forging(place) as connection:
        connection.execute(
            "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), 'note', 'nota') AS BLOB) WHERE sequence = 9"
        )
    assert verdict(place) == ("changed", 9)
    with forging(place) as connection:
        connection.execute(
            "UPDATE contents SET body = CAST(replace(CAST(body AS TEXT), 'record 3', 'record 4') AS BLOB)"
        )
    error = tampered(place)
    assert (error.problem, error.sequence, error.record_id) == ("changed", 3, record_id(place, 3))


def test_a_content_of_another_type_or_size(path):
    fill(path)
    with forging(path) as connection:
        connection.execute("UPDATE contents SET body = CAST(body AS TEXT) WHERE CAST(body AS TEXT) LIKE '%record 2%'")
    assert verdict(path) == ("changed", 2)


def test_a_record_replaced_with_its_own_hash_put_right(place):
    fill(place)
    with forging(place) as connection:
        previous = hash_at(connection, 4)
        delete(connection, 5)
        insert(connection, 5, previous)
    error = tampered(place)
    assert (error.problem, error.sequence) == ("changed", 5)
    assert "FORGED" in str(error)


@pytest.mark.parametrize("at", [1, 5, 9])
@pytest.mark.parametrize("close_ranks", [False, True])
def test_a_deleted_record(place, at, close_ranks):
    fill(place)
    with forging(place) as connection:
        delete(connection, at)
        if close_ranks:
            renumber(connection, at + 1, -1)
    assert verdict(place) == ("deleted", at)


def test_several_deleted_records(place):
    fill(place)
    with forging(place) as connection:
        for at in (4, 5, 6):
            delete(connection, at)
    assert verdict(place) == ("deleted", 4)


@pytest.mark.parametrize(("first", "second"), [(1, 2), (4, 5), (3, 8), (1, 10), (9, 10)])
def test_two_records_swapped(place, first, second):
    fill(place)
    with forging(place) as connection:
        for table in ("events", "event_keys"):
            for old, new in ((first, -1), (second, first), (-1, second)):
                connection.execute(f"UPDATE {table} SET sequence = ? WHERE sequence = ?", (new, old))
    assert verdict(place) == ("reordered", first)


@pytest.mark.parametrize(("new", "expected"), [(500, "reordered"), (-3, "changed")])
def test_a_record_moved_away(place, new, expected):
    fill(place)
    with forging(place) as connection:
        connection.execute("UPDATE events SET sequence = ? WHERE sequence = 5", (new,))
        connection.execute("UPDATE event_keys SET sequence = ? WHERE sequence = 5", (new,))
    assert verdict(place) == (expected, 5)


def test_the_last_record_moved_on(place):
    fill(place)
    with forging(place) as connection:
        connection.execute("UPDATE events SET sequence = 900 WHERE sequence = 10")
    assert verdict(place) == ("changed", 10)


@pytest.mark.parametrize("at", [1, 5, 10])
@pytest.mark.parametrize("right_hash", [True, False])
def test_an_inserted_record_with_the_others_pushed_on(place, at, right_hash):
    fill(place)
    with forging(place) as connection:
        previous = hash_at(connection, at - 1)
        renumber(connection, at, 1)
        insert(connection, at, previous, digest=None if right_hash else "1" * 64)
    error = tampered(place)
    assert (error.problem, error.sequence) == ("inserted", at)
    assert error.record_id.startswith("FORGED")


def test_a_record_before_the_first(place):
    fill(place)
    with forging(place) as connection:
        insert(connection, 0, "0" * 64)
    assert verdict(place) == ("inserted", 0)


def test_a_copy_of_a_record_at_the_end(place):
    fill(place)
    with forging(place) as connection:
        connection.execute(
            "INSERT INTO events SELECT 11, 'COPY', time, kind, content_id, size, body, hash FROM events WHERE sequence = 3"
        )
    assert verdict(place) == ("inserted", 11)


def test_a_record_far_beyond_the_end(place):
    fill(place)
    with forging(place) as connection:
        insert(connection, 1000, "0" * 64)
    assert verdict(place) == ("deleted", 11)


def test_the_end_cut_off_shows_with_a_head_only(place):
    head = fill(place)
    with forging(place) as connection:
        for at in (8, 9, 10):
            delete(connection, at)
    with open_ledger(place) as ledger:
        assert ledger.verify().records == 7
    assert verdict(place, head) == ("truncated", 8)


def test_a_chain_recomputed_from_end_to_end_shows_with_a_head_only(place):
    head = fill(place)
    content = canonical_bytes({"number": 4, "text": "nothing was found"})
    with forging(place) as connection:
        connection.execute("INSERT INTO contents VALUES (?, ?)", (sha256_hex(content), content))
        connection.execute(
            "UPDATE events SET content_id = ?, size = ? WHERE sequence = 4", (sha256_hex(content), len(content))
        )
        connection.execute("DELETE FROM contents WHERE content_id NOT IN (SELECT content_id FROM events)")
        recompute(connection)
    with open_ledger(place) as ledger:
        assert ledger.verify().records == 10
    assert verdict(place, head) == ("rewritten", 10)


def test_a_head_of_another_ledger(new_place):
    place = new_place()
    fill(place)
    other = fill(new_place())
    assert verdict(place, other) == ("rewritten", 10)


def test_records_after_the_head_are_welcome(place):
    head = fill(place)
    with open_ledger(place) as ledger:
        ledger.append([entry(11)])
        assert ledger.verify(head).records == 11


def test_a_missing_content(place):
    fill(place)
    with forging(place) as connection:
        connection.execute("DELETE FROM contents WHERE CAST(body AS TEXT) LIKE '%record 6%'")
    assert verdict(place) == ("deleted", 6)


def test_a_content_without_a_record(place):
    fill(place)
    with forging(place) as connection:
        connection.execute("INSERT INTO contents VALUES (?, ?)", (sha256_hex(b"{}"), b"{}"))
    assert verdict(place) == ("inserted", None)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM event_keys WHERE sequence = 6 AND name = 'subject'", ("changed", 6)),
        ("UPDATE event_keys SET value = 'urn:other' WHERE sequence = 6 AND name = 'subject'", ("changed", 6)),
        ("UPDATE event_keys SET name = 'run' WHERE sequence = 6 AND name = 'subject'", ("changed", 6)),
        ("INSERT INTO event_keys VALUES ('subject', 'urn:forged', 6)", ("changed", 6)),
        ("INSERT INTO event_keys VALUES ('subject', x'00', 6)", ("changed", 6)),
        ("INSERT INTO event_keys VALUES ('subject', 'urn:forged', 11)", ("inserted", 11)),
        ("INSERT INTO event_keys VALUES ('subject', 'urn:forged', 0)", ("inserted", 0)),
        ("INSERT INTO event_keys VALUES ('subject', 'urn:forged', 'eleven')", ("inserted", None)),
        ("UPDATE event_keys SET sequence = 7 WHERE sequence = 6 AND name = 'digest'", ("changed", 6)),
    ],
)
def test_a_forged_index(place, statement, expected):
    if is_postgres(place) and ("x'00'" in statement or "eleven" in statement):
        pytest.skip("PostgreSQL holds no value of another type in a column")
    fill(place)
    with forging(place) as connection:
        connection.execute(statement)
    assert verdict(place) == expected


def test_another_identity(place):
    fill(place)
    with forging(place) as connection:
        connection.execute("UPDATE meta SET value = 'another' WHERE name = 'ledger_id'")
    assert verdict(place) == ("changed", 1)


def test_a_trigger_removed(place):
    fill(place)
    on = " ON events" if is_postgres(place) else ""
    with closing(connected(place)) as connection:
        connection.execute(f"DROP TRIGGER events_refuse_update{on}")
    assert verdict(place) == ("changed", None)


def test_the_first_of_several_wrongs_is_named(place):
    fill(place)
    with forging(place) as connection:
        delete(connection, 8)
        connection.execute("UPDATE contents SET body = x'01' WHERE CAST(body AS TEXT) LIKE '%record 3%'")
        connection.execute("UPDATE contents SET body = x'01' WHERE CAST(body AS TEXT) LIKE '%record 2%'")
    assert verdict(place) == ("changed", 2)
    with forging(place) as connection:
        connection.execute("UPDATE events SET hash = 'x' WHERE sequence = 1")
    assert verdict(place) == ("changed", 1)


def test_an_index_of_the_database_that_disagrees_with_its_table(path):
    """Change each place in the file where a content id is written: table, event and every index."""
    fill(path, 50)
    intact = path.read_bytes()
    connection = sqlite3.connect(path)
    (content_id,) = connection.execute("SELECT content_id FROM events WHERE sequence = 20").fetchone()
    connection.close()
    places = [match.start() for match in re.finditer(content_id.encode(), intact)]
    complaints = []
    for place in places:
        forged = bytearray(intact)
        forged[place + 60] ^= 1
        path.write_bytes(forged)
        with open_ledger(path) as ledger, pytest.raises(LedgerError) as caught:
            ledger.verify()
        complaints.append(str(caught.value))
    assert len(places) >= 5
    assert any("its indexes" in caught or "damaged" in caught for caught in complaints)


def test_names_in_messages_are_harmless(place):
    fill(place)
    with forging(place) as connection:
        connection.execute("UPDATE events SET id = ? WHERE sequence = 2", ("\x1b[2J<b>\u202e",))
    assert "\x1b" not in str(tampered(place))
    assert "\u202e" not in str(tampered(place))


def test_ordinary_statements_cannot_change_a_ledger(place):
    fill(place)
    verbs = {"meta": "name", "contents": "body", "events": "hash", "event_keys": "value"}
    statements = [f"DELETE FROM {table}" for table in verbs]
    statements += [f"UPDATE {table} SET {column} = {column}" for table, column in verbs.items()]
    if is_postgres(place):
        statements += ["TRUNCATE meta", "TRUNCATE blob_parts", "TRUNCATE contents, events, event_keys"]
    with closing(connected(place)) as connection:
        for statement in statements:
            with pytest.raises(Exception, match="append-only"):
                connection.execute(statement)
    with open_ledger(place) as ledger:
        assert ledger.verify().records == 10


CELLS = [("events", column) for column in ("sequence", "id", "time", "kind", "content_id", "size", "body", "hash")] + [
    ("contents", "content_id"),
    ("contents", "body"),
    *(("event_keys", column) for column in ("name", "value", "sequence")),
]
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=70),
    st.binary(max_size=200),
    st.none(),
    st.floats(allow_nan=False),
)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Two ledgers' worth of work saved: each example starts from a copy of this file."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HELIOTROPE_STATE_HOME", str(folder / "state"))
        path = folder / "ledger.db"
        head = fill(path)
    return path, head


@settings(max_examples=150)
@given(cell=st.sampled_from(CELLS), row=st.integers(0, 9), value=VALUES)
def test_no_single_cell_can_be_forged(original, tmp_path, cell, row, value):
    path, (table, column) = tmp_path / "forged.db", cell
    shutil.copy(original[0], path)
    with forging(path) as connection:
        order = "name, value, sequence" if table == "event_keys" else "rowid"
        where = f"({order}) = (SELECT {order} FROM {table} ORDER BY {order} LIMIT 1 OFFSET {row})"
        try:
            before = connection.execute(f"SELECT {column}, typeof({column}) FROM {table} WHERE {where}").fetchall()
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value,))
            after = connection.execute(f"SELECT {column}, typeof({column}) FROM {table} WHERE {where}").fetchall()
        except (sqlite3.IntegrityError, UnicodeEncodeError):
            assume(False)
        assume(before != after)
    error = tampered(path)
    if table == "events" and column != "sequence":
        assert (error.problem, error.sequence) == ("changed", row + 1)
    assert error.problem in {"changed", "deleted", "inserted", "reordered"}


@settings(max_examples=40)
@given(table=st.sampled_from(["events", "contents", "event_keys"]), row=st.integers(0, 9))
def test_no_single_row_can_be_deleted(original, tmp_path, table, row):
    path = tmp_path / "forged.db"
    shutil.copy(original[0], path)
    with forging(path) as connection:
        if table == "event_keys":
            connection.execute("DELETE FROM event_keys WHERE sequence = ? AND name = 'digest'", (row + 1,))
            expected = ("changed", row + 1)
        elif table == "contents":
            connection.execute(
                "DELETE FROM contents WHERE content_id = (SELECT content_id FROM events WHERE sequence = ?)", (row + 1,)
            )
            expected = ("deleted", row + 1)
        else:
            connection.execute("DELETE FROM events WHERE sequence = ?", (row + 1,))
            expected = ("deleted", row + 1) if row < 9 else ("truncated", 10)
    assert verdict(path, original[1]) == expected


@settings(max_examples=60)
@given(offset=st.integers(100, 10**9), flip=st.integers(1, 255))
def test_a_flipped_byte_of_the_file_never_passes_for_other_records(original, tmp_path, offset, flip):
    """Anywhere in the file: what is still accepted holds exactly the records that were written."""
    path = tmp_path / "forged.db"
    data = bytearray(original[0].read_bytes())
    data[offset % len(data)] ^= flip
    path.write_bytes(data)
    with contextlib.suppress(LedgerError), open_ledger(path) as ledger:
        assert ledger.verify(original[1]).head == original[1]
        assert [ledger.content(event.content_id) for event in ledger.events()] == [
            canonical_bytes(entry(number).content) for number in range(1, 11)
        ]


def test_verification_sees_one_state_while_others_append(place):
    with open_ledger(place, create=True) as ledger, open_ledger(place) as other:
        ledger.append([entry(number) for number in range(100)])
        for number in range(10):
            other.append([Entry("note", {"more": number})])
            assert ledger.verify().records == 101 + number


def test_a_content_id_that_is_no_text_is_a_change_like_any_other(path):
    fill(path)
    with forging(path) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(
            "UPDATE events SET content_id = CAST(x'b5' || substr(content_id, 2) AS TEXT) WHERE sequence = 4"
        )
    with open_ledger(path) as ledger, pytest.raises(LedgerTampered, match=r"record 4 .* was changed"):
        ledger.verify()
