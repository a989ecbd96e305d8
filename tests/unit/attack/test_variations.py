"""Variations: images turned and moved, one pattern for all, a patch; each against models whose answer is known."""

import io

import pytest

from heliotrope.attack.variation.interface import Oracle
from heliotrope.attack.variation.turning import Turn, attack_by_turns, grid, random_turns, turned

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")


def nothing(_share):
    """No one is watching the progress."""


def indicator(predicate, name):
    return next(entry for entry in predicate["health"] if entry["id"] == name)


def test_a_turn_of_a_right_angle_is_exact_and_a_shift_moves():
    images = np.random.default_rng(0).random((2, 3, 7, 7)).astype(np.float32)
    assert np.array_equal(turned(images, Turn(0.0), 0.0), images)
    assert np.allclose(turned(images, Turn(90.0), 0.0), np.rot90(images, axes=(2, 3)), atol=1e-6)
    moved = turned(images, Turn(0.0, down=2, right=-1), -1.0)
    assert np.allclose(moved[:, :, 2:, :-1], images[:, :, :-2, 1:])
    assert (moved[:, :, :2] == -1).all()


def test_interpolation_is_that_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs scipy (extra 'data')")
    images = np.random.default_rng(1).random((1, 1, 9, 9)).astype(np.float32)
    ours = turned(images, Turn(17.0), 0.0)[0, 0]
    theirs = ndimage.rotate(images[0, 0].astype(float), 17.0, reshape=False, order=1, mode="grid-constant")
    assert np.allclose(ours, theirs, atol=1e-5)


def test_a_model_that_cannot_see_turns_holds_and_one_that_looks_at_a_place_falls():
    images = np.random.default_rng(0).random((30, 1, 8, 8)).astype(np.float32)
    turns = grid(8, 8, rotations=5, shifts=3)

    def blind(inputs):  # the same class whatever it is shown
        return np.tile([1.0, 0.0], (len(inputs), 1))

    def corner(inputs):
        bright = inputs[:, 0, 0, 0] > 0.2
        return np.stack([~bright, bright], axis=1).astype(float)

    held = attack_by_turns(Oracle(blind, 16, 0.0, 1.0), images, np.zeros(30, int), turns, rotations=5, tick=nothing)
    assert held.held.all()
    labels = corner(images).argmax(axis=1)
    oracle = Oracle(corner, 16, 0.0, 1.0)
    fallen = attack_by_turns(oracle, images, labels, turns, rotations=5, tick=nothing)
    assert not fallen.held[labels == 1].any()
    assert corner(fallen.broken.images).argmax(axis=1).tolist() == (1 - labels[fallen.broken.which]).tolist()
    assert dict(fallen.rotations)[0.0] == 30
    assert oracle.asked < 30 * (len(turns) + 6)  # what is broken leaves


def test_random_turns_stay_within_what_is_allowed():
    turns = random_turns(20, 10, 50, seed=3)
    assert turns == random_turns(20, 10, 50, seed=3)
    assert max(abs(turn.degrees) for turn in turns) <= 30
    assert max(abs(turn.down) for turn in turns) <= 2
    assert max(abs(turn.right) for turn in turns) <= 1


@pytest.mark.torch
@pytest.mark.parametrize("suite", ["quick", "standard"])
def test_the_check_stores_what_misled(assess, suite):
    result, predicate, context = assess(check="evasion.geometry", suite=suite)
    assert result.outcome.state == "passed"
    assert predicate["held"] < predicate["clean_correct"]
    assert indicator(predicate, "perturbations")["state"] == "ok"
    stored = np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]), allow_pickle=False)
    assert np.abs(stored["degrees"]).max() <= 30
    assert len(stored["perturbed"]) == predicate["clean_correct"] - predicate["held"]
    assert [one.metric for one in result.measurements] == ["geometric_accuracy"]


@pytest.mark.torch
def test_a_random_model_is_not_credited(assess):
    result, predicate, _ = assess(
        "return self.layer(x) + torch.randn(len(x), 3)", check="evasion.geometry", suite="quick"
    )
    assert result.outcome.state == "inconclusive"
    assert indicator(predicate, "deterministic")["state"] == "failed"
    assert result.measurements[0].value is None
