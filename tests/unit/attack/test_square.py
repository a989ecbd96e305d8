"""Square attack: what it promises, and what it finds where gradients are no help."""

import math

import pytest

from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.gradients.square import SquareAttack, share_of_side
from heliotrope.attack.interface import Budget, Samples
from heliotrope.subjects.balls import lengths_of

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
pytestmark = pytest.mark.torch


def stepped(inputs, weight):
    """Scores in steps: no gradient anywhere."""
    return ((inputs.flatten(1) @ weight.T) * 8).round() / 8


def target(shape=(2, 6, 6), n=30, classes=4):
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(classes, math.prod(shape), generator=generator)
    inputs = torch.rand(n, *shape, generator=generator)
    logits = lambda points: stepped(points, weight)  # noqa: E731
    return logits, Samples(inputs, logits(inputs).argmax(dim=1), tuple(range(n)))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("shape", [(2, 6, 6), (1, 5, 3), (9,), (4, 7), (2, 2, 2, 3)])
def test_what_breaks_keeps_its_promises_whatever_the_shape(threat, norm, shape):
    logits, samples = target(shape)
    how = threat(norm, 0.1 if norm == "Linf" else 0.5)
    model = GradientModel(logits)
    found = SquareAttack(60)(model, samples, how, seed=0)
    assert bool(found.broken.any())
    broken = found.adversarial[found.broken]
    assert float(lengths_of(broken, samples.inputs[found.broken], how).max()) <= how.eps
    assert float(broken.min()) >= 0
    assert float(broken.max()) <= 1
    assert bool((logits(broken).argmax(dim=1) != samples.labels[found.broken]).all())
    assert model.cost.gradient == 0
    assert model.cost.forward == int(found.forwards.sum())


def test_one_question_for_each_step_and_no_more(threat):
    logits, samples = target()
    asked = []

    def counted(points):
        asked.append(len(points))
        return logits(points)

    found = SquareAttack(25)(GradientModel(counted), samples, threat("Linf", 1e-6), seed=0)
    assert not bool(found.broken.any())
    assert asked == [30] * 25
    assert found.forwards.tolist() == [25] * 30
    less = SquareAttack(25)(GradientModel(logits), samples, threat("Linf", 1e-6), seed=0, budget=Budget(forwards=7))
    assert less.forwards.tolist() == [7] * 30


def test_neither_batch_nor_company_changes_what_is_found(threat):
    logits, samples = target()
    whole = SquareAttack(50)(GradientModel(logits), samples, threat("Linf", 0.05), seed=4)
    parts = SquareAttack(50)(GradientModel(logits, batch=7), samples, threat("Linf", 0.05), seed=4)
    some = SquareAttack(50)(GradientModel(logits), samples.select(torch.arange(20, 30)), threat("Linf", 0.05), seed=4)
    assert whole.broken.tolist() == parts.broken.tolist()
    assert torch.equal(whole.adversarial, parts.adversarial)
    assert whole.broken[20:].tolist() == some.broken.tolist()


def test_a_channel_without_a_budget_stays(threat):
    logits, samples = target()
    how = threat("Linf", 0.2).model_copy(update={"channel_eps": (0.2, 0.0)})
    found = SquareAttack(40)(GradientModel(logits), samples, how, seed=0)
    assert bool(found.broken.any())
    assert torch.equal(found.adversarial[found.broken][:, 1], samples.inputs[found.broken][:, 1])


def test_scores_that_are_no_numbers_are_no_mistakes(threat):
    _, samples = target()
    found = SquareAttack(5)(
        GradientModel(lambda points: torch.full((len(points), 4), math.nan)), samples, threat("Linf", 0.5), seed=0
    )
    assert not bool(found.broken.any())
    assert bool(found.strange.all())


def test_patches_shrink_as_in_the_paper():
    shares = [share_of_side(asked, 10_000) for asked in (0, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)]
    assert shares == [0.8 / 2**step for step in range(10)]
    assert share_of_side(51, 1000) == share_of_side(510, 10_000)
