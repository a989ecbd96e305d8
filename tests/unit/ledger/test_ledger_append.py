"""What goes in comes out: appending, looking up, reading back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ledger.forgery import entry, fill, forging, rows

from heliotrope.core.errors import LedgerError
from heliotrope.core.events import event_source
from heliotrope.core.evidence import Statement, statement
from heliotrope.core.records import Record, canonical_bytes, content_id
from heliotrope.ledger import Entry, Head, LedgerTampered, open_ledger
from heliotrope.ledger.interface import GENESIS_HASH, MAX_CONTENT_BYTES, MAX_KEYS

settings.load_profile("ledger")


class FixedClock:
    def __init__(self):
        self.moment = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)

    def now(self):
        self.moment += timedelta(seconds=1)
        return self.moment


class CountingIds:
    def __init__(self):
        self.count = 0

    def new(self):
        self.count += 1
        return f"01J{self.count:023d}"


class Weight(Record):
    kilograms: float


def test_an_empty_ledger(place):
    with open_ledger(place, create=True) as ledger:
        assert ledger.head() == Head(0, GENESIS_HASH)
        assert list(ledger.events()) == []
        assert list(ledger.find()) == []
        assert ledger.append([]) == []
        assert ledger.location == str(place)
        assert ledger.verify().head == ledger.head()


def test_the_same_appends_under_the_same_clock_and_ids_differ_in_nothing_but_the_ledger_id(place):
    with open_ledger(place, create=True, clock=FixedClock(), ids=CountingIds()) as ledger:
        first = ledger.append([Entry("note", {"b": 1}, (("subject", "x"), ("digest", "y"), ("subject", "x")))])
        second = ledger.append([Entry("evidence", Weight(kilograms=1.5)), Entry("note", {"b": 1})])
        events = list(ledger.events())
    assert [item.sequence for item in first + second] == [1, 2, 3]
    assert [item.time for item in first + second] == ["2026-11-23T08:15:01.000Z"] + ["2026-11-23T08:15:02.000Z"] * 2
    assert [item.id for item in first + second] == [f"01J{n:023d}" for n in (1, 2, 3)]
    assert first[0].content_id == second[1].content_id == content_id({"b": 1})
    assert events[0].keys == (("digest", "y"), ("subject", "x"))
    assert events[0].data.previous == GENESIS_HASH
    assert events[1].type == "heliotrope.evidence.recorded"
    assert {event.source for event in events} == {event_source(ledger.id)}
    assert [(event.sequence, event.id, event.kind, event.content_id) for event in events] == [
        (item.sequence, item.id, kind, item.content_id)
        for item, kind in zip(first + second, ["note", "evidence", "note"], strict=True)
    ]


def test_equal_content_is_stored_once_and_recorded_each_time(place):
    with open_ledger(place, create=True) as ledger:
        ledger.append([Entry("note", {"b": 1}), Entry("note", {"b": 1})])
        ledger.append([Entry("note", {"b": 1})])
        assert len(list(ledger.events())) == 3
    assert rows(place, "SELECT count(*) FROM contents") == [(1,)]


def test_content_reads_back_as_what_it_was(place):
    item = statement({"model": "a" * 64}, "urn:predicate", Weight(kilograms=0.25))
    with open_ledger(place, create=True) as ledger:
        (appended,) = ledger.append([Entry("evidence", item)])
        assert Statement.model_validate_json(ledger.content(appended.content_id)) == item


def test_looking_up_by_kind_and_keys_newest_first(place):
    fill(place, 12)
    with open_ledger(place) as ledger:
        ledger.append([entry(13, "run")])
        assert [event.sequence for event in ledger.find("note", subject="urn:1")] == [10, 7, 4, 1]
        assert [event.sequence for event in ledger.find(subject="urn:1")] == [13, 10, 7, 4, 1]
        digest = dict(next(ledger.events(6)).keys)["digest"]
        assert [event.sequence for event in ledger.find("note", subject="urn:1", digest=digest)] == [7]
        assert ledger.latest("note", "subject", "urn:1").sequence == 10
        assert ledger.latest("note", "subject", "urn:9") is None
        assert ledger.latest("decision", "subject", "urn:1") is None


def test_long_reads_go_page_by_page_while_others_append(place):
    with open_ledger(place, create=True) as ledger:
        ledger.append([Entry("note", {"n": n}, (("project", "p"),)) for n in range(1203)])
        seen = []
        for event in ledger.events():
            if event.sequence == 700:
                ledger.append([Entry("note", {"n": "later"})])
            seen.append(event.sequence)
        assert seen == list(range(1, 1205))
        assert [event.sequence for event in ledger.find(project="p")] == list(range(1203, 0, -1))
        assert [event.sequence for event in ledger.events(1200)] == [1201, 1202, 1203, 1204]


@pytest.mark.parametrize(
    "content",
    [{"x": float("nan")}, {"x": 2**53}, {"x": "\ud800"}, {1: 2}, {"x": object()}],
    ids=["nan", "integer", "surrogate", "number as name", "object"],
)
def test_what_cannot_be_written_is_refused_and_nothing_of_its_batch_is_kept(place, content):
    with open_ledger(place, create=True) as ledger:
        with pytest.raises(LedgerError, match="canonical JSON") as caught:
            ledger.append([Entry("note", {"fine": 1}), Entry("note", content)])
        assert caught.value.hint
        assert ledger.head().sequence == 0


def test_content_nested_without_end_is_refused(place):
    content = {}
    content["self"] = content
    with open_ledger(place, create=True) as ledger, pytest.raises(LedgerError, match="canonical JSON"):
        ledger.append([Entry("note", content)])


def test_limits_are_named(place):
    with open_ledger(place, create=True) as ledger:
        with pytest.raises(LedgerError, match=str(MAX_CONTENT_BYTES)):
            ledger.append([Entry("note", {"x": "y" * MAX_CONTENT_BYTES})])
        with pytest.raises(LedgerError, match=str(MAX_KEYS)):
            ledger.append([Entry("note", {}, tuple(("digest", str(n)) for n in range(MAX_KEYS + 1)))])


@pytest.mark.parametrize(
    "key", [("", "x"), ("Subject", "x"), ("a b", "x"), ("subject", ""), ("subject", "a\0b"), ("subject", "\udcff")]
)
def test_what_cannot_be_a_key_is_refused(place, key):
    with open_ledger(place, create=True) as ledger:
        with pytest.raises(LedgerError, match="look-up key"):
            ledger.append([Entry("note", {}, (key,))])
        with pytest.raises(LedgerError, match="look-up key"):
            list(ledger.find(**{key[0]: key[1]}))


def test_a_long_key_is_found_by_its_whole_value(place):
    value = "é" * 5000
    with open_ledger(place, create=True) as ledger:
        ledger.append([Entry("note", {}, (("subject", value),))])
        assert ledger.latest("note", "subject", value).sequence == 1
        assert ledger.latest("note", "subject", value + "x") is None
        assert ledger.verify().records == 1


def test_all_or_nothing_when_the_id_source_repeats_itself(place):
    class Same:
        def new(self):
            return "01J00000000000000000000000"

    with open_ledger(place, create=True, ids=Same()) as ledger:
        ledger.append([entry(1)])
        with pytest.raises(LedgerError):
            ledger.append([entry(2)])
        assert ledger.verify().records == 1


def test_missing_content_is_told_from_changed_content(place):
    fill(place)
    with open_ledger(place) as ledger:
        for unknown in ("0" * 64, "../etc", "\udcff"):
            with pytest.raises(LedgerError, match="no content"):
                ledger.content(unknown)
        wanted = next(ledger.events()).content_id
    with forging(place) as connection:
        connection.execute("UPDATE contents SET body = x'00' WHERE content_id = ?", (wanted,))
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered, match="changed"):
        ledger.content(wanted)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = x'00' WHERE sequence = 4",
        "UPDATE events SET hash = 'x' WHERE sequence = 4",
        "UPDATE event_keys SET value = 'urn:1' WHERE sequence = 5 AND name = 'subject'",
    ],
)
def test_reading_a_forged_record_raises_without_verification(place, statement):
    fill(place)
    with forging(place) as connection:
        connection.execute(statement)
    with open_ledger(place) as ledger, pytest.raises(LedgerTampered):
        list(ledger.find(subject="urn:1"))


def test_an_event_with_a_right_hash_but_no_right_shape(place):
    from heliotrope.ledger._chain import link

    fill(place)
    with forging(place) as connection:
        body = b'{"data":{"sequence":4,"previous":"' + b"0" * 64 + b'"}}'
        connection.execute("UPDATE events SET body = ?, hash = ? WHERE sequence = 4", (body, link("0" * 64, body)))
        connection.execute("UPDATE events SET hash = 'x' WHERE sequence = 10")
    with open_ledger(place) as ledger:
        with pytest.raises(LedgerTampered, match="no event"):
            list(ledger.events())
        with pytest.raises(LedgerTampered):
            ledger.head()
        with pytest.raises(LedgerTampered):
            ledger.append([entry(11)])


def test_text_that_is_no_text_is_refused_by_readers(path):
    fill(path)
    with forging(path) as connection:
        connection.execute("UPDATE events SET hash = CAST(x'ff00fe' AS TEXT) WHERE sequence = 10")
    with open_ledger(path) as ledger, pytest.raises(LedgerError, match="not UTF-8"):
        ledger.head()


def test_threads_may_share_a_ledger(place):
    with open_ledger(place, create=True) as ledger, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: ledger.append([entry(n)]), range(40)))
        assert ledger.verify().records == 40


def test_closing_twice_is_harmless(path):
    ledger = open_ledger(path, create=True)
    ledger.append([entry(1)])
    ledger.close()
    ledger.close()
    assert not path.with_name("ledger.db-wal").exists()


BATCHES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["note", "run", "evidence"]),
            st.dictionaries(
                st.text(max_size=4),
                st.text(max_size=8) | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
                max_size=3,
            ),
            st.lists(st.tuples(st.sampled_from(["subject", "run"]), st.sampled_from("abc")), max_size=3),
        ),
        max_size=6,
    ),
    max_size=6,
)


@settings(max_examples=25)
@given(batches=BATCHES)
def test_any_sequence_of_appends(new_place, batches):
    path = new_place()
    written = []
    for batch in batches:
        with open_ledger(path, create=True) as ledger:
            before = ledger.head()
            ledger.append([Entry(kind, content, tuple(keys)) for kind, content, keys in batch])
            written += batch
            assert ledger.verify(before).records == len(written)
    with open_ledger(path, create=True) as ledger:
        events = list(ledger.events())
        assert [ledger.content(event.content_id) for event in events] == [canonical_bytes(item[1]) for item in written]
        for name in ("subject", "run"):
            for value in "abc":
                expected = [n for n, item in enumerate(written, 1) if (name, value) in item[2]]
                assert [event.sequence for event in ledger.find(**{name: value})] == expected[::-1]
