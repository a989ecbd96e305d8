"""A search that can only ask: closed forms, constraints of tables, and signs that say when it did not work."""

import io

import pytest
from tests.opened import Data, Model, breast_cancer, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "evasion.search"
THREAT = {"eps": 0.5, "steps": 30, "restarts": 2}


@pytest.fixture(scope="module")
def logistic():
    """Breast cancer by a logistic regression on scaled features: its robustness is known in closed form."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    frame, answers = breast_cancer()
    return frame, answers, make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, answers)


def indicator(predicate, name):
    return next(entry for entry in predicate["health"] if entry["id"] == name)


def stored(predicate, context):
    data = context.blobs[predicate["samples"]["sha256"]]
    table = pd.read_parquet(io.BytesIO(data))
    parts = []
    for prefix in ("original.", "perturbed."):
        part = table[[name for name in table.columns if name.startswith(prefix)]]
        parts.append(part.rename(columns=lambda name, prefix=prefix: name.removeprefix(prefix)))
    return table, *parts


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
def test_a_linear_model_is_broken_as_the_closed_form_says(logistic, tmp_path, norm, dual):
    """Unscaled features of ranges from 0.01 to 4000: each counts in its own spread."""
    frame, answers, fitted = logistic
    columns = columns_of(frame, **{name: {"low": -1e9, "high": 1e9} for name in frame.columns})
    eps = 0.2 if norm == "Linf" else 0.8
    model = Model(fitted.predict_proba, ("malignant", "benign"))
    threat = {"norm": norm, "eps": eps, "steps": 60, "restarts": 3}
    opened = subject(model, Data(frame, answers, columns), threat=threat, sample="all")
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    scaler, layer = fitted
    weights = layer.coef_[0] / scaler.scale_ * np.array([column.spread for column in columns])
    margins = fitted.decision_function(frame) * np.where(answers == 1, 1, -1)
    exact = float((margins > eps * np.linalg.norm(weights, dual)).mean())
    allowed = 0.0 if norm == "Linf" else 0.03
    assert exact - 1e-9 <= predicate["robust_accuracy"] <= exact + allowed + 1e-9
    assert 0.1 < exact < 0.95
    assert indicator(predicate, "perturbations")["state"] == "ok"
    assert result.outcome.state == "passed"


@pytest.fixture(scope="module")
def mixed():
    """A table of every kind of column and a model that looks at all but the text."""
    rng = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "income": rng.normal(3000, 800, n),
            "years": rng.integers(0, 30, n),
            "owner": rng.random(n) < 0.4,
            "town": pd.Categorical(rng.choice(["arles", "basel", "cork"], n)),
            "age": rng.integers(18, 80, n),
            "note": [f"row {index}" for index in range(n)],
        }
    )
    frame.loc[::17, "income"] = np.nan
    weight = {"arles": -1.0, "basel": 0.0, "cork": 1.0}

    def scores(table):
        score = (table["income"].fillna(3000) - 3000) / 800 + (table["years"] - 15) / 8 + table["owner"].astype(float)
        score += table["town"].astype(str).map(weight) + (table["age"] - 50) / 15
        yes = 1 / (1 + np.exp(-score.to_numpy(float)))
        return np.stack([1 - yes, yes], axis=1)

    return frame, scores(frame).argmax(axis=1), scores


def attacked(mixed, tmp_path, *, columns=None, function=None, **fields):
    frame, answers, scores = mixed
    changes = {"years": {"low": 0.0, "high": 29.0}, "age": {"immutable": True}, **(columns or {})}
    data = Data(frame, answers, columns_of(frame, **changes))
    opened = subject(Model(function or scores, ("no", "yes")), data, **{"threat": THREAT, "sample": "all", **fields})
    return run_check(CHECK, opened, tmp_path)


def test_every_stored_row_keeps_every_promise(mixed, tmp_path):
    result, predicate, context = attacked(mixed, tmp_path)
    assert predicate["health_verdict"] == "sound", predicate["health"]
    table, original, perturbed = stored(predicate, context)
    assert len(table) == predicate["broken"] > 40
    frame, _answers, scores = mixed
    pd.testing.assert_frame_equal(original, frame.iloc[table["index"]].reset_index(drop=True))
    spread = {column.name: column.spread for column in columns_of(frame)}
    for name in ("income", "years"):
        moved = (perturbed[name] - original[name]).abs().max() / spread[name]
        assert 0 < moved <= 0.5 * (1 + 1e-6)
    assert perturbed["years"].dtype == np.int64
    assert perturbed["years"].between(0, 29).all()
    assert (perturbed["income"].isna() == original["income"].isna()).all()
    assert set(perturbed["town"]) <= {"arles", "basel", "cork"}
    pd.testing.assert_frame_equal(perturbed[["age", "note"]], original[["age", "note"]])
    flips = (perturbed["owner"] != original["owner"]).astype(int) + (
        perturbed["town"].astype(str) != original["town"].astype(str)
    )
    assert flips.max() == 1
    assert (scores(perturbed).argmax(axis=1) != table["label"]).all()
    assert "evasion-possible" in {finding.rule for finding in result.findings}


def test_examples_say_what_was_changed_and_no_more(mixed, tmp_path):
    _, predicate, _ = attacked(mixed, tmp_path, columns={"income": {"unit": "EUR"}})
    assert 0 < len(predicate["examples"]) <= 8
    frame, _, scores = mixed
    for example in predicate["examples"]:
        changes = example["changes"]
        assert changes
        assert [change["cost"] for change in changes] == sorted((c["cost"] for c in changes), reverse=True)
        assert {change["feature"] for change in changes} <= {"income", "years", "owner", "town"}
        row = frame.iloc[[example["index"]]].copy()
        for change in changes:
            assert change["unit"] == ("EUR" if change["feature"] == "income" else None)
            if change["feature"] in ("owner", "town"):
                assert change["cost"] == 1.0
            assert str(change["before"]) == str(row[change["feature"]].iloc[0]) or change["before"] == pytest.approx(
                float(row[change["feature"]].iloc[0])
            )
            row[change["feature"]] = change["after"]
        assert scores(row).argmax() == example["adversarial_prediction"]
        for left_out in changes:  # every change is needed
            fewer = row.copy()
            fewer[left_out["feature"]] = left_out["before"]
            assert scores(fewer).argmax() == example["label"]


def test_the_curve_never_rises_and_meets_the_headline(mixed, tmp_path):
    _, predicate, _ = attacked(mixed, tmp_path)
    accuracies = [point["accuracy"] for point in predicate["curve"]]
    assert [point["eps"] for point in predicate["curve"]] == [0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] == predicate["clean_accuracy"]
    assert accuracies[4] == predicate["robust_accuracy"]
    assert sum(entry["broken"] for entry in predicate["restarts"]) == predicate["broken"]


def test_more_categories_break_more(mixed, tmp_path):
    robust = [
        attacked(mixed, tmp_path, threat={**THREAT, "eps": 0.1, "changed_categories": budget})[1]["robust_accuracy"]
        for budget in (0, 1, 2)
    ]
    assert robust[0] > robust[1] > robust[2]


def test_equal_seeds_give_equal_evidence_whatever_the_batch(mixed, tmp_path, monkeypatch):
    one = attacked(mixed, tmp_path)
    monkeypatch.setattr("heliotrope.attack.search.check.rows_at_once", lambda *_: 64)
    other = attacked(mixed, tmp_path)
    assert one[1] == other[1]
    assert one[2].blobs == other[2].blobs


def test_nothing_that_can_move_is_no_robustness(mixed, tmp_path):
    frozen = {name: {"immutable": True} for name in ("income", "years", "owner", "town")}
    result, predicate, _ = attacked(mixed, tmp_path, columns=frozen)
    assert indicator(predicate, "movable")["state"] == "failed"
    assert result.outcome.state == "inconclusive"
    assert result.measurements[0].value is None
    assert "attack-unsound" in {finding.rule for finding in result.findings}


def test_integers_that_cannot_take_a_step_are_named(mixed, tmp_path):
    _, predicate, _ = attacked(mixed, tmp_path, threat={**THREAT, "eps": 0.01})
    assert indicator(predicate, "movable")["state"] == "warning"
    assert "years" in indicator(predicate, "movable")["actual"]


def test_a_random_model_is_unsound(mixed, tmp_path):
    rng = np.random.default_rng(0)

    def random(table):
        yes = rng.random(len(table))
        return np.stack([1 - yes, yes], axis=1)

    result, predicate, _ = attacked(mixed, tmp_path, function=random)
    assert indicator(predicate, "deterministic")["state"] == "failed"
    assert result.outcome.state == "inconclusive"


def test_labels_alone_are_doubtful(mixed, tmp_path):
    frame, answers, scores = mixed
    data = Data(frame, answers, columns_of(frame))
    model = Model(lambda table: np.eye(2)[scores(table).argmax(axis=1)], ("no", "yes"), output="labels")
    result, predicate, _ = run_check(CHECK, subject(model, data, threat=THREAT, sample="all"), tmp_path)
    assert indicator(predicate, "output")["state"] == "warning"
    assert predicate["broken"] > 40  # blind, but not idle
    assert "doubtful" in result.outcome.reason


def test_a_model_that_nothing_moves_is_doubtful(mixed, tmp_path):
    _, predicate, _ = attacked(mixed, tmp_path, function=lambda table: np.tile([1.0, 0.0], (len(table), 1)))
    assert indicator(predicate, "signal")["state"] == "warning"
    assert indicator(predicate, "large-eps")["state"] == "warning"


def test_the_quick_suite_caps_the_questions(mixed, tmp_path):
    frame, answers, scores = mixed
    model = Model(scores, ("no", "yes"))
    threat = {"eps": 0.5, "steps": 40, "restarts": 5}
    opened = subject(model, Data(frame, answers, columns_of(frame)), threat=threat, suite="quick")
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert (predicate["n"], predicate["threat"]["steps"], predicate["threat"]["restarts"]) == (200, 40, 1)
    assert "configured are 40 steps x 5" in result.outcome.reason
    assert predicate["forward_passes"] < 200 * 20 * 2
    assert predicate["gradient_passes"] == 0


def test_an_endpoint_is_asked_within_its_budget(mixed, tmp_path):
    frame, answers, scores = mixed
    model = Model(scores, ("no", "yes"))
    endpoint = {"url": "http://127.0.0.1:1/", "protocol": "json", "batch": 32, "budget": 1000}
    fields = {"endpoint": endpoint, "path": None, "format": "endpoint", "output": "probabilities"}
    data = Data(frame, answers, columns_of(frame))
    result, predicate, _ = run_check(CHECK, subject(model, data, threat=THREAT, sample="all", **fields), tmp_path)
    assert predicate["n"] == 160
    assert "endpoint.budget permits" in result.outcome.reason
    assert model.calls <= 1000


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_images_are_searched_without_gradients(tmp_path, norm):
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    fitted = LogisticRegression(max_iter=300).fit(images.reshape(len(images), -1), data.target)
    model = Model(lambda x: fitted.predict_proba(x.reshape(len(x), -1)), tuple("0123456789"), format="onnx")
    eps = 0.1 if norm == "Linf" else 0.5
    opened = subject(model, Data(images, data.target.astype(np.int64)), input={"shape": [1, 8, 8]}, sample=150,
                     threat={"norm": norm, "eps": eps, "steps": 40, "restarts": 3})  # fmt: skip
    _, predicate, context = run_check(CHECK, opened, tmp_path)
    assert predicate["robust_accuracy"] < predicate["clean_accuracy"] - 0.15
    assert indicator(predicate, "perturbations")["state"] == "ok"
    with np.load(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]), allow_pickle=False) as kept:
        change = (kept["perturbed"].astype(float) - kept["original"]).reshape(len(kept["index"]), -1)
        assert kept["perturbed"].min() >= 0
        assert kept["perturbed"].max() <= 1
    assert np.linalg.norm(change, np.inf if norm == "Linf" else 2, axis=1).max() <= eps * (1 + 1e-6)
    assert predicate["examples"][0]["original"]["media_type"] == "image/png"


def test_honest_tables_stay_conclusive(tmp_path):
    """A random forest, and a constrained table: most columns immutable, the rest within their ranges."""
    from sklearn.ensemble import RandomForestClassifier

    frame, answers = breast_cancer()
    forest = RandomForestClassifier(30, random_state=0).fit(frame[::2], answers[::2])
    frame, answers = frame[1::2], answers[1::2]
    few = {name: {"immutable": True} for name in frame.columns[5:]}
    for columns in (columns_of(frame), columns_of(frame, **few)):
        opened = subject(Model(forest.predict_proba, ("malignant", "benign")), Data(frame, answers, columns),
                         threat=THREAT, sample=100)  # fmt: skip
        result, predicate, _ = run_check(CHECK, opened, tmp_path)
        assert not [entry["id"] for entry in predicate["health"] if entry["state"] == "failed"]
        assert result.outcome.state == "passed"
        assert "clean accuracy" in result.outcome.reason


def test_every_indicator_of_the_search_says_how_it_is_tested_and_what_follows(mixed, tmp_path):
    _, predicate, _ = attacked(mixed, tmp_path)
    for entry in predicate["health"]:
        assert entry["applies"], entry["id"]
        assert entry["test"], entry["id"]
        assert entry["consequence"] in ("invalidates", "warns", "repaired")
        assert entry["next_attack"], entry["id"]
        assert entry["effect"] is not None or entry["state"] == "unknown", entry["id"]
