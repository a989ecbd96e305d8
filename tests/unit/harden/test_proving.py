"""What may be called better: a gain beyond chance, not paid for with clean accuracy, and never one an attack cannot confirm."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.core.predicates.behaviour import HealthIndicator, ThreatModel
from heliotrope.harden.proving import _change, _verdict
from heliotrope.subjects.judging import Judgement
from heliotrope.subjects.statistics import paired_interval

THREAT = ThreatModel(norm="Linf", eps=0.1, steps=1, restarts=1, step_size=0.1, input_low=0, input_high=1)


def sign(state):
    return HealthIndicator(
        id="gradients", title="Gradients are there", state=state, wanted="some", actual="none", explanation=""
    )


def judged(clean, robust, *, state="ok"):
    return Judgement(
        attack="ensemble", threat=THREAT, rows=np.arange(len(clean)), clean=np.array(clean, bool),
        robust=np.array(robust, bool), proven=None, health=(sign(state),),
        health_verdict="unsound" if state == "failed" else "sound", asked=1,
    )  # fmt: skip


def verdict(before, after, *, clean_loss=0.05):
    clean, robust = _change(before.clean, after.clean), _change(before.robust, after.robust)
    return _verdict(before, after, clean, robust, clean_loss, certifies=False)


ALL, NONE = [1] * 200, [0] * 200
HALF = [1, 0] * 100


def test_a_gain_beyond_chance_is_better_and_its_numbers_are_said():
    said, reason = verdict(judged(ALL, NONE), judged(ALL, HALF))
    assert said == "better"
    assert "0.00 % to 50.00 %" in reason
    assert "+50.00 points" in reason


def test_a_gain_that_may_be_chance_is_none():
    few = [1] * 3 + [0] * 197
    said, reason = verdict(judged(ALL, NONE), judged(ALL, few))
    assert said == "no-better"
    assert "may be chance" in reason


def test_a_loss_is_called_one():
    said, reason = verdict(judged(ALL, HALF), judged(ALL, NONE))
    assert said == "no-better"
    assert "is a loss" in reason


@pytest.mark.parametrize("side", ["after", "before"])
def test_a_gain_under_an_attack_that_failed_is_not_credited(side):
    """Trap: all of the samples seem to hold."""
    before, after = judged(ALL, NONE), judged(ALL, ALL)
    if side == "after":
        after = replace(after, health=(sign("failed"),))
    else:
        before = replace(before, health=(sign("failed"),))
    said, reason = verdict(before, after)
    assert said == "not-credited"
    assert "Gradients are there: no (none)" in reason


def test_clean_accuracy_may_not_pay_for_it_beyond_what_is_allowed():
    poorer = [1] * 150 + [0] * 50
    said, reason = verdict(judged(ALL, NONE), judged(poorer, poorer))
    assert said == "no-better"
    assert "more than 5 points of clean accuracy are lost" in reason
    assert verdict(judged(ALL, NONE), judged(poorer, poorer), clean_loss=0.4)[0] == "better"


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 400), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)), seed=st.integers(0, 10**6))
def test_the_interval_of_a_change_holds_the_change_and_shrinks_with_confidence(n, shares, seed):
    generator = np.random.default_rng(seed)
    before, after = (generator.random(n) < share for share in shares)
    found = _change(before, after)
    assert found.interval.low <= found.change <= found.interval.high
    assert found.change == pytest.approx(after.mean() - before.mean())
    narrow = paired_interval(found.gained, found.lost, n, 0.5)
    assert found.interval.low <= narrow.low
    assert narrow.high <= found.interval.high


def test_the_interval_misses_no_more_often_than_promised():
    """3,000 draws of 80 pairs with a true change of 10 points."""
    generator = np.random.default_rng(0)
    counts = generator.multinomial(80, [0.25, 0.15, 0.6], size=3000)
    found = [paired_interval(int(up), int(down), 80) for up, down, _ in counts]
    missed = sum(not one.low <= 0.1 <= one.high for one in found)
    assert missed <= 0.05 * 3000


def test_counts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="gained and lost"):
        paired_interval(3, 3, 5)
