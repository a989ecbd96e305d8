"""Variations: images turned and moved, one pattern for all, a patch; each against models whose answer is known."""

import io

import pytest

from heliotrope.attack.variation.interface import Oracle
from heliotrope.attack.variation.patterns import AddedPattern, PatchPattern, by_questions
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


@pytest.mark.torch
@pytest.mark.parametrize("check", ["evasion.universal", "evasion.patch"])
def test_a_pattern_is_made_on_one_half_and_judged_on_the_other(assess, check):
    result, predicate, context = assess(check=check, suite="quick", n=80)
    assert result.outcome.state == "passed"
    assert predicate["n"] + predicate["fitted"] == 80
    assert predicate["held"] < predicate["points"][0]["right"]
    assert indicator(predicate, "beats-random")["state"] == "ok"
    assert indicator(predicate, "perturbations")["state"] == "ok"
    stored = np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]), allow_pickle=False)
    change = stored["perturbed"].astype(np.float64) - stored["original"]
    if check == "evasion.universal":
        assert np.abs(change).max() <= 0.1 + 1e-7
        assert np.isclose(np.abs(change).max(), 0.1)
    else:
        assert (change != 0).any(axis=(1, 2, 3)).all()
        assert (change != 0).sum(axis=(1, 2, 3)).max() <= 1  # 5 % of 16 pixels


@pytest.mark.torch
def test_a_pattern_is_the_same_when_made_again(assess):
    first, second = (assess(check="evasion.universal", suite="quick", n=60)[1] for _ in range(2))
    assert first["samples"] == second["samples"]


@pytest.mark.torch
@pytest.mark.parametrize("check", ["evasion.universal", "evasion.patch"])
def test_without_gradients_or_change_a_pattern_is_not_credited(assess, check):
    """The trap: the class alone as scores. No gradient says where to go, and the pattern stays noise."""
    masked = "return torch.nn.functional.one_hot(self.layer(x).argmax(dim=1), 3).float()"
    _, predicate, _ = assess(masked, check=check, suite="quick")
    assert indicator(predicate, "beats-random")["state"] in ("warning", "failed")
    assert predicate["health_verdict"] != "sound"


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_questions_alone_make_a_pattern_of_a_linear_model(norm):
    source = np.random.default_rng(2)
    weights = source.standard_normal((2, 64))
    images = (0.4 + 0.2 * source.random((60, 1, 8, 8))).astype(np.float32)

    def scores(inputs):
        return (inputs.reshape(len(inputs), -1) - 0.5) @ weights.T

    images = images[scores(images).argmax(axis=1) == 0]
    labels, rows = np.zeros(len(images), dtype=np.int64), np.arange(len(images))
    how = AddedPattern((1, 8, 8), norm, 0.05 if norm == "Linf" else 0.4, 0.0, 1.0)
    oracle, start = Oracle(scores, 32, 0.0, 1.0), how.start(0)
    made = by_questions(how, oracle, images, labels, rows, start=start, steps=400, seed=0, tick=nothing)
    under = [float(oracle.wrong(how.on(images, rows, one, 0), labels).mean()) for one in (start, made)]
    assert under[0] < 0.6
    assert under[1] == 1.0
    assert np.linalg.norm(made.ravel().astype(float), np.inf if norm == "Linf" else 2) <= how.eps


def test_a_patch_lies_inside_at_places_that_depend_on_the_row():
    how = PatchPattern((3, 8, 6), 2, 0.0, 1.0, seed=1)
    rows = np.arange(200)
    places = np.array(how.places(rows, 0))
    assert places.min() == 0
    assert places.max(axis=0).tolist() == [6, 4]
    assert how.places(rows[50:60], 0) == [tuple(one) for one in places[50:60].tolist()]
    images = np.zeros((200, 3, 8, 6), dtype=np.float32)
    assert (how.on(images, rows, np.ones(how.shape, np.float32), 0).sum(axis=(1, 2, 3)) == 12).all()
