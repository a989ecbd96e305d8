"""The Python interface on live models: typed results, nothing global, nothing recorded, nothing changed."""

import pickle

import numpy as np
import pandas as pd
import pytest
from tests.projects import linear_project

from heliotrope.api import Assessed, Threat, assess, attack, scan
from heliotrope.core.errors import InputError, UsageError

FLOORS = {"clean_accuracy": 0.5, "robust_accuracy": 0.1}


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Two clouds of points, far apart."""
    generator = np.random.default_rng(0)
    answers = np.arange(120) % 2
    return generator.normal(0.0, 0.6, (120, 3)) + 3.0 * answers[:, None], answers


class Nearest:
    """An estimator as scikit-learn has them, without it."""

    classes_ = np.array(["low", "high"])

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        high = 1 / (1 + np.exp(-(np.asarray(inputs, dtype=float).mean(axis=1) - 1.5) * 4))
        return np.stack([1 - high, high], axis=1)


def metrics(result: Assessed) -> set[str]:
    return {item.metric for item in result.measurements}


def test_an_estimator_on_an_array_is_measured_and_decided(blobs):
    inputs, answers = blobs
    result = assess(Nearest(), inputs, np.where(answers, "high", "low"), floors=FLOORS, threat=Threat(eps=0.1, steps=5))
    assert result["clean_accuracy"].value == 1.0
    assert result["clean_accuracy"].n == 120
    assert result.assessment.ledger.head is None
    assert {rule.rule for rule in result.rules} >= {"clean-accuracy", "robust-accuracy", "checks-concluded"}


def test_without_a_threat_the_verdict_is_no_allow(blobs):
    inputs, answers = blobs
    result = assess(Nearest(), inputs, np.where(answers, "high", "low"), floors=FLOORS, suite="quick")
    assert result.verdict == "needs-review"
    assert result.exit_code == 3


def test_a_frame_reaches_the_model_with_its_own_types():
    frame = pd.DataFrame(
        {
            "size": np.arange(60, dtype="float32"),
            "count": np.arange(60, dtype="int32") % 7,
            "colour": pd.Categorical(["red", "blue"] * 30, categories=["red", "blue"]),
        }
    )
    seen = []

    def model(batch: pd.DataFrame) -> np.ndarray:
        seen.append(batch.dtypes.to_dict())
        high = batch["colour"].map({"red": 0.1, "blue": 0.9}).astype(float).to_numpy()
        return np.stack([1 - high, high], axis=1)

    result = assess(model, frame, np.arange(60) % 2, output="probabilities", suite="quick", floors=FLOORS)
    assert result["clean_accuracy"].value == 1.0
    assert list(seen[0]) == ["size", "count", "colour"]
    assert seen[0] == frame.dtypes.to_dict()


def test_a_function_that_answers_with_one_margin_has_two_classes(blobs):
    inputs, answers = blobs
    result = assess(lambda batch: batch.mean(axis=1) - 1.5, inputs, answers, suite="quick", floors=FLOORS)
    assert result["clean_accuracy"].value == 1.0


def test_an_estimator_that_only_predicts(blobs):
    inputs, answers = blobs

    class Rule:
        classes_ = (0, 1)

        def predict(self, batch: np.ndarray) -> np.ndarray:
            return (batch.mean(axis=1) > 1.5).astype(int)

    assert assess(Rule(), inputs, answers, suite="quick", floors=FLOORS)["clean_accuracy"].value == 1.0


def test_a_torch_module_is_attacked_by_gradients_and_left_as_it_was():
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = generator.uniform(0, 0.5, (60, 1, 3, 3)).astype(np.float32)
    images[np.arange(60), 0, labels] += 0.4
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 3), torch.nn.Dropout(0.5))
    with torch.no_grad():
        module[1].weight.copy_(torch.eye(3).repeat_interleave(3, dim=1))
        module[1].bias.zero_()
    module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    result = assess(module, images, labels, threat=Threat(eps=0.05, steps=5, restarts=1), floors=FLOORS)
    assert {run.check for run in result.runs} >= {"evasion.pgd", "quality.performance"}
    assert module.training
    assert module[1].weight.requires_grad
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert "by its state dict" in result.assessment.evidence[0].subject.popitem()[0]


def test_two_calls_with_one_seed_say_the_same(blobs):
    inputs, answers = blobs
    names = np.where(answers, "high", "low")
    first, second = (
        assess(Nearest(), inputs, names, threat=Threat(eps=1.0, steps=5), floors=FLOORS, suite="quick", seed=3)
        for _ in range(2)
    )
    numbers = [
        [(item.metric, item.value) for item in result.measurements if item.unit == "1"] for result in (first, second)
    ]
    assert numbers[0] == numbers[1]
    assert [entry.id for entry in first.assessment.evidence if "cost" not in entry.predicate_type] == [
        entry.id for entry in second.assessment.evidence if "cost" not in entry.predicate_type
    ]


def test_results_show_themselves_and_write_the_reports(blobs, tmp_path):
    inputs, answers = blobs
    result = assess(
        Nearest(), inputs, np.where(answers, "high", "low"), floors=FLOORS, suite="quick", name="a<b".replace("<", "-")
    )
    shown = result._repr_html_()
    assert "needs review" in shown
    assert "<script" not in shown
    assert "sandbox" in shown
    assert "NEEDS REVIEW" in str(result)
    paths = result.save(tmp_path / "out")
    assert all(path.is_file() for path in paths.values())


@pytest.mark.parametrize(
    ("model", "inputs", "answers", "said"),
    [
        (object(), np.zeros((4, 2)), [0, 1, 0, 1], "is no model"),
        (lambda batch: "no", np.zeros((4, 2)), [0, 1, 0, 1], "expected numbers"),
        (lambda batch: np.zeros((len(batch), 5)), np.zeros((4, 2)), [0, 1, 0, 1], "expected 4 x 2"),
        (lambda batch: np.full((len(batch), 2), np.nan), np.zeros((4, 2)), [0, 1, 0, 1], "NaN"),
        (lambda batch: 1 / 0, np.zeros((4, 2)), [0, 1, 0, 1], "ZeroDivisionError"),
        (Nearest(), np.zeros((4, 2)), ["low", "high", "low"], "4 rows and 3 answers"),
        (Nearest(), np.zeros((4, 2)), ["low", "high", "low", "huge"], "'huge'"),
        (Nearest(), np.zeros(4), [0, 1, 0, 1], "one row for each sample"),
        (Nearest(), np.array([["a"], ["b"]]), [0, 1], "expected numbers"),
        (Nearest(), np.full((2, 1, 2, 2), 7.0), ["low", "high"], "input.range"),
    ],
)
def test_what_does_not_fit_together_is_named(model, inputs, answers, said):
    with pytest.raises(InputError, match=said.replace("(", "\\(")):
        assess(model, inputs, answers)


def test_a_program_that_mixes_a_path_with_data_is_told():
    with pytest.raises(UsageError, match=r"belongs into its heliotrope\.yaml"):
        assess("somewhere", floors={"clean_accuracy": 0.9})
    with pytest.raises(UsageError, match="inputs and answers"):
        assess(Nearest())
    with pytest.raises(KeyError, match="measured are"):
        assess(Nearest(), np.zeros((4, 2)), ["low"] * 4)["nothing"]


def test_a_path_is_a_project(tmp_path):
    pytest.importorskip("torch")
    result = assess(linear_project(tmp_path / "project"), allow_code=True, suite="quick")
    assert result["clean_accuracy"].value is not None
    assert result.assessment.ledger.head is not None


def test_the_attack_alone_says_what_it_found(blobs):
    inputs, answers = blobs
    found = attack(Nearest(), inputs, np.where(answers, "high", "low"), threat=Threat(eps=4.0, steps=40), suite="quick")
    assert found.evidence is not None
    assert found.evidence.robust_accuracy < found.evidence.clean_accuracy
    assert "accuracy under attack" in found._repr_html_()


def test_a_scan_executes_nothing(tmp_path):
    class Canary:
        def __reduce__(self):
            return (open, (str(tmp_path / "marker"), "w"))

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Canary()))
    scanned = scan(path)
    assert scanned.verdict in {"malicious", "suspicious"}
    assert not (tmp_path / "marker").exists()
    assert scanned.verdict in scanned._repr_html_()
    assert path.name in str(scanned)


def test_a_scan_of_bytes_gives_verdict_and_decision(tmp_path):
    own = b"\x80\x02cmypkg.models\nNet\n)\x81}b."
    config = tmp_path / "heliotrope.yaml"
    config.write_text(
        "version: 1\nproject: p\nscan:\n  allow:\n    - global: mypkg.models.Net\n      uses: [new, build]\n"
        "      reason: our own class\n      expires: 2099-01-01\n"
    )
    plain, allowed = scan(own), scan(own, config=config)
    assert (plain.verdict, plain.decision) == ("suspicious", "suspicious")
    assert (allowed.verdict, allowed.decision) == ("suspicious", "clean")
    assert [report.path for report in scan(own, b"\x80\x04N.").files] == ["<bytes 0>", "<bytes 1>"]
    assert "raw verdict suspicious" in allowed._repr_html_()
    assert "decision of" in str(allowed)
