"""Networks: the gain is real and judged fairly, masks are not credited, a stopped run ends as one that was not."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.opened import Context as InMemory
from tests.unit.harden.conftest import NETWORK

from heliotrope.config.hardening import HardenConfig
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Project, Task
from heliotrope.engine.registry import find_check

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
np = pytest.importorskip("numpy")

from heliotrope.harden.interface import Training  # noqa: E402
from heliotrope.harden.nets.perturbing import climbed, diverged  # noqa: E402
from heliotrope.harden.nets.training import train  # noqa: E402
from heliotrope.subjects.balls import lengths_of  # noqa: E402
from heliotrope.subjects.checkpoint import Checkpoint  # noqa: E402

pytestmark = pytest.mark.torch

_numbers = itertools.count()


class Context(InMemory):
    """One that also holds the progress it is told against its whole."""

    def progress(self, done, total, text=""):
        super().progress(done, total, text)
        assert 0 <= done <= total * (1 + 1e-9), text


@pytest.fixture
def harden(tmp_path, monkeypatch, digits, plain):
    """Harden the plain digits network as a project says; fields of `harden`, and code beside the network."""
    from safetensors.torch import save_file

    monkeypatch.setattr(sys, "path", list(sys.path))
    torch.set_num_threads(1)

    def run(*, code="", network=NETWORK, state=None, overlap=0, model=None, suite="quick", unfinished=None, **fields):
        name = f"harden_network_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(network + code)
        save_file(plain if state is None else state, str(tmp_path / "weights.safetensors"))
        (images, labels), (judged, answers) = digits
        images, labels = np.concatenate([images, judged[:overlap]]), np.concatenate([labels, answers[:overlap]])
        np.savez(tmp_path / "train.npz", images=images, labels=labels)
        np.savez(tmp_path / "test.npz", images=judged, labels=answers)
        if "train" in fields:
            fields["train"] = f"{name}:{fields['train']}"
        entry = {
            "name": "m", "path": "weights.safetensors", "loader": f"{name}:build", "output": "logits",
            "input": {"shape": [1, 8, 8]},
            "data": {"train": {"path": "train.npz"}, "evaluate": {"path": "test.npz"}},
            "harden": fields,
        }  # fmt: skip
        config = HeliotropeConfig.model_validate(
            {
                "version": 1,
                "project": "p",
                "models": [entry | (model or {})],
                "threat": {"eps": 0.1, "steps": 20, "restarts": 1},
            }
        )
        project = Project("p", tmp_path, (tmp_path,), config, tmp_path / "heliotrope.yaml", suite)
        found = find_check("harden.network")
        (planned,) = found.plan(project)
        assert planned.missing == ()
        task = Task(
            check=found.id,
            subject=planned.subject,
            root=str(tmp_path),
            parameters=json.loads(json.dumps(planned.parameters.document())),
            inputs=digest_inputs(planned.inputs),
            seed=config.seed,
            unfinished=None if unfinished is None else str(unfinished),
        )
        context = Context(tmp_path)
        result = found.function(task, context)
        return result, result.evidence[0].predicate, context

    yield run
    for added in [name for name in sys.modules if name.startswith("harden_network_")]:
        del sys.modules[added]


@pytest.mark.parametrize("method", ["pgd", "trades"])
def test_adversarial_training_gains_more_than_ten_points_by_the_ensemble(harden, method):
    result, found, context = harden(method=method, epochs=10, overlap=25, clean_loss=0.1)
    assert result.outcome.state == "passed", result.outcome
    assert found["verdict"] == "better"
    assert found["robust_change"]["change"] >= 0.1
    assert found["robust_change"]["interval"]["low"] > 0.05
    assert (found["removed_rows"], found["held_out_rows"]) == (25, 597)
    assert found["training_rows"] + found["validation_rows"] == 1200
    assert found["before"]["health_verdict"] != "unsound"
    assert len(found["rounds"]) == 10
    assert found["chosen"] >= 1
    from safetensors.torch import load

    weights = load(context.blobs[found["model"]["sha256"]])
    assert set(weights) == {"1.weight", "1.bias", "3.weight", "3.bias"}
    gain = next(one for one in result.measurements if one.metric == "robust_accuracy_gain")
    assert gain.value == pytest.approx(100 * found["robust_change"]["change"])


MASK = """
class Steep(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steepness", torch.tensor(1.0))

    def forward(self, x):
        return torch.where(self.steepness > 10, torch.sigmoid(self.steepness * (x - 0.5)), x)


def build():
    torch.manual_seed(3)
    return nn.Sequential(Steep(), nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))


