"""The checks on small real projects: what is proven is recorded with its interval, what is not known makes no claim."""

import io
import itertools
import json
import sys

import pytest

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.naive_bayes import GaussianNB  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402
from tests.opened import Context, Data, Model, columns_of, subject  # noqa: E402

from heliotrope.attack.certify.bounds_check import certify_opened  # noqa: E402
from heliotrope.config.schema import HeliotropeConfig  # noqa: E402
from heliotrope.engine.files import digest_inputs  # noqa: E402
from heliotrope.engine.interface import Project, Task  # noqa: E402
from heliotrope.engine.registry import find_check  # noqa: E402

_numbers = itertools.count()


class _Asking:
    """As the adapter of scikit-learn holds an estimator."""

    def __init__(self, estimator, method):
        self.estimator, self.method, self.layout = estimator, method, lambda inputs: inputs

    def __call__(self, inputs):
        return getattr(self.estimator, self.method)(inputs)


def opened_estimator(estimator, frame, answers, threat, *, method="predict_proba", **changes):
    model = Model(_Asking(estimator, method), ("no", "yes"))
    model.ask = model.function
    return subject(model, Data(frame, answers, columns_of(frame, **changes)), threat=threat)


@pytest.fixture(scope="module")
def loans():
    """Numbers, whole numbers, truth values and categories; some incomes are missing."""
    source = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "income": source.normal(3000, 800, n).round(2),
            "years": source.integers(0, 30, n),
            "owner": source.random(n) < 0.4,
            "town": pd.Categorical(source.choice(["arles", "basel", "cork"], n)),
        }
    )
    score = (frame["income"] - 3000) / 800 + (frame["years"] - 15) / 8 + 1.5 * frame["owner"]
    score += frame["town"].map({"arles": -1.5, "basel": 0.0, "cork": 1.5}).astype(float)
    answers = (score > score.median()).to_numpy(np.int64)
    frame.loc[source.random(n) < 0.05, "income"] = np.nan
    return frame, answers


def pipeline(final):
    return make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["income", "years"]),
                ("truth", "passthrough", ["owner"]),
                ("town", OneHotEncoder(), ["town"]),
            ]
        ),
        final,
    )


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("categories", [0, 1])
@pytest.mark.parametrize(
    "final", [LogisticRegression(), RandomForestClassifier(8, max_depth=4, random_state=0)], ids=["linear", "forest"]
)
def test_a_pipeline_on_a_table_is_decided_and_examples_are_rows_the_model_gets_wrong(
    loans, tmp_path, final, categories, norm
):
    frame, answers = (part[:30] for part in loans)
    estimator = pipeline(final).fit(*loans)
    threat = {"norm": norm, "eps": 0.4, "changed_categories": categories}
    opened = opened_estimator(estimator, frame, answers, threat, owner={"immutable": True})
    context = Context(tmp_path)
    result = certify_opened(opened, context)
    found = result.evidence[0].predicate
    assert result.outcome.state == "passed"
    assert found["method"] in ("linear-exact", "trees-exact")
    assert found["certified"] + found["broken"] + found["undecided"] + (found["n"] - found["clean_correct"]) == 30
    assert norm == "L2" or found["undecided"] <= 3  # behind a scaler a ball is enclosed in its box: docs, known limits
    assert found["certified_interval"]["low"] <= found["certified_accuracy"] <= found["certified_interval"]["high"]
    assert sum(one["count"] for one in found["radii"]) == found["radii_n"]
    measured = result.measurements[0]
    assert (measured.metric, measured.value) == ("certified_accuracy", found["certified_accuracy"])
    if found["samples"] is None:
        assert (norm, found["broken"]) == ("L2", 0)
        return
    broken = pd.read_parquet(io.BytesIO(context.blobs[found["samples"]["sha256"]]))
    perturbed = broken.filter(like="perturbed.").rename(columns=lambda name: name.removeprefix("perturbed."))
    original = broken.filter(like="original.").rename(columns=lambda name: name.removeprefix("original."))
    assert len(broken) == found["broken"] > 0
    assert bool((estimator.predict(perturbed) != broken["label"]).all())
    assert bool((perturbed["owner"] == original["owner"]).all())
    assert int((perturbed["town"].astype(str) != original["town"].astype(str)).sum()) <= categories * len(broken)
    for name, column in (("income", opened.data.columns[0]), ("years", opened.data.columns[1])):
        moved = (perturbed[name] - original[name]).abs().fillna(0)
        assert bool((moved <= 0.4 * column.spread * (1 + 1e-6)).all())
    assert bool((perturbed["years"] % 1 == 0).all())


