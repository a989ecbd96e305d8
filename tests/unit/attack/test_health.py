"""Each indicator fires on a model made to trap it, and honest models stay conclusive."""

import io

import pytest

from heliotrope.core.errors import InputError

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
np = pytest.importorskip("numpy", reason="needs numpy (extra 'torch')")
pytestmark = pytest.mark.torch

GRID = 'self.grid = type("Grid", (torch.nn.Module,), {"forward": lambda self, v: (v * 8).round() / 8})()'
HONEST = "return self.layer(x) * 20"
BOTH = pytest.mark.parametrize("check", ["evasion.pgd", "evasion.ensemble"])


def state(predicate, name):
    return next(entry for entry in predicate["health"] if entry["id"] == name)["state"]


def test_every_indicator_says_where_it_applies_how_it_is_tested_and_what_follows(assess):
    _, predicate, _ = assess()
    assert len(predicate["health"]) >= 16
    for entry in predicate["health"]:
        assert entry["applies"]
        assert entry["test"]
        assert entry["consequence"] in ("invalidates", "warns", "repaired")
        assert entry["next_attack"] or entry["consequence"] == "repaired"


@BOTH
@pytest.mark.parametrize(
    ("name", "trap", "init"),
    [
        ("gradients", "return self.layer(self.grid(x)) * 20", GRID),
        ("gradients", "return self.layer(x).detach() * 20", ""),
        ("loss-rising", "return self.layer(self.grid(x)) * 20", GRID),
        ("black-box", "return self.layer(self.grid(x)) * 20", GRID),
        ("transfer", "return self.layer(self.grid(x)) * 20", GRID),
        ("eval-mode", "self.train(); return self.layer(x) * 20", ""),
        ("batch-invariant", "return self.layer(x) * 20 + (len(x) == 1) * torch.tensor([0., 0., 99.])", ""),
        ("finite", "return self.layer(x) * 20 * torch.where(x.amax(1, keepdim=True) > 0.9999, float('nan'), 1.0)", ""),
        ("finite", "return self.layer(x) * 20 if len(x) < 9 else self.layer(x) * float('nan')", ""),
    ],
)
def test_a_trap_is_seen_and_the_number_withheld(assess, check, name, trap, init):
    result, predicate, _ = assess(trap, init=init, check=check)
    own = check == "evasion.ensemble" and name in ("black-box", "transfer")  # what questions broke is in its number
    assert state(predicate, name) in (("failed", "warning") if own else ("failed",))
    assert result.outcome.state == "inconclusive"
    assert "next: " in result.outcome.reason
    assert result.measurements[0].value is None


@BOTH
def test_huge_logits_are_repaired(assess, check):
    _, plain, _ = assess(check=check)
    result, huge, _ = assess("return self.layer(x) * 100000", check=check)
    assert result.outcome.state == "passed"
    assert state(huge, "scale") == "ok"
    assert "were scaled" in str(huge["health"])
    assert abs(huge["broken"] - plain["broken"]) <= 1


@BOTH
def test_probabilities_declared_as_logits_are_repaired_and_said(assess, check):
    _, plain, _ = assess(check=check)
    result, logged, _ = assess("return torch.softmax(self.layer(x) * 20, 1)", check=check)
    assert state(logged, "output") == "warning"
    assert result.outcome.state == "passed"
    assert abs(logged["broken"] - plain["broken"]) <= 1


RANDOM = "return self.layer(x + 0.02 * torch.randn(x.shape)) * 20"


@BOTH
def test_a_random_model_is_averaged_and_without_it_there_is_no_number(assess, check):
    import torch

    torch.manual_seed(0)  # what a random model answers outside the attack is drawn from the generator of all
    threat = {"eps": 0.1, "steps": 5, "restarts": 1}
    result, predicate, _ = assess(RANDOM, check=check, threat=threat | {"draws": 4}, n=40)
    assert (state(predicate, "deterministic"), predicate["threat"]["draws"]) == ("warning", 4)
    assert predicate["broken"] > 5
    assert result.outcome.state == "passed"
    assert state(predicate, "perturbations") == "ok"
    assert "4 draws" in result.outcome.reason
    result, predicate, _ = assess(RANDOM, check=check, threat=threat | {"draws": 1}, n=40)
    assert (state(predicate, "deterministic"), predicate["threat"]["draws"]) == ("failed", None)
    assert result.outcome.state == "inconclusive"


