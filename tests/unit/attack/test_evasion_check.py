"""The check as a worker runs it, on small projects written for each case."""

import io
import subprocess
import sys
import textwrap

import pytest

from heliotrope.attack.checks import effective_threat
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.records import canonical_bytes, sha256_hex
from heliotrope.engine.interface import Project
from heliotrope.engine.registry import find_check

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
np = pytest.importorskip("numpy", reason="needs numpy (extra 'torch')")
Image = pytest.importorskip("PIL.Image", reason="needs pillow (extra 'torch')")

pytestmark = pytest.mark.torch


def indicator(predicate, name):
    return next(entry for entry in predicate["health"] if entry["id"] == name)


def test_a_sound_attack_passes_and_says_its_number(assess):
    result, predicate, _ = assess()
    assert result.outcome.state == "passed"
    assert f"robust accuracy {100 * predicate['robust_accuracy']:.2f} %" in result.outcome.reason
    assert predicate["health_verdict"] == "sound"
    assert {entry["state"] for entry in predicate["health"]} <= {"ok", "unknown"}
    assert predicate["n"] == 60
    assert predicate["clean_correct"] - predicate["broken"] == round(60 * predicate["robust_accuracy"])
    assert 0 < predicate["robust_accuracy"] < 1
    assert predicate["robust_interval"]["method"] == "clopper-pearson"
    assert sum(entry["broken"] for entry in predicate["restarts"]) == predicate["broken"]
    robust, clean = result.measurements
    assert (robust.metric, clean.metric) == ("robust_accuracy", "clean_accuracy_attacked_sample")
    assert robust.value == predicate["robust_accuracy"]
    assert robust.conditions == {"norm": "Linf", "eps": 0.1, "steps": 10, "restarts": 2}
    assert [finding.rule for finding in result.findings] == ["evasion-possible"]


def test_the_evidence_is_about_the_code_and_names_the_data(assess, tmp_path):
    result, predicate, _ = assess()
    (subject,) = result.evidence[0].subject
    assert subject.digest.sha256 == sha256_hex((tmp_path / subject.name).read_bytes())
    assert predicate["data"] == {"data": sha256_hex((tmp_path / "test.npz").read_bytes())}


def test_equal_input_gives_equal_evidence_and_blobs(assess):
    one, other = assess(), assess()
    drop = {"subject"}
    documents = [
        {key: value for key, value in result.evidence[0].document().items() if key not in drop}
        for result in (one[0], other[0])
    ]
    assert canonical_bytes(documents[0]) == canonical_bytes(documents[1])
    assert one[2].blobs == other[2].blobs


def test_stored_samples_hold_when_read_again(assess):
    result, predicate, context = assess()
    data = context.blobs[predicate["samples"]["sha256"]]
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        change = np.abs(stored["perturbed"].astype(np.float64) - stored["original"])
        assert change.max() <= 0.1 * (1 + 1e-6)
        assert len(stored["index"]) == predicate["broken"]
        assert stored["perturbed"].min() >= 0
        assert stored["perturbed"].max() <= 1
    assert set(context.blobs) == {blob.sha256 for blob in result.blobs}


def test_examples_are_pictures_of_different_mistakes(assess):
    _, predicate, context = assess(classes=5)
    examples = predicate["examples"]
    assert 0 < len(examples) <= 8
    pairs = [(entry["label"], entry["adversarial_prediction"]) for entry in examples]
    distinct = len(set(pairs))
    assert len(set(pairs[:distinct])) == distinct  # no pair comes twice before every pair came once
    for entry in examples:
        assert entry["linf"] <= 0.1 * (1 + 1e-6)
        assert entry["label"] != entry["adversarial_prediction"]
        for name in ("original", "perturbed", "difference"):
            assert entry[name]["media_type"] == "image/png"
            with Image.open(io.BytesIO(context.blobs[entry[name]["sha256"]])) as picture:
                assert picture.size == (4, 4)
    with Image.open(io.BytesIO(context.blobs[examples[0]["difference"]["sha256"]])) as picture:
        pixels = np.asarray(picture, dtype=float) / 255
    assert abs(pixels - 0.5).max() <= min(1.0, 10 * examples[0]["linf"]) + 0.01


