"""Killed at any step of creation, append, migration, pruning, export and import, on both databases: never half of it.

A step is a line of the ledger's code, or a statement or commit before and after it reaches the database.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.killing import count_steps, ends_at_step
from tests.unit.ledger.forgery import entry, fill
from tests.unit.ledger.test_ledger_migrations import shape, version

from heliotrope.ledger import Entry, import_ledger, migrate_ledger, open_ledger
from heliotrope.ledger.interface import Retention

FEW, MANY = 10, 150
EXAMPLES = pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.nightly)])
SHARES = st.integers(0, 10**6)


def at_every_step(work, check, examples, *, prepare=lambda: None):
    """Kill the work at steps drawn from all it takes; `check` is given what it said, and leaves all as it was before."""
    for _ in range(2):  # the first time imports what is needed, which is no step of the work
        prepare()
        steps = count_steps(work)
        check("", finished=True)

    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(SHARES)
    def kill(share):
        prepare()
        check(ends_at_step(work, 1 + share * (steps - 1) // 10**6), finished=False)

    kill()
    assert steps > 20


@EXAMPLES
def test_creation(new_place, examples):
    places = [new_place()]

    def work(say):
        open_ledger(places[-1], create=True).close()

    def check(_, *, finished):
        with open_ledger(places[-1], create=True) as ledger:
            assert ledger.verify().records == 0
            ledger.append([entry(1)])
        with open_ledger(places[-1]) as ledger:
            assert ledger.verify().records == 1
        places.append(new_place())

    at_every_step(work, check, examples)


@EXAMPLES
def test_appends(place, examples):
    fill(place, 0)
    acknowledged = {}

    def work(say):
        with open_ledger(place) as ledger:
            for _ in range(2):
                appended = ledger.append([entry(number) for number in range(3)])
                say("".join(f"{item.sequence} {item.id}\n" for item in appended))

    def check(said, *, finished):
        acknowledged.update(line.split() for line in said.splitlines())
        with open_ledger(place) as ledger:
            assert ledger.verify(ledger.remembered_head()).records % 3 == 0
            there = {str(event.sequence): event.id for event in ledger.events()}
        assert acknowledged.items() <= there.items()

    at_every_step(work, check, examples)


@EXAMPLES
@pytest.mark.parametrize(("start", "target"), [(1, 2), (2, 1)])
def test_migration(place, examples, start, target):
    head = fill(place, 12)
    shapes = {"2": shape(place)}
    migrate_ledger(place, 1)
    shapes["1"] = shape(place)

    def prepare():
        migrate_ledger(place, start)

    def work(say):
        migrate_ledger(place, target)
        say("done")

    def check(said, *, finished):
        found = version(place)
        assert shape(place) == shapes[found]
        assert found == str(target) or not (said or finished)
        with open_ledger(place) as ledger:
            assert ledger.verify(head).head == head
        migrate_ledger(place, target)
        assert shape(place) == shapes[str(target)]

    at_every_step(work, check, examples, prepare=prepare)


@EXAMPLES
def test_pruning(new_place, examples):
    state = {}

    def prepare():
        state["place"] = new_place()
        fill(state["place"], 6)

    def work(say):
        with open_ledger(state["place"]) as ledger:
            removed = ledger.prune(
                Retention(by="a test", keep_days=0, older_than="2026-01-01T00:00:00.000Z", horizon=6),
                [event.content_id for event in ledger.events()][:4],
            )
            say(f"{len(removed)}")

    def check(said, *, finished):
        with open_ledger(state["place"]) as ledger:
            verified = ledger.verify()
            assert (verified.records, verified.pruned) in [(6, 0), (7, 4)]
            assert verified.pruned == 4 or not (said or finished)
            ledger.reclaim()
            ledger.append([entry(1)])
            assert ledger.verify().records in (7, 8)

    at_every_step(work, check, examples, prepare=prepare)


@EXAMPLES
def test_export(place, tmp_path, examples):
    with open_ledger(place, create=True) as ledger:
        blob = ledger.blobs.put(b"picture", "image/png")
        ledger.append([*(entry(number) for number in range(3)), Entry("run", {"blobs": [blob.document()]})])
    file, numbers = tmp_path / "file", iter(range(10**6))

    def work(say):
        with open_ledger(place) as ledger:
            ledger.export(file, blobs=True)
        say("done")

    def check(said, *, finished):
        assert file.exists() or not (said or finished)
        with open_ledger(place) as ledger:
            head = ledger.head()
            if not file.exists():
                ledger.export(file, blobs=True)
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        assert import_ledger(file, folder / "ledger.db").verified.head == head
        file.unlink()

    at_every_step(work, check, examples)


@EXAMPLES
def test_import(new_place, tmp_path, examples):
    first, places = tmp_path / "first.db", [new_place()]
    with open_ledger(first, create=True) as ledger:
        blob = ledger.blobs.put(b"picture", "image/png")
        ledger.append([*(entry(number) for number in range(3)), Entry("run", {"blobs": [blob.document()]})])
        head = ledger.export(tmp_path / "file", blobs=True).verified.head

    def work(say):
        import_ledger(tmp_path / "file", places[-1])
        say("done")

    def check(said, *, finished):
        with open_ledger(places[-1], create=True) as ledger:
            records = ledger.verify().records
        assert records in (0, 4)
        assert records == 4 or not (said or finished)
        if not records:
            import_ledger(tmp_path / "file", places[-1])
        with open_ledger(places[-1]) as ledger:
            assert ledger.verify(head).head == head
            assert ledger.blobs.get(blob) == b"picture"
        places.append(new_place())

    at_every_step(work, check, examples)