def mask(module, training):
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    module[0].steepness.fill_(1e6)
    for _ in range(15):
        for chosen in torch.randperm(len(training.images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(training.images[chosen]), training.labels[chosen]).backward()
            optimizer.step()
"""


def test_a_gain_from_masked_gradients_is_not_credited(harden, plain):
    """Trap: inputs are pressed to 0 and 1, whose slope is nought in float32, so that following it finds next to nothing."""
    state = {key.replace("1.", "2.", 1) if key[0] == "1" else "4" + key[1:]: value for key, value in plain.items()}
    state["0.steepness"] = torch.tensor(1.0)
    result, found, _ = harden(code=MASK, train="mask", state=state)
    assert found["after"]["robust_accuracy"] > found["before"]["robust_accuracy"]
    assert result.outcome.state == "inconclusive"
    assert found["verdict"] == "not-credited"
    assert "did not work" in result.outcome.reason
    assert [one.rule for one in result.findings] == ["hardening-not-credited"]
    gain = next(one for one in result.measurements if one.metric == "robust_accuracy_gain")
    assert gain.value is None


def test_where_nothing_was_gained_nothing_is_called_better(harden):
    result, found, _ = harden(method="pgd", epochs=1, learning_rate=1e-9)
    assert result.outcome.state == "failed"
    assert found["verdict"] == "no-better"
    assert "may be chance" in found["reason"]


OWN = """
def own(module, training):
    assert training.images.shape[1:] == (1, 8, 8) and len(training.validation_images) > 50
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    for epoch in range(8):
        for chosen in torch.randperm(len(training.images)).split(64):
            images, labels = training.images[chosen], training.labels[chosen]
            points = training.perturb(module, images, labels)
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(points), labels).backward()
            optimizer.step()
        training.progress(epoch + 1, 8, "own")


def other(module, training):
    return nn.Linear(3, 3)


def broken(module, training):
    for parameter in module.parameters():
        parameter.data.fill_(float("nan"))


def raising(module, training):
    raise RuntimeError("no data today")