def test_the_curve_never_rises_and_meets_the_headline(assess):
    _, predicate, _ = assess()
    curve = predicate["curve"]
    assert [point["eps"] for point in curve] == [0.0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2]
    accuracies = [point["accuracy"] for point in curve]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == predicate["clean_accuracy"]
    assert accuracies[4] == predicate["robust_accuracy"]


@pytest.mark.parametrize(
    ("forward", "failed"),
    [
        ("return self.layer((x * 8).round() / 8) * 20", "gradients"),
        ("return self.layer(x).detach() * 20", "gradients"),
        ("self.train(); return self.layer(x) * 20", "eval-mode"),
    ],
)
def test_an_unsound_attack_is_inconclusive_and_has_no_number(assess, forward, failed):
    result, predicate, _ = assess(forward)
    assert indicator(predicate, failed)["state"] == "failed"
    assert predicate["health_verdict"] == "unsound"
    assert result.outcome.state == "inconclusive"
    assert indicator(predicate, failed)["title"] in result.outcome.reason
    assert "attack-unsound" in {finding.rule for finding in result.findings}
    robust = result.measurements[0]
    assert robust.value is None
    assert robust.undefined_reason


def test_a_wrong_claim_makes_the_attack_unsound(assess):
    _, predicate, _ = assess(model={"declared": {"clean_accuracy": 0.5}})
    assert indicator(predicate, "clean-accuracy")["state"] == "failed"
    _, predicate, _ = assess(model={"declared": {"clean_accuracy": 1.0}})
    assert indicator(predicate, "clean-accuracy")["state"] == "ok"
    _, predicate, _ = assess(model={"declared": {"clean_accuracy": 0.93}})
    assert indicator(predicate, "clean-accuracy")["state"] == "warning"


def test_softmax_declared_as_logits_is_doubtful(assess):
    result, predicate, _ = assess("return torch.softmax(self.layer(x) * 20, 1)")
    assert indicator(predicate, "output")["state"] == "warning"
    assert predicate["health_verdict"] == "doubtful"
    assert "doubtful" in result.outcome.reason


def test_softmax_declared_as_probabilities_equals_logits(assess):
    _, logits, _ = assess()
    _, probabilities, _ = assess("return torch.softmax(self.layer(x) * 20, 1)", model={"output": "probabilities"})
    assert probabilities["health_verdict"] == "sound"
    assert abs(probabilities["broken"] - logits["broken"]) <= 1


def test_data_in_a_corner_of_the_range_are_doubtful(assess):
    _, predicate, _ = assess(model={"input": {"shape": [1, 4, 4], "range": [0, 255]}})
    assert indicator(predicate, "input-range")["state"] == "warning"


def test_an_attack_that_cannot_break_the_model_at_all_is_doubtful(assess):
    _, predicate, _ = assess("return self.layer(x) * 0 + torch.tensor([1.0, 0, 0])", labels=np.zeros(60, np.int64))
    assert indicator(predicate, "large-eps")["state"] == "warning"
    assert predicate["robust_accuracy"] == 1.0
    assert predicate["health_verdict"] == "unsound"  # a constant has no gradient either


@pytest.mark.parametrize("classes", [2, 100])
def test_few_and_many_classes(assess, classes):
    result, predicate, _ = assess(classes=classes, n=40)
    assert result.outcome.state == "passed"
    assert predicate["broken"] > 0


def test_nothing_right_to_begin_with(assess):
    torch.manual_seed(7)
    result, predicate, _ = assess("return self.layer(x) * 0 + torch.tensor([0.0, 0, 1])", labels=np.zeros(60, np.int64))
    assert (predicate["clean_correct"], predicate["robust_accuracy"]) == (0, 0.0)
    assert predicate["samples"] is None
    assert predicate["examples"] == []
    assert result.measurements[0].value == 0.0


