"""Bands of what is proven, broken and neither: honest lower bounds, and areas that say the same as the numbers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.report import factories
from tests.unit.report.test_html import Outline, page

from heliotrope.core.predicates.behaviour import EVASION_PREDICATE
from heliotrope.core.predicates.certificates import (
    CERTIFICATE_PREDICATE,
    CertificatePredicate,
    MethodCount,
    RadiusBin,
)
from heliotrope.report._bands import Proven, _lower_end, proven_bar, proven_share
from heliotrope.report._charts import accuracy_curve

EVASION = factories.evasion(factories.Blobs())
EPS = EVASION.threat.eps


def certificate(**changes):
    fields = {
        "method": "crown", "norm": "Linf", "eps": EPS, "n": 100, "clean_correct": 90, "certified": 40, "broken": 30,
        "undecided": 20, "certified_accuracy": 0.4, "certified_interval": factories.interval(0.3, 0.5),
        "robust_at_most": 0.6, "steps": (MethodCount(method="crown", count=40),), "nodes": 9,
        "radii": (RadiusBin(low=0.0, high=EPS / 2, count=2), RadiusBin(low=EPS / 2, high=2 * EPS, count=10),
                  RadiusBin(low=2 * EPS, high=None, count=8)),
        "radii_n": 20, "assumptions": ("float64",), "samples": None, "data": {"images": "d" * 64},
    }  # fmt: skip
    return CertificatePredicate(**{**fields, **changes})


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_the_lower_end_is_that_of_the_exact_interval(counts):
    scipy = pytest.importorskip("scipy.special")
    successes, n = counts
    assert _lower_end(successes, n) == pytest.approx(scipy.betaincinv(successes, n - successes + 1, 0.025), abs=1e-9)


def test_radii_of_a_part_of_the_samples_count_less_than_their_share():
    found = proven_share(EVASION.model_copy(update={"certified": None}), certificate())
    assert found.at(EPS) == 0.4  # counted on all samples
    assert 0 < found.at(2 * EPS) < 0.9 * 8 / 20
    assert found.at(2 * EPS) == pytest.approx(0.9 * _lower_end(8, 20))
    assert found.at(2.1 * EPS) == 0
    exact = proven_share(EVASION, certificate(clean_correct=20, radii_n=20, n=25, certified=10, broken=0))
    assert exact.at(2 * EPS) == pytest.approx(8 / 25)
    assert "radii of 20 of 90" in found.note


@given(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.floats(0.01, 2), st.integers(0, 40))
def test_what_is_proven_never_rises_with_the_size(counts, eps, certified):
    bins = tuple(
        RadiusBin(low=low * eps, high=None, count=count) for low, count in zip((0, 0.5, 2), counts, strict=True)
    )
    known = certificate(eps=eps, radii=bins, radii_n=sum(counts), certified=certified)
    found = proven_share(EVASION.model_copy(update={"certified": 3}), known)
    parts = [found.at(size) for size in (0, eps / 4, eps / 2, eps, 2 * eps, 5 * eps, EPS)]
    assert parts[:6] == sorted(parts[:6], reverse=True)
    assert found.at(eps) >= certified / 100


def test_without_any_proof_there_are_no_bands():
    assert EVASION.certified is None
    assert proven_share(EVASION, None) is None
    assert "area" not in accuracy_curve(EVASION, floor=None, key="k")


def test_the_areas_meet_at_the_curve_and_at_the_staircase():
    drawn = accuracy_curve(EVASION, floor=None, key="k", proven=Proven(((EPS / 2, 0.5), (EPS, 0.25)), ""))
    areas = dict(re.findall(r'class="area (\w+)" points="([^"]*)"', drawn))
    assert set(areas) == {"wrong", "broken", "open", "proven"}
    line = re.search(r'class="line" points="([^"]*)"', drawn)[1]
    assert areas["open"].startswith(line)
    corners = [tuple(map(float, one.split(","))) for one in areas["proven"].split()]
    heights = [y for _, y in corners[:-2]]
    assert heights == sorted(heights)  # down the page as the size grows
    assert set(corners[:-2]) <= {tuple(map(float, one.split(","))) for one in areas["open"].split()}


def test_the_bar_of_a_proof_alone_adds_up():
    drawn = proven_bar(certificate())
    widths = [float(one) for one in re.findall(r'width="([\d.]+)%" height="22"', drawn)]
    assert widths == [40.0, 20.0, 30.0, 10.0]
    assert "40.00 % proven" in drawn


def with_proof(subject="same", **changes):
    base = factories.every_outcome()
    urns = [one.urn for one in base.subjects]
    entries = (
        factories.entry({"m": "a" * 64}, EVASION_PREDICATE, EVASION),
        factories.entry({"m": "a" * 64}, CERTIFICATE_PREDICATE, certificate(**changes)),
    )
    runs = (
        factories.run_entry("evasion.pgd", "passed", evidence=(entries[0].id,)),
        factories.run_entry("certificate.bounds", "passed", evidence=(entries[1].id,)),
    )
    if subject != "same":
        runs = (runs[0], runs[1].model_copy(update={"subject": urns[0]}))
        assert runs[1].subject != runs[0].subject
    return base.model_copy(update={"evidence": entries, "runs": (*base.runs, *runs)})


def test_the_page_says_at_least_and_at_most():
    found = Outline(page(with_proof()))
    assert "at least 40.00 % is proven (crown, n = 100; radii of 20 of 90)" in found.text
    assert "neither proven nor broken" in found.text
    assert "What is proven" not in found.text


@pytest.mark.parametrize(("subject", "changes"), [("other", {}), ("same", {"norm": "L2"})])
def test_a_proof_of_another_model_or_norm_is_not_drawn_with_the_attack(subject, changes):
    found = Outline(page(with_proof(subject, **changes)))
    assert "at least" not in found.text
    assert "What is proven" in found.text