def test_too_few_steps_are_told_from_enough(assess):
    threat = {"eps": 0.1, "steps": 40, "step_size": 0.0025, "restarts": 1}
    _, slow, _ = assess(threat=threat)
    assert state(slow, "converged") == "warning"
    _, usual, _ = assess()
    assert state(usual, "converged") == "ok"


RUGGED = (
    "s = self.layer(x) * 20; return s + 12 * torch.sin(3000 * x.sum(1, keepdim=True)) * torch.tensor([1., -1., 0.])"
)


def test_a_loss_so_rugged_that_more_room_breaks_less_is_seen(assess):
    """The gradient's sign alternates on the way: at eps a start lands on a mistake, farther out it leads nowhere."""
    few = {"eps": 0.02, "steps": 10, "restarts": 3}
    _, predicate, _ = assess(RUGGED, labels="own", threat=few)
    assert state(predicate, "monotone") == "warning"
    _, honest, _ = assess(HONEST, labels="own", threat={"eps": 0.1, "steps": 10, "restarts": 3})
    assert state(honest, "monotone") == "ok"


def test_restarts_that_go_on_breaking_more_are_seen(assess):
    """Every start lands elsewhere on the rugged loss, and one step leads nowhere."""
    threat = {"eps": 0.1, "steps": 1, "restarts": 3}
    result, predicate, _ = assess(RUGGED, labels="own", threat=threat)
    assert state(predicate, "saturated") == "warning"
    assert "doubtful" in result.outcome.reason or result.outcome.state == "inconclusive"
    _, honest, _ = assess(HONEST, labels="own", threat={"eps": 0.1, "steps": 10, "restarts": 3})
    assert state(honest, "saturated") == "ok"


@BOTH
def test_a_named_layer_makes_a_quantised_model_attackable(assess, check):
    threat = {"eps": 0.15, "steps": 10, "restarts": 1, "approximate": {"grid": "identity"}}
    result, predicate, _ = assess("return self.layer(self.grid(x)) * 20", init=GRID, check=check, threat=threat)
    assert state(predicate, "gradients") == "ok"
    assert predicate["threat"]["approximated"] == ["grid"]
    assert result.outcome.state == "passed"
    assert predicate["broken"] > 10


def test_an_approximation_from_the_project(assess, tmp_path):
    (tmp_path / "smooth.py").write_text("def smooth(x):\n    return x * 1.0\n")
    threat = {"eps": 0.15, "steps": 5, "approximate": {"grid": "smooth:smooth"}}
    _, predicate, _ = assess("return self.layer(self.grid(x)) * 20", init=GRID, threat=threat)
    assert state(predicate, "gradients") == "ok"


@BOTH
def test_few_samples_and_one_class(assess, check):
    result, predicate, _ = assess(n=6, check=check)
    assert state(predicate, "sample") == "failed"
    assert result.outcome.state == "inconclusive"
    constant = np.zeros(60, np.int64)
    result, predicate, _ = assess(labels=constant, check=check)
    assert state(predicate, "sample") == "warning"


def test_a_model_that_raises_on_a_sample_names_the_row(assess):
    images = 0.8 * np.random.default_rng(0).random((60, 1, 4, 4), dtype=np.float32)
    images[37, 0, 2, 2] = 1.0
    with pytest.raises(InputError, match="first for row 37 of the data, unchanged"):
        assess("assert x.amax() < 0.9995; return self.layer(x) * 20", images=images)


def test_stored_pixels_keep_norm_range_and_label(assess, tmp_path):
    """Round trips of what is stored: as float32 and as 8-bit images."""
    images = (np.random.default_rng(5).integers(0, 256, (60, 1, 4, 4)) / 255).astype(np.float32)
    pixels = "x = (x * 255).round() / 255 if False else x; return self.layer(x) * 20"
    _, predicate, context = assess(pixels, images=images)
    assert state(predicate, "eight-bit") in ("ok", "warning")
    with np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]])) as stored:
        change = stored["perturbed_uint8"].astype(np.float64) / 255 - stored["original"]
        assert np.abs(change).max() <= 0.1 * (1 + 1e-6)
        whole = np.abs(stored["perturbed"].astype(np.float64) - stored["original"])
        assert whole.max() <= 0.1 * (1 + 1e-6)