def test_more_categories_to_change_are_more_ways_to_be_wrong(loans, tmp_path):
    estimator = pipeline(LogisticRegression()).fit(*loans)
    certified = []
    for categories in (0, 1, 2):
        opened = opened_estimator(
            estimator, loans[0][:16], loans[1][:16], {"eps": 0.2, "changed_categories": categories}
        )
        certified.append(certify_opened(opened, Context(tmp_path)).evidence[0].predicate["certified"])
    assert certified == sorted(certified, reverse=True)
    assert certified[0] > certified[1]


def test_nothing_random_within_the_threat_misleads_what_is_certified(loans, tmp_path):
    frame, answers = (part[:24] for part in loans)
    estimator = pipeline(RandomForestClassifier(8, max_depth=4, random_state=0)).fit(*loans)
    opened = opened_estimator(estimator, frame, answers, {"eps": 0.3, "changed_categories": 1})
    found = certify_opened(opened, Context(tmp_path)).evidence[0].predicate
    source, broken = np.random.default_rng(0), np.zeros(24, dtype=bool)
    for _ in range(60):
        tried = frame.copy()
        tried["income"] += source.choice([-1, 1, 0.5], 24) * 0.3 * opened.data.columns[0].spread
        step = np.floor(0.3 * opened.data.columns[1].spread)
        tried["years"] += source.integers(-step, step + 1, 24)
        if source.random() < 0.5:
            tried["town"] = pd.Categorical(
                source.choice(["arles", "basel", "cork"], 24), categories=["arles", "basel", "cork"]
            )
        tried["income"] = tried["income"].clip(opened.data.columns[0].low, opened.data.columns[0].high)
        tried["years"] = tried["years"].clip(opened.data.columns[1].low, opened.data.columns[1].high)
        broken |= estimator.predict(tried) != answers
    assert found["certified"] <= int((~broken).sum())


