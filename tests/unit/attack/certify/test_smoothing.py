"""Votes over noisy copies: radii hold as often as promised, and nothing is said where the votes are even."""

import math

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs scipy (extra 'data')")
from scipy.special import ndtr, ndtri

from heliotrope.attack.certify.smoothing import (
    ABSTAINED,
    Smoothing,
    certified_radius,
    linf_radius,
    smooth,
    vote_bound,
)


def halfspace(offset):
    """Class 1 where the mean of the values, scaled to unit noise, exceeds the offset: the smoothed radius is known exactly."""

    def scores(inputs):
        flat = inputs.reshape(len(inputs), -1)
        side = flat.sum(axis=1) / math.sqrt(flat.shape[1]) - offset
        return np.stack([-side, side], axis=1)

    return scores


def test_the_lower_bound_is_that_of_clopper_and_pearson():
    assert vote_bound(0, 100, 0.001) == 0.0
    assert vote_bound(100, 100, 0.001) == pytest.approx(0.001 ** (1 / 100))
    assert vote_bound(99, 100, 0.05) == pytest.approx(0.95344, abs=1e-4)
    assert certified_radius(0.5, 1.0) == 0.0
    assert certified_radius(float(ndtr(1.0)), 0.25) == pytest.approx(0.25)
    assert certified_radius(float(ndtr(1.0)), 0.25) <= 0.25


def test_radii_never_exceed_the_distance_to_a_known_boundary_more_often_than_alpha():
    """1,000 repeats at alpha 0.05: the radius of a half-space is the distance itself."""
    smoothing = Smoothing(sigma=0.5, votes=200, selection=20, alpha=0.05, batch=250)
    sample = np.full((1, 4), 0.2, dtype=np.float32)  # 0.4 from the boundary at 0
    wrong = 0
    for seed in range(1000):
        found = smooth(halfspace(0.0), sample, smoothing, seed=seed)
        wrong += int(found.radius[0] > 0.4)
    assert wrong / 1000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert wrong > 0  # the bound is not wasted either


def test_it_abstains_where_the_votes_are_even():
    smoothing = Smoothing(sigma=0.5, votes=1000, selection=50, alpha=0.001)
    sample = np.zeros((1, 4), dtype=np.float32)
    answers = [int(smooth(halfspace(0.0), sample, smoothing, seed=seed).prediction[0]) for seed in range(60)]
    assert answers.count(ABSTAINED) >= 59


def test_the_radius_is_near_the_true_one_and_depends_on_seed_and_row_alone():
    smoothing = Smoothing(sigma=0.5, votes=20_000, selection=100, alpha=0.001)
    samples = np.array([[0.5, 0.5, 0.5, 0.5], [0.1, 0.1, 0.1, 0.1]], dtype=np.float32)
    found = smooth(halfspace(0.0), samples, smoothing, seed=1)
    assert found.prediction.tolist() == [1, 1]
    assert 0.85 <= found.radius[0] <= 1.0
    assert 0.15 <= found.radius[1] <= 0.2
    alone = smooth(halfspace(0.0), samples[1:], smoothing, seed=1, rows=np.array([1]))
    assert alone.radius[0] == found.radius[1]
    assert found.asked == 2 * 20_100
    assert linf_radius(found.radius, 4)[0] == found.radius[0] / 2


def test_all_votes_for_one_class_bound_the_radius_by_their_number():
    smoothing = Smoothing(sigma=1.0, votes=1000, selection=10, alpha=0.001)
    found = smooth(halfspace(-100.0), np.zeros((1, 4), np.float32), smoothing, seed=0)
    assert found.radius[0] == pytest.approx(float(ndtri(0.001 ** (1 / 1000))))
