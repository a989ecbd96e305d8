"""The contracts for authors of plug-ins can be broken, and say how."""

import importlib
import sys

import pytest
from tests.plugins import install_plugin

from heliotrope.core.findings import Fix, Rule
from heliotrope.engine import registry
from heliotrope.engine.executors import RunCancelledError
from heliotrope.scan.interface import Recognised
from heliotrope.scan.registry import analyser
from heliotrope.testing import FakeContext, Sample, assert_analyser_contract, assert_check_contract, run_check

ODD = Rule(id="toy-odd", title="Odd", severity="medium", help="It is odd.", fix=Fix(text="Make it even."))
SAMPLES = (
    Sample("even.toy", b"TOY1even", "clean"),
    Sample("odd.toy", b"TOY1odd", "suspicious", frozenset({"toy-odd"})),
)


class Toy:
    format = "toy"

    def accepts(self, source, name):
        return source.read(0, 4) == b"TOY1"

    def analyse(self, source, name, context):
        if source.read(4, 3) == b"odd":
            context.notes.add("toy-odd", "is odd", offset=4)
        return Recognised("toy")


@pytest.fixture
def declared(monkeypatch):
    registry.checks()
    monkeypatch.setattr(registry, "_extensions", {})

    def declare(factory):
        analyser(id="toy.files", version="1", title="Toys", formats=("toy",), docs="nowhere", rules=(ODD,))(factory)

    return declare


def test_an_analyser_that_keeps_the_contract(declared):
    declared(Toy)
    assert_analyser_contract("toy.files", SAMPLES)


class TakesEverything(Toy):
    def accepts(self, source, name):
        return True


class ReadsAll(Toy):
    def analyse(self, source, name, context):
        source.read(0, source.size)
        return super().analyse(source, name, context)


class Forgets(Toy):
    seen = 0

    def analyse(self, source, name, context):
        Forgets.seen += 1
        context.notes.incomplete(f"number {Forgets.seen}")
        return Recognised("toy")


class TripsOverDamage(Toy):
    def analyse(self, source, name, context):
        assert source.size >= 7
        return super().analyse(source, name, context)


class SaysNothing(Toy):
    def analyse(self, source, name, context):
        return Recognised("toy")


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (TakesEverything, "toy.files takes b''"),
        (ReadsAll, "bytes are read at once"),
        (Forgets, "incomplete, not clean"),
        (TripsOverDamage, "analyser toy.files failed: AssertionError"),
        (SaysNothing, "clean, not suspicious"),
    ],
)
def test_an_analyser_that_breaks_it_is_told_how(declared, factory, reason):
    declared(factory)
    with pytest.raises(AssertionError) as caught:
        assert_analyser_contract("toy.files", SAMPLES)
    assert reason in str(caught.value)


def test_an_answer_that_changes_is_noticed(declared):
    declared(Forgets)
    samples = (Sample("even.toy", b"TOY1even", "incomplete"),)
    with pytest.raises(AssertionError, match="another answer the second time"):
        assert_analyser_contract("toy.files", samples)


def test_a_rule_without_both_kinds_of_samples_is_noticed(declared):
    declared(Toy)
    with pytest.raises(AssertionError, match="there is no clean sample"):
        assert_analyser_contract("toy.files", SAMPLES[1:])
    with pytest.raises(AssertionError, match="toy-odd: one sample must break it"):
        assert_analyser_contract("toy.files", SAMPLES[:1])


CHECKS = """
from pathlib import Path
from heliotrope.core.findings import Fix, Rule

RULE = Rule(id="toy-odd", title="Odd", severity="medium", help="It is odd.", fix=Fix(text="Make it even."))
MORE = {"docs": "nowhere", "rules": (RULE,)}

def finding(rule, mark):
    return Finding(rule=rule, severity="low", confidence="high", message="odd", subject="s", fingerprint=mark)

@register("toy.good", **MORE)
def good(task, context):
    stored = context.store(b"picture", "text/plain")
    return CheckResult(outcome=Passed(reason="fine"), findings=(finding("toy-odd", "1"),), blobs=(stored,))

@register("toy.undescribed")
def undescribed(task, context):
    return CheckResult(outcome=Passed())

@register("toy.fails", **MORE)
def fails(task, context):
    raise RuntimeError("broken")

@register("toy.writes", **MORE)
def writes(task, context):
    (Path(task.root) / "left-behind").write_text("x")
    return CheckResult(outcome=Passed())

@register("toy.foreign", **MORE)
def foreign(task, context):
    return CheckResult(outcome=Passed(), findings=(finding("pickle-dangerous-call", "1"),))

@register("toy.twins", **MORE)
def twins(task, context):
    return CheckResult(outcome=Passed(), findings=(finding("toy-odd", "1"), finding("toy-odd", "1")))

@register("toy.chance", **MORE)
def chance(task, context):
    return CheckResult(outcome=Passed(reason=os.urandom(8).hex()))

@register("toy.idle", plan=lambda project: iter(()), **MORE)
def idle(task, context):
    return CheckResult(outcome=Passed())
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    registry.checks()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    registry._load.cache_clear()
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path / "packages", "toy_contract_checks", CHECKS)))
    importlib.invalidate_caches()
    sys.modules.pop("toy_contract_checks", None)
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    yield folder
    registry._load.cache_clear()


def test_a_check_that_keeps_the_contract_and_what_it_stored(toys):
    (run,) = assert_check_contract("toy.good", toys)
    assert list(run.blobs.values()) == [b"picture"]
    assert run_check("toy.good", toys)[0].result == run.result


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("undescribed", "docs must say"),
        ("fails", "ends in an error: RuntimeError: broken"),
        ("writes", "changes the folder"),
        ("foreign", "pickle-dangerous-call, which is not registered with it"),
        ("twins", "share a fingerprint"),
        ("chance", "comes to another result"),
        ("idle", "plans nothing"),
    ],
)
def test_a_check_that_breaks_it_is_told_how(toys, name, reason):
    with pytest.raises(AssertionError) as caught:
        assert_check_contract(f"toy.{name}", toys)
    assert reason in str(caught.value)


def test_a_fake_context_remembers_and_stops_when_it_is_told_to(tmp_path):
    context = FakeContext(tmp_path, cancel_after=1)
    blob = context.store(b"x", "text/plain")
    assert context.blobs == {blob.sha256: b"x"}
    context.progress(0, 2, "one")
    with pytest.raises(RunCancelledError):
        context.progress(1, 2)
    assert context.said == [(0, 2, "one"), (1, 2, "")]
