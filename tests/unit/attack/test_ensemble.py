"""The ensemble: pointwise worst case, leaving only after a look alone, proofs, budgets, presets."""

import sys
from pathlib import Path

import pytest

from heliotrope.attack.certify import certifier_of
from heliotrope.attack.ensemble.evaluating import evaluate
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import Samples

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
from torch import nn  # noqa: E402

pytestmark = pytest.mark.torch


def linear(seed=0, classes=3, pixels=16):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(pixels, classes)
    layer.weight.data = torch.randn(classes, pixels, generator=generator)
    layer.bias.data = torch.randn(classes, generator=generator)
    return nn.Sequential(nn.Flatten(), layer).eval().requires_grad_(False)


def samples_of(module, n=60):
    inputs = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return Samples(inputs, module(inputs).argmax(dim=1), tuple(range(n)))


def test_proven_and_broken_are_disjoint_and_a_linear_model_is_decided(threat):
    module = linear()
    samples = samples_of(module)
    certifier = certifier_of(module, samples.inputs[0].numpy())
    found = evaluate(GradientModel(module), samples, threat("Linf", 0.05), certifier=certifier)
    broken = found.result.reach.isfinite()
    assert not bool((broken & found.proven).any())
    assert bool((broken | found.proven).all())
    assert "proven by" in found.proof


def test_what_errs_in_company_alone_does_not_leave(threat):
    """Trap: the model is wrong about a changed input only when others are in the batch."""
    module = linear()
    samples = samples_of(module)

    def moody(points):
        scores = module(points)
        return scores if len(points) > 1 else torch.nn.functional.one_hot(torch.tensor([labels[0]]), 3).float() * 99

    labels = [0]
    samples = samples.select((samples.labels == 0).nonzero()[:, 0])
    found = evaluate(GradientModel(moody), samples, threat("Linf", 0.2), preset="quick")
    assert found.unconfirmed > 0
    assert found.result.right_at(0.2) >= 1


def test_a_budget_ends_at_the_same_place_whatever_the_batch_and_says_what_it_did_not_reach(threat):
    module = linear(classes=12)
    samples = samples_of(module)
    how = threat("Linf", 0.02, steps=20)
    whole = evaluate(GradientModel(module), samples, how, preset="quick", forwards=30)
    parts = evaluate(GradientModel(module, batch=7), samples, how, preset="quick", forwards=30)
    assert torch.equal(whole.result.reach, parts.result.reach)
    assert whole.unreached == parts.unreached == int(whole.result.reach.isinf().sum()) > 0
    free = evaluate(GradientModel(module), samples, how, preset="quick")
    assert free.unreached == 0
    assert free.result.right_at(0.02) <= whole.result.right_at(0.02)


def test_where_nothing_is_proven_the_stage_costs_little(threat):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    module = module.eval().requires_grad_(False)
    samples = samples_of(module)
    certifier = certifier_of(module, samples.inputs[0].numpy())
    found = evaluate(GradientModel(module), samples, threat("Linf", 0.5), preset="quick", certifier=certifier)
    assert found.certified == 0
    assert found.proof.startswith(("not worth it", "nothing was left"))


def test_progress_states_the_bound(threat):
    module = linear()
    said = []
    evaluate(
        GradientModel(module), samples_of(module), threat("Linf", 0.01), preset="quick",
        said=lambda share, text: said.append((share, text)),
    )  # fmt: skip
    assert all("robust <= " in text and "open" in text for _, text in said)
    assert all(0 <= share <= 1 for share, _ in said)


@pytest.fixture(scope="module")
def mnist(test_data):
    sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))
    import evasion

    module, samples = evasion.target(test_data / "mnist")
    return module, samples.select(torch.arange(200))


def test_the_published_model_costs_a_twentieth_of_the_reference(mnist, threat):
    """The reference ensemble: 96.5 % on these 200 at 7,592 forward passes each."""
    module, samples = mnist
    model = GradientModel(module, batch=200)
    certifier = certifier_of(module, samples.inputs[0].numpy())
    found = evaluate(model, samples, threat("Linf", 0.1, steps=50), certifier=certifier)
    assert found.result.right_at(0.1) <= 193
    assert found.certified <= found.result.right_at(0.1)
    assert found.result.right_at(0.1) - found.certified <= 0.02 * 200
    assert model.cost.forward <= 7592 / 20 * 200


def test_questions_beat_gradients_where_the_reference_says_so(mnist, threat):
    """Linf 0.15: PGD-40 leaves 80.0 %, the reference ensemble 58.0 % at 5,043 forward passes each."""
    module, samples = mnist
    model = GradientModel(module, batch=200)
    found = evaluate(model, samples, threat("Linf", 0.15, steps=50))
    assert found.result.right_at(0.15) <= 117
    assert model.cost.forward <= 0.8 * 5043 * 200
    rival = found.rivals[0]
    assert (rival.name, rival.included) == ("black-box", True)
    assert rival.broken > 0.02 * rival.asked


def test_a_weak_model_costs_three_passes_for_each_broken_sample(threat):
    """95 % break in two steps. The look alone is asked for: the pass that confirms each comes on top."""
    module = linear()
    samples = samples_of(module)
    model = GradientModel(module)
    found = evaluate(model, samples, threat("Linf", 0.4), preset="quick")
    broken = int(found.result.reach.isfinite().sum())
    assert broken >= 0.95 * len(samples)
    first = found.result.restarts[0]
    assert first.broken >= 0.9 * broken
    assert model.cost.forward <= (3 + 1) * broken + (len(samples) - broken) * 600 + 1
