import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.core.errors import MissingExtraError
from heliotrope.subjects.statistics import exact_interval

stats = pytest.importorskip("scipy.stats", reason="needs scipy (extra 'torch')")

counts = st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.8, 0.95, 0.999]))
def test_equals_scipy_exact_interval(count, confidence):
    successes, n = count
    expected = stats.binomtest(successes, n).proportion_ci(confidence_level=confidence, method="exact")
    interval = exact_interval(successes, n, confidence)
    assert interval.low == pytest.approx(expected.low, abs=1e-9)
    assert interval.high == pytest.approx(expected.high, abs=1e-9)
    assert interval.low <= successes / n <= interval.high
    assert (interval.method, interval.confidence) == ("clopper-pearson", confidence)


@given(counts)
def test_is_symmetric_in_success_and_failure(count):
    successes, n = count
    one, other = exact_interval(successes, n), exact_interval(n - successes, n)
    assert one.low == pytest.approx(1 - other.high, abs=1e-9)


@pytest.mark.parametrize(("p", "n"), [(0.02, 50), (0.5, 20), (0.97, 200)])
def test_covers_the_true_share_at_least_as_often_as_promised(p, n):
    covered = sum(
        stats.binom.pmf(k, n, p) for k in range(n + 1) if exact_interval(k, n).low <= p <= exact_interval(k, n).high
    )
    assert covered >= 0.95


def test_ends_are_exact():
    assert exact_interval(0, 10).low == 0.0
    assert exact_interval(10, 10).high == 1.0
    assert (exact_interval(0, 0).low, exact_interval(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n", "confidence"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 1.0), (1, 3, 0.0)])
def test_impossible_counts_are_refused(successes, n, confidence):
    with pytest.raises(ValueError, match="must lie in"):
        exact_interval(successes, n, confidence)


def test_without_scipy_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtraError, match=r"extra 'torch'.*scipy"):
        exact_interval(1, 2)