@pytest.mark.parametrize(
    ("estimator", "fact"),
    [
        (pipeline(GaussianNB()), "GaussianNB"),
        (make_pipeline(ColumnTransformer([("all", OneHotEncoder(handle_unknown="ignore"), ["income", "years"])]),
                       LogisticRegression()), "takes numbers"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_not_applicable_with_the_fact(loans, tmp_path, estimator, fact):
    opened = opened_estimator(estimator.fit(*loans), *loans, {"eps": 0.1})
    outcome = certify_opened(opened, Context(tmp_path)).outcome
    assert outcome.state == "not_applicable"
    assert fact in outcome.facts[0]


def test_a_model_that_is_known_by_its_answers_alone_is_not_applicable(loans, tmp_path):
    opened = subject(Model(lambda _: None, ("no", "yes")), Data(*loans, columns_of(loans[0])), threat={"eps": 0.1})
    outcome = certify_opened(opened, Context(tmp_path)).outcome
    assert outcome.state == "not_applicable"
    assert "answers alone" in outcome.facts[0]


NETWORK = """
import torch
def build():
    torch.manual_seed(7)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(12, 3){more}
    )
    return net
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Write a project with a small network on pictures of 4 x 4, and run a check on it as a worker does."""
    torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
    monkeypatch.setattr(sys, "path", list(sys.path))

    def carried_out(check_id, *, more="", model=None, threat=None, n=40):
        name = f"certified_network_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(NETWORK.format(more=more))
        images = np.random.default_rng(0).random((n, 1, 4, 4), dtype=np.float32)
        space = {}
        exec(NETWORK.format(more=""), space)
        with torch.no_grad():
            labels = space["build"]()(torch.from_numpy(images)).argmax(dim=1).numpy()
        np.savez(tmp_path / "test.npz", images=images, labels=labels)
        entry = {
            "name": "m", "loader": f"{name}:build", "input": {"shape": [1, 4, 4]}, "output": "logits",
            "data": {"evaluate": {"path": "test.npz"}},
        }  # fmt: skip
        config = HeliotropeConfig.model_validate(
            {"version": 1, "project": "p", "models": [entry | (model or {})], "threat": threat or {"eps": 0.01}}
        )
        project = Project("p", tmp_path, (tmp_path,), config, tmp_path / "heliotrope.yaml", "standard")
        check = find_check(check_id)
        plans = list(check.plan(project))
        if not plans:
            return None
        (planned,) = plans
        assert planned.missing == ()
        task = Task(
            check=check.id,
            subject=planned.subject,
            root=str(tmp_path),
            parameters=json.loads(json.dumps(planned.parameters.document())),
            inputs=digest_inputs(planned.inputs),
            seed=0,
        )
        return check.function(task, Context(tmp_path))

    yield carried_out
    for added in [name for name in sys.modules if name.startswith("certified_network_")]:
        del sys.modules[added]


@pytest.mark.torch
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_network_is_certified_with_radii_and_assumptions(run, norm):
    result = run("certificate.bounds", threat={"norm": norm, "eps": 0.01})
    found = result.evidence[0].predicate
    assert result.outcome.state == "passed"
    assert "certified accuracy" in result.outcome.reason
    assert found["certified"] > 30
    assert found["clean_correct"] == 40
    assert found["method"] == "crown"
    assert "float32" in found["assumptions"][0]
    assert found["radii_n"] == 40
    assert {one["method"] for one in found["steps"]} <= {
        "crown", "crown, slopes optimised", "branch and bound", "ascent", "clean"
    }  # fmt: skip


@pytest.mark.torch
def test_normalisation_and_probabilities_are_part_of_the_network(run):
    scaled = {"mean": [0.0], "std": [1.0]}
    plain = run("certificate.bounds", threat={"eps": 0.02})
    other = run(
        "certificate.bounds", more=", torch.nn.Softmax(1)", threat={"eps": 0.02},
        model={"output": "probabilities", "normalisation": scaled},
    )  # fmt: skip
    counts = [{key: one.evidence[0].predicate[key] for key in ("certified", "broken")} for one in (plain, other)]
    assert counts[0] == counts[1]


@pytest.mark.torch
def test_an_unknown_layer_is_not_applicable(run):
    outcome = run("certificate.bounds", more=", torch.nn.GELU()").outcome
    assert outcome.state == "not_applicable"
    assert "gelu" in outcome.facts[0].lower()


@pytest.mark.torch
def test_votes_are_counted_only_for_models_that_are_used_that_way(run):
    assert run("certificate.smoothing") is None
    smoothing = {"sigma": 0.1, "votes": 200, "selection": 20, "sample": 12}
    result = run("certificate.smoothing", model={"smoothing": smoothing}, threat={"norm": "L2", "eps": 0.05})
    found = result.evidence[0].predicate
    assert found["asked"] == 12 * 220
    assert found["correct"] >= found["certified"] > 0
    assert "each certificate holds with probability 0.999" in result.outcome.reason


@pytest.mark.torch
def test_properties_of_an_onnx_network_are_proven_or_broken(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx (extra 'certify')")
    from tests.unit.attack.certify.test_properties import dense, robust, served_by

    data = dense(0, 2.0)
    (tmp_path / "m.onnx").write_bytes(data)
    centre = np.random.default_rng(0).normal(size=4)
    label = int(served_by(data)(centre[None])[0].argmax())
    (tmp_path / "near.vnnlib").write_text(robust(centre, label, 0.01))
    (tmp_path / "far.vnnlib").write_text(robust(centre, label, 3.0))

    def carried_out(*properties):
        entry = {"name": "m", "path": "m.onnx", "properties": list(properties)}
        config = HeliotropeConfig.model_validate({"version": 1, "project": "p", "models": [entry]})
        project = Project("p", tmp_path, (tmp_path,), config, tmp_path / "heliotrope.yaml", "quick")
        check = find_check("certificate.properties")
        plans = list(check.plan(project))
        if not plans:
            return None, None
        (planned,) = plans
        assert planned.missing == ()
        assert planned.extra == "certify"
        task = Task(
            check=check.id,
            subject=planned.subject,
            root=str(tmp_path),
            parameters=json.loads(json.dumps(planned.parameters.document())),
            inputs=digest_inputs(planned.inputs),
            seed=0,
        )
        context = Context(tmp_path)
        return check.function(task, context), context

    assert carried_out() == (None, None)
    proven, _ = carried_out("near.vnnlib")
    assert proven.outcome.state == "passed"
    assert proven.findings == ()
    both, context = carried_out("near.vnnlib", "far.vnnlib")
    assert both.outcome.state == "failed"
    assert [finding.rule for finding in both.findings] == ["property-violated"]
    broken = both.evidence[0].predicate["results"][1]
    example = np.load(io.BytesIO(context.blobs[broken["example"]["sha256"]]))
    assert served_by(data)(example[None])[0].argmax() != label
    assert np.abs(example - centre).max() <= 3.0
