"""What a plan may say of a run: its extra, its consent, its outcome, and whether it may be taken over from an earlier one."""

from datetime import timedelta

import pytest

from heliotrope.core.ids import SystemClock
from heliotrope.core.outcomes import NotApplicable, Passed
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject
from heliotrope.engine.interface import CheckDescriptor, Limits, Planned, Project
from heliotrope.engine.reuse import ReusePolicy
from heliotrope.engine.runner import Consent, Runner, consent_kind
from heliotrope.ledger import open_ledger
from heliotrope.ledger.blobs import BlobStore

SUBJECT = Subject(urn="urn:heliotrope:p:model:m", kind="model", name="m")


class Parameters(Record):
    """Nothing to say."""


class Calls(list[str]):
    """A check that counts how often it was run."""

    def __call__(self, task, context):
        self.append(task.check)
        return CheckResult(outcome=Passed(reason=f"run {len(self)}"))


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def run(tmp_path, calls):
    """Run a check that is planned as said, in this process, against a ledger of the test's own."""
    with open_ledger(tmp_path / "ledger.db", create=True) as ledger:

        def once(planned: Planned, *, consent: bool = False, **descriptor):
            made = {"id": "t.check", "version": "1", "title": "t", "applies_to": "model", "cost": "quick",
                    "isolation": "inline", "runs_project_code": False, "extra": None, "modules": (),
                    "parameters": Parameters, "plan": lambda _: iter(()), "function": calls}  # fmt: skip
            runner = Runner(
                ledger=ledger,
                blobs=BlobStore(tmp_path / "blobs"),
                clock=SystemClock(),
                consent=Consent(given=consent, how="nobody said so"),
                limits=Limits(),
                reuse=ReusePolicy(allowed=True, maximum_age=timedelta(days=1)),
                seed=0,
            )
            project = Project("p", tmp_path, (tmp_path,), None, None, "standard")
            return runner.run(CheckDescriptor(**{**made, **descriptor}), planned, project, lambda *_: None)

        yield once


def planned(**fields) -> Planned:
    return Planned(subject=SUBJECT, parameters=Parameters(), **fields)


def test_what_is_planned_runs(run, calls):
    assert run(planned()).run.outcome == Passed(reason="run 1")
    assert calls == ["t.check"]


@pytest.mark.parametrize("where", ["plan", "check"])
def test_the_extra_of_the_plan_and_that_of_the_check_are_both_needed(run, calls, where):
    needs = {"extra": "xgboost", "modules": ("json", "a_module_that_is_not_there")}
    outcome = (run(planned(**needs)) if where == "plan" else run(planned(), **needs)).run.outcome
    assert (outcome.state, outcome.code) == ("skipped", "missing_extra")
    assert ("heliotrope[xgboost]" if where == "plan" else "pip install 'xgboost'") in outcome.reason
    assert "a_module_that_is_not_there" in outcome.reason
    assert "json" not in outcome.reason
    assert calls == []


def test_modules_that_are_there_stand_in_no_ones_way(run):
    assert run(planned(extra="xgboost", modules=("json",))).run.outcome.state == "passed"


@pytest.mark.parametrize(("kind", "words"), [("code", "run code of this project"), ("network", "send data to a host")])
def test_consent_is_asked_for_what_the_plan_says(run, calls, kind, words):
    outcome = run(planned(consent=kind)).run.outcome
    assert outcome.state == "inconclusive"
    assert words in outcome.reason
    assert outcome.needs == ("--allow-code",)
    assert calls == []
    assert run(planned(consent=kind), consent=True).run.outcome.state == "passed"


def test_the_plan_overrules_the_check_on_consent(run):
    assert run(planned(), runs_project_code=True).run.outcome.state == "inconclusive"
    assert run(planned(consent="none"), runs_project_code=True).run.outcome.state == "passed"


def test_the_kind_of_consent_decides_on_the_network():
    descriptor = CheckDescriptor("t", "1", "t", "model", "quick", "worker", True, None, (), Parameters,
                                 lambda _: iter(()), Calls())  # fmt: skip
    assert consent_kind(descriptor, planned()) == "code"
    assert consent_kind(descriptor, planned(consent="network")) == "network"


def test_an_outcome_that_is_known_from_the_plan_is_recorded_and_nothing_runs(run, calls):
    known = NotApplicable(reason="a regression has no classes", facts=("task: tabular-regression",))
    recorded = run(planned(outcome=known, missing=("models[0].threat",), consent="code"))
    assert recorded.run.outcome == known
    assert recorded.run.cost.wall_seconds == 0
    assert calls == []


def test_equal_runs_are_taken_over_unless_the_plan_forbids_it(run, calls):
    first, second = run(planned()), run(planned())
    assert second.reused_from == first.id
    assert len(calls) == 1
    assert run(planned(reusable=False)).reused_from is None
    assert run(planned(reusable=False)).reused_from is None
    assert len(calls) == 3


def test_a_changed_input_ends_reuse(run, calls, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"one")
    run(planned(inputs={"weights": path}))
    path.write_bytes(b"two")
    assert run(planned(inputs={"weights": path})).reused_from is None
    assert len(calls) == 2


def test_what_is_asked_of_a_host_leaves_the_network_open(run, tmp_path, monkeypatch):
    """The flag reaches the worker: a descriptor in a worker is started with or without network as the plan says."""
    seen = []

    def spy(*arguments, network, **more):
        seen.append(network)
        raise KeyboardInterrupt

    monkeypatch.setattr("heliotrope.engine.runner.run_in_worker", spy)
    for kind in ("network", "code", "none"):
        with pytest.raises(KeyboardInterrupt):
            run(planned(consent=kind, reusable=False), consent=True, isolation="worker")
    assert seen == [True, False, False]
