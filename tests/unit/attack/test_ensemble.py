"""The ensemble: pointwise worst case, leaving only after a look alone, proofs, budgets, presets."""

import subprocess
import sys
from pathlib import Path

import pytest

from heliotrope.attack.certify import certifier_of
from heliotrope.attack.ensemble.evaluating import evaluate
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import Samples
from heliotrope.core.errors import InputError, SystemRefusedError
from heliotrope.subjects.checkpoint import Checkpoint

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


STEPS = """
import sys, os, signal
import torch
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.unit.attack.test_ensemble import linear, samples_of, described
from heliotrope.attack.certify import certifier_of
from heliotrope.subjects.checkpoint import Checkpoint
from heliotrope.attack.ensemble.evaluating import evaluate
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.core.predicates.behaviour import ThreatModel
torch.set_num_threads(int(sys.argv[4]))
threat = ThreatModel(norm="Linf", eps=0.05, steps=8, restarts=1, step_size=0.01, input_low=0, input_high=1)
module = linear(classes=6)
kill_at = float(sys.argv[3])
def said(share, text):
    if share >= kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
model = GradientModel(module)
found = evaluate(model, samples_of(module), threat, preset="quick", seed=3,
                 checkpoint=Checkpoint(Path(sys.argv[2]), {"model": "a", "seed": "3"}), said=said)
print(described(found, model))
"""


def described(found, model):
    """All of a result, to compare."""
    result = found.result
    return repr(
        (result.reach.tolist(), result.adversarial.sum().item(), [one.model_dump() for one in result.restarts],
         found.proven.tolist(), found.rivals, model.cost, result.late, result.unrisen, result.passes, found.proof)
    )  # fmt: skip


def steps(place, *, kill_at=9.0, threads=1):
    root = str(Path(__file__).parents[3])
    return subprocess.run(
        [sys.executable, "-c", STEPS, root, str(place), str(kill_at), str(threads)],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip


def test_a_run_that_was_killed_goes_on_and_ends_as_one_that_was_not(tmp_path):
    whole = steps(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    for share in (0.02, 0.2, 0.5):
        place = tmp_path / f"killed-{share}"
        assert steps(place, kill_at=share).returncode == -9
        assert steps(place).stdout == whole.stdout
    assert steps(tmp_path / "two", threads=2).stdout == whole.stdout


def test_a_state_of_another_model_and_a_damaged_one_are_refused(threat, tmp_path):
    module = linear()
    samples, how, place = samples_of(module), threat("Linf", 0.05), tmp_path / "state"
    evaluate(GradientModel(module), samples, how, preset="quick", checkpoint=Checkpoint(place, {"model": "a"}))
    with pytest.raises(InputError, match="another run: model changed"):
        evaluate(GradientModel(module), samples, how, preset="quick", checkpoint=Checkpoint(place, {"model": "b"}))
    raw = place.read_bytes()
    for cut in (0, 10, 40, 100, len(raw) // 2, len(raw) - 1):
        place.write_bytes(raw[:cut])
        with pytest.raises(InputError, match="damaged"):
            Checkpoint(place, {"model": "a"}).load()
    place.write_bytes(raw[:200] + bytes([raw[200] ^ 1]) + raw[201:])
    with pytest.raises(InputError, match="damaged"):
        Checkpoint(place, {"model": "a"}).load()


def test_where_the_state_cannot_be_kept_the_run_says_so(threat, tmp_path):
    module = linear()
    place = tmp_path / "gone" / "state"
    with pytest.raises(SystemRefusedError, match="cannot be kept"):
        evaluate(
            GradientModel(module), samples_of(module), threat("Linf", 0.05), preset="quick",
            checkpoint=Checkpoint(place, {}),
        )  # fmt: skip