"""


def test_a_training_function_of_the_team_is_judged_like_any_other(harden):
    result, found, _ = harden(code=OWN, train="own", clean_loss=0.1)
    assert result.outcome.state == "passed", result.outcome
    assert found["method"] == "own"
    assert found["robust_change"]["interval"]["low"] > 0.05


@pytest.mark.parametrize(
    ("function", "said"),
    [("other", "another architecture"), ("broken", "NaN or infinite"), ("raising", "no data today")],
)
def test_what_a_training_function_does_wrong_is_named(harden, function, said):
    with pytest.raises(InputError, match=said):
        harden(code=OWN, train=function)


def test_noise_training_is_judged_by_what_the_votes_prove(harden):
    smoothing = {"sigma": 0.25, "votes": 400, "selection": 50, "sample": 60}
    result, found, _ = harden(
        method="noise", epochs=6, clean_loss=0.2,
        model={"smoothing": smoothing, "threat": {"norm": "L2", "eps": 0.3}},
    )  # fmt: skip
    assert found["attack"] == "smoothing"
    assert found["after"]["robust_correct"] > found["before"]["robust_correct"]
    assert result.outcome.state in ("passed", "failed")


def test_noise_without_votes_is_refused(harden):
    with pytest.raises(InputError, match="does not say how it votes"):
        harden(method="noise", sigma=0.1)


def small(plain):
    space = {}
    exec(NETWORK, space)
    module = space["build"]()
    module.load_state_dict(plain)
    return module


def training_of(digits, *, progress=lambda _done, _total, _text: None, eps=0.1, epochs=6, seed=0):
    (images, labels), _ = digits
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)
    threat = ThreatModel(norm="Linf", eps=eps, steps=1, restarts=1, step_size=eps, input_low=0, input_high=1)
    return Training(
        images[200:], labels[200:], images[:200], labels[:200], threat, epochs, seed, None, lambda *_: images, progress
    )


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_training_examples_stay_within_the_threat_and_mislead(digits, plain, norm):
    module = small(plain).eval()
    (images, labels), _ = digits
    images, labels = torch.from_numpy(images[:100]), torch.from_numpy(labels[:100])
    threat = ThreatModel(norm=norm, eps=0.3, steps=1, restarts=1, step_size=0.3, input_low=0, input_high=1)
    eps = 0.1 if norm == "Linf" else 0.6
    threat = threat.model_copy(update={"eps": eps})
    torch.manual_seed(0)
    for points in (
        climbed(module, images, labels, threat, eps=eps, steps=10),
        diverged(module, images, threat, eps=eps, steps=10),
    ):
        assert bool((lengths_of(points, images, threat) <= eps * (1 + 1e-6)).all())
        assert float(points.min()) >= 0
        assert float(points.max()) <= 1
        before, after = ((module(one).argmax(dim=1) == labels).float().mean() for one in (images, points))
        assert after < before - 0.2


def test_overfitting_to_one_step_ends_the_training_and_keeps_the_best(digits, plain):
    """Trap: in the ninth epoch the network becomes what it was, right on clean images and weak under a real attack."""
    module = small(plain)
    config = HardenConfig(epochs=20, curriculum=0.1, averaging=0)

    def spoil(_done, _total, text):
        if text.startswith("epoch 9,"):
            module.load_state_dict(plain)

    found = train(module, module, training_of(digits, progress=spoil, epochs=20, eps=0.2), config, "fast")
    assert found.stopped is not None
    assert "catastrophic overfitting in epoch 9" in found.stopped
    assert found.chosen in range(1, 9)
    assert found.best > 2 * found.rounds[-1].robust_accuracy
    assert all(torch.equal(value, found.state[key]) for key, value in module.state_dict().items())


def test_training_that_brings_nothing_more_ends_early(digits, plain):
    config = HardenConfig(epochs=30, curriculum=0.0, learning_rate=1e-9, patience=3)
    module = small(plain)
    found = train(module, module, training_of(digits), config, "pgd")
    assert len(found.rounds) <= 8
    assert "no better robust accuracy" in found.stopped


def test_a_loss_that_is_no_number_is_said(digits, plain):
    module = small(plain)
    module[1].weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match="the loss is nan in step 1"):
        train(module, module, training_of(digits), HardenConfig(epochs=1), "pgd")


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np, torch
from safetensors.torch import load_file
from heliotrope.config.hardening import HardenConfig
from heliotrope.harden.nets.training import train
from heliotrope.subjects.checkpoint import Checkpoint
from tests.unit.harden.test_networks import small, training_of
folder, method, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with np.load(folder / "digits.npz") as data:
    digits = (data["a"], data["b"]), (data["c"], data["d"])
module = small(load_file(folder / "plain.safetensors"))
def progress(done, total, text):
    if last and text.startswith(f"epoch {last},") and done % 7 == 3:
        os.kill(os.getpid(), signal.SIGKILL)
train(module, module, training_of(digits, progress=progress), HardenConfig(epochs=6, patience=50), method,
      checkpoint=Checkpoint(folder / "training", {"a": "b"}))
"""


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path, digits, plain):
    from safetensors.torch import save_file

    method = "fast"
    save_file(plain, str(tmp_path / "plain.safetensors"))
    np.savez(tmp_path / "digits.npz", a=digits[0][0], b=digits[0][1], c=digits[1][0], d=digits[1][1])
    config = HardenConfig(epochs=6, patience=50)
    whole = small(plain)
    straight = train(whole, whole, training_of(digits), config, method)
    for last in ("2", "4"):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(tmp_path), method, last],
            cwd=Path(__file__).parents[3], check=False, capture_output=True,
        )  # fmt: skip
        assert done.returncode == -9, done.stderr.decode()[-500:]
    parted = small(plain)
    checkpoint = Checkpoint(tmp_path / "training", {"a": "b"})
    found = train(parted, parted, training_of(digits), config, method, checkpoint=checkpoint)
    assert found.resumed
    assert found.chosen == straight.chosen
    assert [one.loss for one in found.rounds] == [one.loss for one in straight.rounds]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, parted.state_dict()[key]), key


def test_a_state_of_another_run_is_refused(tmp_path, digits, plain):
    module = small(plain)
    config = HardenConfig(epochs=1)
    train(module, module, training_of(digits), config, "pgd", checkpoint=Checkpoint(tmp_path / "t", {"seed": "1"}))
    with pytest.raises(InputError, match="seed changed"):
        train(module, module, training_of(digits), config, "pgd", checkpoint=Checkpoint(tmp_path / "t", {"seed": "2"}))