def test_l2_is_measured_as_l2(assess):
    _, predicate, context = assess(threat={"norm": "L2", "eps": 0.3, "steps": 10, "restarts": 2})
    assert predicate["broken"] > 0
    with np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]])) as stored:
        change = (stored["perturbed"].astype(np.float64) - stored["original"]).reshape(len(stored["index"]), -1)
    assert np.linalg.norm(change, axis=1).max() <= 0.3 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("suite", "sample", "n"), [("quick", None, 200), ("standard", None, 1000), ("deep", None, 1200), ("quick", 30, 30),
                               ("quick", "all", 1200), ("standard", 5000, 1200)]
)  # fmt: skip
def test_the_suite_decides_how_many_samples(assess, suite, sample, n):
    threat = {"eps": 0.01, "steps": 1, "restarts": 1}
    _, predicate, context = assess(n=1200, suite=suite, sample=sample, threat=threat)
    assert predicate["n"] == n
    if predicate["samples"]:
        with np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]])) as stored:
            assert (np.diff(stored["index"]) > 0).all()


def test_the_sample_is_drawn_by_the_seed(assess):
    rows = []
    for seed in (1, 1, 2):
        _, predicate, context = assess(n=1200, sample=100, seed=seed)
        with np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]])) as stored:
            rows.append(stored["index"].tolist())
    assert rows[0] == rows[1] != rows[2]


def test_the_quick_suite_says_that_it_caps_the_threat(assess):
    threat = {"eps": 0.1, "steps": 40, "restarts": 5}
    result, predicate, _ = assess(suite="quick", threat=threat)
    assert (predicate["threat"]["steps"], predicate["threat"]["restarts"]) == (20, 1)
    assert predicate["threat"]["step_size"] == pytest.approx(2.5 * 0.1 / 20)
    assert "quick suite; configured are 40 steps x 5" in result.outcome.reason
    assert result.measurements[0].conditions["steps"] == 20


def test_a_declared_step_size_is_kept_and_stretched_only_when_steps_are_capped(assess):
    threat = {"eps": 0.1, "steps": 40, "step_size": 0.01, "restarts": 1}
    _, standard, _ = assess(threat=threat)
    _, quick, _ = assess(threat=threat, suite="quick")
    assert standard["threat"]["step_size"] == pytest.approx(0.01)
    assert quick["threat"]["step_size"] == pytest.approx(0.02)


def test_progress_rises(assess, monkeypatch):
    monkeypatch.setattr("heliotrope.attack.outcome._TICK_SECONDS", 0.0)
    _, _, context = assess()
    done = [entry[0] for entry in context.said]
    assert done == sorted(done)
    assert done[-1] > 0.9


def test_an_estimate_is_given(tmp_path):
    config = HeliotropeConfig.model_validate(
        {
            "version": 1,
            "project": "p",
            "threat": {"eps": 0.1},
            "models": [{"name": "m", "path": "w.pt", "input": {"shape": [1, 4, 4]}}, {"name": "n", "path": "w.pt"}],
        }
    )
    project = Project("p", tmp_path, (tmp_path,), config, None, "deep")
    first, second = find_check("evasion.pgd").plan(project)
    assert first.estimate_seconds > 10
    assert second.missing
    assert effective_threat(first.parameters).steps == 40


def test_plug_in_modules_import_without_heavy_libraries():
    code = """
        import sys
        for name in ("torch", "numpy", "scipy", "PIL", "safetensors", "sklearn"):
            sys.modules[name] = None
        import heliotrope.attack.checks, heliotrope.quality.checks
        from heliotrope.engine.registry import checks
        found = {check.id for check in checks()}
        assert {"evasion.pgd", "quality.performance"} <= found, found
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