@pytest.mark.parametrize("check", ["evasion.pgd", "evasion.ensemble"])
@pytest.mark.parametrize(
    "honest",
    [
        {},
        {"classes": 2},
        {"classes": 100},
        {"forward": "return self.layer(torch.tanh(self.body(x))) * 5", "init": "self.body = torch.nn.Linear(16, 16)"},
        {"forward": "return torch.softmax(self.layer(x) * 20, 1)", "model": {"output": "probabilities"}},
        {"suite": "quick"},
        {"threat": {"norm": "L2", "eps": 0.3, "steps": 10, "restarts": 2}},
        {"threat": {"eps": 0.001, "steps": 10, "restarts": 2}},
        {"forward": "return self.layer(self.norm(x)) * 20", "init": "self.norm = torch.nn.BatchNorm1d(16)"},
    ],
    ids=["linear", "two", "hundred", "curved", "probabilities", "quick", "l2", "small-eps", "batch-norm"],
)
def test_honest_models_stay_conclusive(assess, check, honest):
    forward = honest.get("forward", HONEST)
    result, predicate, _ = assess(forward, check=check, labels="own",
                                  **{key: value for key, value in honest.items() if key != "forward"})  # fmt: skip
    failed = [entry["id"] for entry in predicate["health"] if entry["state"] == "failed"]
    assert not failed
    assert result.outcome.state == "passed"
    assert "clean accuracy" in result.outcome.reason
    assert "attack " in result.outcome.reason


def test_the_standard_suite_caps_auto_pgd_and_says_so(assess):
    threat = {"eps": 0.1, "steps": 100, "restarts": 5}
    result, predicate, _ = assess(check="evasion.ensemble", classes=12, n=40, threat=threat)
    carried = predicate["threat"]
    assert (carried["steps"], carried["restarts"], carried["targets"]) == (50, 1, 3)
    assert "3 targets" in result.outcome.reason
    assert "standard suite; configured are 100 steps x 5" in result.outcome.reason
    names = [entry["attack"] for entry in predicate["restarts"]]
    assert names[:4] == ["pgd-cross-entropy", "apgd-cross-entropy", "apgd-cross-entropy", "apgd-dlr"]
    assert names[4:7] == ["apgd-targeted-1", "apgd-targeted-2", "apgd-targeted-3"]
    _, deep, _ = assess(
        check="evasion.ensemble", classes=12, n=20, suite="deep", threat=threat | {"restarts": 1, "steps": 5}
    )
    assert deep["threat"]["targets"] == 9


def test_half_precision_and_channel_budgets(assess):
    threat = {"eps": 0.1, "steps": 5, "restarts": 1, "channel_eps": [0.1]}
    _, plain, _ = assess(threat=threat)
    _, half, _ = assess(init="self.half()", threat=threat)
    assert plain["threat"]["channel_eps"] == [0.1]
    assert abs(half["broken"] - plain["broken"]) <= 2


def test_a_random_models_input_that_misleads_by_chance_is_refused():
    """What misleads in every second draw does not hold; what does so in nine of ten is not called wrong by chance."""
    import torch

    from heliotrope.attack.gradients.model import GradientModel
    from heliotrope.attack.health.data import perturbations
    from heliotrope.attack.health.examined import Examined
    from heliotrope.attack.interface import AttackResult, Samples
    from heliotrope.core.predicates.behaviour import ThreatModel

    threat = ThreatModel(norm="Linf", eps=0.1, steps=1, restarts=1, step_size=0.1, input_low=0.0, input_high=1.0)
    samples = Samples(torch.zeros(40, 1), torch.zeros(40, dtype=torch.int64), tuple(range(40)))
    packed = io.BytesIO()
    np.savez(packed, original=np.zeros((40, 1), "f4"), perturbed=np.full((40, 1), 0.05, "f4"), label=np.zeros(40, "i8"))

    def verdict(share):
        def logits(inputs):
            misled = torch.rand(len(inputs)) < share
            return torch.stack((torch.zeros(len(inputs)), misled * 2.0 - 1.0), 1)

        model = GradientModel(logits, draws=4)
        result = AttackResult.unknown(samples)
        result.reach[:] = 0.05
        examined = Examined(model, samples, torch.nn.Identity(), threat, result, packed.getvalue(), output="logits",
                            declared_accuracy=None)  # fmt: skip
        return perturbations(examined).state

    assert verdict(0.5) == "failed"
    assert verdict(0.9) == "ok"
