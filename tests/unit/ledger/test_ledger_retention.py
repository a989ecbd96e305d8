"""What is removed stays named: the chain holds, and verification says how much, when and by whom."""

import sqlite3
from contextlib import closing

import pytest
from tests.unit.ledger.forgery import connected, entry, fill, forging, hash_at, insert, rows

from heliotrope.core.errors import LedgerError
from heliotrope.ledger import Entry, LedgerTampered, is_postgres, open_ledger
from heliotrope.ledger.interface import MAX_KEYS, PRUNED_KEY, PrunedError, Retention


def retention(horizon=10):
    return Retention(by="a test", keep_days=1, older_than="2026-01-01T00:00:00.000Z", horizon=horizon)


def content_of(ledger, sequence):
    return next(ledger.events(sequence - 1)).content_id


def test_a_removed_content_is_known_to_have_been_there(place):
    head = fill(place)
    with open_ledger(place) as ledger:
        gone = [content_of(ledger, number) for number in (2, 5)]
        assert ledger.prune(retention(), gone) == sorted(gone)
        verified = ledger.verify(head)
        assert (verified.records, verified.pruned) == (11, 2)
        assert verified.head == ledger.head()
        with pytest.raises(PrunedError, match=r"removed .* under retention") as caught:
            ledger.content(gone[0])
        assert caught.value.hint
        with pytest.raises(LedgerError, match="no content"):
            ledger.content("0" * 64)
        record = next(ledger.find("retention"))
        assert [value for name, value in record.keys if name == PRUNED_KEY] == sorted(gone)
        said = Retention.model_validate_json(ledger.content(record.content_id))
        assert (said.by, said.contents, said.blobs) == ("a test", 2, 0)
        assert len(list(ledger.events())) == 11
    assert rows(place, "SELECT count(*) FROM contents") == [(9,)]


def test_equal_content_that_is_recorded_again_is_there_again(place):
    fill(place)
    with open_ledger(place) as ledger:
        gone = content_of(ledger, 4)
        ledger.prune(retention(), [gone])
        ledger.append([entry(4)])
        assert ledger.content(gone)
        assert ledger.verify().pruned == 0
        assert ledger.prune(retention(), [gone]) == [], "a record after the horizon refers to it"
        assert ledger.prune(retention(horizon=12), [gone]) == [gone]
        assert ledger.verify().pruned == 2


def test_what_is_not_there_or_records_a_removal_is_left_alone(place):
    fill(place)
    with open_ledger(place) as ledger:
        gone = content_of(ledger, 1)
        ledger.prune(retention(), [gone])
        head = ledger.head()
        record = content_of(ledger, 11)
        assert ledger.prune(retention(99), [gone, record, "0" * 64]) == []
        assert ledger.head() == head
        with pytest.raises(LedgerError, match=str(MAX_KEYS)):
            ledger.prune(retention(), [f"{number:064d}" for number in range(MAX_KEYS + 1)])


def test_a_content_deleted_without_a_record_is_tampering(place):
    fill(place)
    with open_ledger(place) as ledger:
        ledger.prune(retention(), [content_of(ledger, 2)])
        other = content_of(ledger, 6)
    with forging(place) as connection:
        connection.execute("DELETE FROM contents WHERE content_id = ?", (other,))
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered) as caught:
        ledger.verify()
    assert (caught.value.problem, caught.value.sequence) == ("deleted", 6)


@pytest.mark.parametrize("kind", ["note", "retention"])
def test_a_forged_key_excuses_no_deletion(place, kind):
    """A key row that says a content was removed must be in the bytes of a retention record."""
    fill(place)
    with open_ledger(place) as ledger:
        ledger.append([Entry(kind, retention())])
        other = content_of(ledger, 6)
    with forging(place) as connection:
        connection.execute("DELETE FROM contents WHERE content_id = ?", (other,))
        connection.execute("INSERT INTO event_keys VALUES (?, ?, 11)", (PRUNED_KEY, other))
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered) as caught:
        ledger.verify()
    assert (caught.value.problem, caught.value.sequence) in [("changed", 11), ("deleted", 6)]


