"""What counts is kept: the latest assessments, their baselines, everything recent, and whatever these mention."""

from datetime import UTC, datetime, timedelta

import pytest

from heliotrope.core.records import content_id
from heliotrope.ledger import Entry, open_ledger
from heliotrope.lifecycle.retention import plan_pruning, prune

START = datetime(2026, 1, 1, tzinfo=UTC)
KEEP = timedelta(days=30)


class Days:
    """A clock that is set to a day."""

    def __init__(self):
        self.day = 0

    def now(self):
        return START + timedelta(days=self.day)


@pytest.fixture
def clock():
    return Days()


@pytest.fixture
def ledger(tmp_path, clock):
    with open_ledger(tmp_path / "ledger.db", create=True, clock=clock) as opened:
        yield opened


def evidence(number):
    return {"evidence": number}


def run_of(ledger, number, *, picture=None):
    """A run with evidence and a finding of its own, and perhaps a picture; its record id."""
    blobs = [ledger.blobs.put(picture, "image/png").document()] if picture else []
    content = {"run": number, "evidence": [content_id(evidence(number))], "blobs": blobs}
    content["findings"] = [content_id({"finding": number})]
    entries = [Entry("evidence", evidence(number)), Entry("finding", {"finding": number}), Entry("run", content)]
    return ledger.append(entries)[-1].id


def assess(ledger, name, runs, *, target="t", baseline=None, previous=None):
    ledger.append([Entry("decision", {"decision": name}, (("assessment", name),))])
    content = {"id": name, "runs": [{"id": item} for item in runs], "baseline": baseline}
    content["difference"] = {"previous": previous}
    ledger.append([Entry("assessment", content, (("assessment", name), ("target", target)))])


def left(ledger):
    """What still has its content, in short."""
    found = set()
    for event in ledger.events():
        try:
            ledger.content(event.content_id)
        except Exception:  # noqa: BLE001 - gone is what is asked about
            continue
        if event.kind in ("evidence", "run", "finding", "assessment"):
            found.add(ledger.content(event.content_id).decode())
    return {text for text in found if '"evidence":' in text and "blobs" not in text}


def numbers(ledger):
    """The evidence that is left."""
    return sorted(int(text.rstrip("}").rpartition(":")[2]) for text in left(ledger))


def carry_out(ledger, clock, keep=KEEP):
    return prune(ledger, plan_pruning(ledger, keep=keep, now=clock.now()))


def test_old_and_unspoken_of_goes_with_all_that_belongs_to_it(ledger, clock):
    run_of(ledger, 1)
    clock.day = 100
    run_of(ledger, 2)
    removed = carry_out(ledger, clock)
    assert removed.contents == 3
    assert numbers(ledger) == [2]
    assert ledger.verify().pruned == 3
    assert carry_out(ledger, clock).contents == 0


def test_the_latest_assessment_of_every_target_keeps_what_it_rests_on(ledger, clock):
    assess(ledger, "A" * 26, [run_of(ledger, 1)])
    assess(ledger, "B" * 26, [run_of(ledger, 2)], previous="A" * 26)
    assess(ledger, "C" * 26, [run_of(ledger, 3)], target="other")
    clock.day = 100
    carry_out(ledger, clock)
    assert numbers(ledger) == [2, 3]
    assert ledger.latest("assessment", "target", "t") is not None
    kinds = [event.kind for event in ledger.events()]
    assert kinds.count("decision") == 3
    for event in ledger.find("decision"):
        assert ledger.content(event.content_id)


def test_baselines_are_kept_and_theirs(ledger, clock):
    assess(ledger, "A" * 26, [run_of(ledger, 1)])
    assess(ledger, "B" * 26, [run_of(ledger, 2)], baseline="A" * 26)
    assess(ledger, "C" * 26, [run_of(ledger, 3)])
    assess(ledger, "D" * 26, [run_of(ledger, 4)], baseline="B" * 26)
    clock.day = 100
    carry_out(ledger, clock)
    assert numbers(ledger) == [1, 2, 4]


def test_a_recent_assessment_keeps_the_old_runs_it_reused(ledger, clock):
    old = run_of(ledger, 1)
    run_of(ledger, 2)
    clock.day = 50
    assess(ledger, "A" * 26, [old])
    clock.day = 60
    assess(ledger, "B" * 26, [run_of(ledger, 3)])
    carry_out(ledger, clock)
    assert numbers(ledger) == [1, 3]
    clock.day = 85
    carry_out(ledger, clock)
    assert numbers(ledger) == [3]


def test_evidence_recorded_alone_goes_by_its_age(ledger, clock):
    ledger.append([Entry("evidence", evidence(1)), Entry("note", {"note": 1})])
    clock.day = 20
    ledger.append([Entry("evidence", evidence(1))])
    clock.day = 40
    assert carry_out(ledger, clock).contents == 0
    clock.day = 60
    assert carry_out(ledger, clock).contents == 1
    ledger.append([Entry("evidence", evidence(1))])
    assert numbers(ledger) == [1]
    clock.day = 100
    assert carry_out(ledger, clock).contents == 1


def test_pictures_go_with_the_last_run_that_names_them(ledger, clock):
    run_of(ledger, 1, picture=b"shared")
    run_of(ledger, 2, picture=b"old")
    clock.day = 100
    run_of(ledger, 3, picture=b"shared")
    shared, old = (ledger.blobs.put(data, "image/png").sha256 for data in (b"shared", b"old"))
    removed = carry_out(ledger, clock)
    assert removed.blobs == 1
    assert (ledger.blobs.has(shared), ledger.blobs.has(old)) == (True, False)


def test_pictures_that_should_be_gone_are_removed_by_the_next_run(ledger, clock, monkeypatch):
    run_of(ledger, 1, picture=b"old")
    clock.day = 100
    plan = plan_pruning(ledger, keep=KEEP, now=clock.now())
    ledger.prune(plan.retention, plan.contents, plan.blobs)  # and stopped here
    assert ledger.blobs.has(plan.blobs[0])
    again = plan_pruning(ledger, keep=KEEP, now=clock.now())
    assert (again.contents, again.blobs, again.leftover_blobs) == ((), (), plan.blobs)
    assert prune(ledger, again).blobs == 1
    assert plan_pruning(ledger, keep=KEEP, now=clock.now()).empty


def test_what_is_recorded_while_it_is_planned_is_left_alone(ledger, clock):
    run_of(ledger, 1, picture=b"picture")
    run_of(ledger, 2)
    clock.day = 100
    plan = plan_pruning(ledger, keep=KEEP, now=clock.now())
    assert len(plan.contents) == 6
    run_of(ledger, 1, picture=b"picture")
    removed = prune(ledger, plan)
    assert removed.contents == 3
    assert numbers(ledger) == [1]
    assert ledger.blobs.has(plan.blobs[0])


def test_more_than_one_record_can_name(ledger, clock, monkeypatch):
    from heliotrope.lifecycle import retention

    monkeypatch.setattr(retention, "MAX_KEYS", 10)
    ledger.append([Entry("evidence", evidence(number)) for number in range(25)])
    clock.day = 100
    assert carry_out(ledger, clock).contents == 25
    assert [event.kind for event in ledger.events(25)] == ["retention"] * 3
    assert ledger.verify().pruned == 25


def test_the_record_says_who_and_up_to_when(ledger, clock):
    run_of(ledger, 1)
    clock.day = 100
    plan = plan_pruning(ledger, keep=KEEP, now=clock.now())
    assert plan.retention.older_than == "2026-03-12T00:00:00.000Z"
    assert "@" in plan.retention.by
    assert plan.size > 100
