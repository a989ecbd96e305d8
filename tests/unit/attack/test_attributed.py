"""Pictures of failures show what the wrong answer rests on, where that can be said, and cost no attack its verdict."""

import sys

import pytest

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
from heliotrope.attack.attributed import wrong_answers_rest_on  # noqa: E402


def corner(batch):
    """Class 1 is the upper left pixel, class 0 the lower right one."""
    return torch.stack((batch[:, 0, 3, 3], batch[:, 0, 0, 0]), 1)


IMAGES = torch.rand((3, 1, 4, 4), generator=torch.Generator().manual_seed(0)) + 0.1


def test_the_map_lies_where_the_wrong_class_looks():
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    before = IMAGES.clone()
    found = wrong_answers_rest_on(corner, IMAGES, [1, 0, 1], low=0.0)
    for sizes, place in zip(found, ((0, 0), (3, 3), (0, 0)), strict=True):
        assert np.argwhere(sizes > 0).tolist() == [list(place)]
    assert found[0][0, 0] == pytest.approx(float(IMAGES[0, 0, 0, 0]), rel=1e-3)  # the whole score, from 0
    assert torch.equal(before, IMAGES)


def test_what_cannot_be_drawn_is_left_out(monkeypatch):
    assert wrong_answers_rest_on(corner, torch.rand(2, 5), [0, 1], low=0.0) == [None, None]
    assert wrong_answers_rest_on(corner, IMAGES[:0], [], low=0.0) == []
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert wrong_answers_rest_on(corner, IMAGES, [1, 0, 1], low=0.0) == [None, None, None]


def test_gradients_that_are_not_finite_give_no_picture_and_no_error():
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    broken = lambda batch: corner(batch) / (batch.sum() * 0)  # noqa: E731
    assert wrong_answers_rest_on(broken, IMAGES[:1], [1], low=0.0) == [None]


def test_models_without_gradients_and_models_that_change_their_input_cost_no_error():
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    rounded = lambda batch: corner(batch.detach().round())  # noqa: E731
    assert wrong_answers_rest_on(rounded, IMAGES[:1], [1], low=0.0) == [None]
    before = IMAGES.clone()
    (found,) = wrong_answers_rest_on(lambda batch: corner(batch.mul_(2)), IMAGES[:1], [1], low=0.0)
    assert np.argwhere(found > 0).tolist() == [[0, 0]]
    assert torch.equal(before, IMAGES)