def test_an_ordinary_record_excuses_no_deletion(place):
    fill(place)
    with open_ledger(place) as ledger:
        other = content_of(ledger, 6)
        ledger.append([Entry("note", {}, ((PRUNED_KEY, other),))])
    with closing(connected(place)) as connection, pytest.raises(Exception, match="append-only"):
        connection.execute("DELETE FROM contents WHERE content_id = ?", (other,))
    with forging(place) as connection:
        connection.execute("DELETE FROM contents WHERE content_id = ?", (other,))
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered):
        ledger.verify()


def test_an_event_that_was_never_there_is_not_excused_either(place):
    fill(place)
    with open_ledger(place) as ledger:
        ledger.prune(retention(), [content_of(ledger, 2)])
        head = ledger.head()
    with forging(place) as connection:
        insert(connection, 12, hash_at(connection, 11))
        connection.execute("UPDATE events SET size = 3 WHERE sequence = 2")
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered) as caught:
        ledger.verify(head)
    assert (caught.value.problem, caught.value.sequence) == ("changed", 2)


def test_the_guard_lets_go_what_is_named_and_nothing_else(place):
    fill(place)
    with open_ledger(place) as ledger:
        named, other = content_of(ledger, 2), content_of(ledger, 3)
        ledger.prune(retention(), [named])
        ledger.append([entry(2)])
    with closing(connected(place)) as connection:
        with pytest.raises(Exception, match="append-only"):
            connection.execute("DELETE FROM contents WHERE content_id = ?", (other,))
        with pytest.raises(Exception, match="append-only"):
            connection.execute("UPDATE contents SET body = body")
        connection.execute("DELETE FROM contents WHERE content_id = ?", (named,))
    with open_ledger(place) as ledger:
        assert ledger.verify().pruned == 2


def test_nothing_of_what_was_removed_can_be_read_in_the_file(path):
    secret = "the name of a person " * 20
    with open_ledger(path, create=True) as ledger:
        ledger.append([Entry("evidence", {"text": secret})])
        ledger.prune(retention(1), [content_of(ledger, 1)])
        ledger.reclaim()
    files = list(path.parent.glob("ledger.db*"))
    assert files
    assert not any(b"the name of a person" in file.read_bytes() for file in files)


def test_space_is_given_back(place):
    with open_ledger(place, create=True) as ledger:
        ledger.append([Entry("evidence", {"number": number, "text": "x" * 100_000}) for number in range(20)])
        gone = [event.content_id for event in ledger.events()]
        before = size(place)
        ledger.prune(retention(20), gone)
        ledger.reclaim()
        assert ledger.verify().pruned == 20
    assert size(place) < before / 2 or is_postgres(place)


def size(place):
    if is_postgres(place):
        return 0
    with closing(sqlite3.connect(place)) as connection:
        return connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[
            0
        ]


def test_blobs_go_once_a_record_names_them(place):
    with open_ledger(place, create=True) as ledger:
        kept, gone = (ledger.blobs.put(data, "image/png") for data in (b"kept", b"gone"))
        ledger.append([Entry("run", {"blobs": [{"sha256": gone.sha256}]})])
        if is_postgres(place):
            with pytest.raises(LedgerError, match="append-only"):
                ledger.blobs.remove(gone.sha256)
        ledger.prune(retention(1), [content_of(ledger, 1)], [gone.sha256])
        assert ledger.blobs.remove(gone.sha256)
        assert not ledger.blobs.remove(gone.sha256)
        assert not ledger.blobs.has(gone.sha256)
        assert ledger.blobs.get(kept) == b"kept"
        with pytest.raises(LedgerError):
            ledger.blobs.get(gone)
        assert ledger.verify().pruned == 1
