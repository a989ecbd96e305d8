"""evasion.search under a constraints file: every stored row keeps it when read again, and rows that break it are named."""

import io

import pytest
from tests.opened import Data, Model, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")

CHECK = "evasion.search"
FILE = """\
version: 1
features:
  rent: {direction: increase}
relations:
  - terms: {total: 1, rent: -1, food: -1}
    holds: "="
"""


def scores(frame):
    lead = frame["total"].to_numpy() + 0.5 * frame["rent"].to_numpy() - 12.0
    return np.stack([1 / (1 + np.exp(lead)), 1 / (1 + np.exp(-lead))], axis=1)


def held(tmp_path, text, spoiled=0):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"rent": generator.uniform(2, 8, 80), "food": generator.uniform(1, 6, 80)})
    frame["total"] = frame["rent"] + frame["food"]
    answers = scores(frame).argmax(axis=1)
    frame.loc[: spoiled - 1, "total"] += 1e-3
    (tmp_path / "constraints.yaml").write_text(text)
    opened = subject(
        Model(scores, ("low", "high")), Data(frame, answers, columns_of(frame)),
        root=tmp_path, threat={"eps": 0.8, "steps": 40, "restarts": 2}, sample="all",
        constraints="constraints.yaml",
    )  # fmt: skip
    return run_check(CHECK, opened, tmp_path)


def test_every_stored_row_keeps_the_constraints(tmp_path):
    result, predicate, context = held(tmp_path, FILE)
    assert predicate["broken"] > 5
    table = pd.read_parquet(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]))
    total = table["perturbed.total"] - table["perturbed.rent"] - table["perturbed.food"]
    assert total.abs().max() <= 1e-6
    assert (table["perturbed.rent"] >= table["original.rent"]).all()
    after = scores(pd.DataFrame({name: table[f"perturbed.{name}"] for name in ("rent", "food", "total")}))
    assert (after.argmax(axis=1) != table["label"]).all()
    assert len(predicate["data"]["constraints"]) == 64
    assert result.outcome.state == "passed"


def test_constraints_make_fewer_changes_possible(tmp_path):
    _, free, _ = held(tmp_path, "version: 1\n")
    _, bound, _ = held(tmp_path, FILE)
    assert bound["broken"] < free["broken"]


def test_rows_that_break_the_constraints_themselves_are_left_out_and_said(tmp_path):
    result, predicate, _ = held(tmp_path, FILE, spoiled=7)
    assert predicate["n"] == 73
    assert "7 of 80 samples break the constraints themselves" in result.outcome.reason


def test_when_no_row_keeps_them_nothing_is_claimed(tmp_path):
    text = FILE.replace('"="', '">="').replace("rent: -1", "rent: -100")
    result, predicate, _ = held(tmp_path, text)
    assert predicate == {}
    assert result.outcome.state == "inconclusive"
    assert "no sample keeps the constraints" in result.outcome.reason


def test_when_nothing_may_change_nothing_is_claimed(tmp_path):
    text = "version: 1\nfeatures:\n" + "".join(f"  {name}: {{immutable: true}}\n" for name in ("rent", "food", "total"))
    result, _, _ = held(tmp_path, text)
    assert result.outcome.state == "inconclusive"
    assert "can change" in result.outcome.reason


class _Asking:
    """As the adapter of scikit-learn holds an estimator."""

    def __init__(self, estimator):
        self.estimator, self.method, self.layout = estimator, "predict_proba", lambda inputs: inputs

    def __call__(self, inputs):
        return self.estimator.predict_proba(inputs)


def test_trees_behind_encodings_of_texts_are_read_and_every_row_is_one_the_model_gets_wrong(tmp_path):
    pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    source = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"income": source.normal(3e5, 8e4, 120), "years": source.integers(0, 30, 120), "town": source.choice(["a", "b"], 120)}
    )  # fmt: skip
    answers = ((frame["income"] - 3e5) / 8e4 + (frame["years"] - 15) / 8 + (frame["town"] == "b") > 0.5).to_numpy(int)
    encoding = ColumnTransformer(
        [("numbers", StandardScaler(), ["income", "years"]), ("town", OneHotEncoder(), ["town"])]
    )
    fitted = make_pipeline(encoding, RandomForestClassifier(10, max_depth=5, random_state=0)).fit(frame, answers)
    model = Model(_Asking(fitted), ("no", "yes"))
    model.ask = model.function
    columns = columns_of(frame, town={"type": "category", "categories": ("a", "b")})
    (tmp_path / "constraints.yaml").write_text("version: 1\nfeatures:\n  years: {direction: increase}\n")
    threat = {"eps": 0.4, "steps": 2, "restarts": 1}  # hardly any questions: the rest is read
    opened = subject(
        model,
        Data(frame[:40], answers[:40], columns),
        root=tmp_path,
        threat=threat,
        sample="all",
        constraints="constraints.yaml",
    )
    result, predicate, context = run_check(CHECK, opened, tmp_path)
    table = pd.read_parquet(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]))
    perturbed = table.filter(like="perturbed.").rename(columns=lambda name: name.removeprefix("perturbed."))
    assert (fitted.predict(perturbed) != table["label"]).all()
    assert (perturbed["years"] >= table["original.years"]).all()
    assert (perturbed["years"] % 1 == 0).all()
    assert "misled" in result.outcome.reason
    assert "0 undecided" in result.outcome.reason
    assert "misled 0 more and proves" not in result.outcome.reason  # the questions alone missed some


def test_groups_and_values_that_go_missing_are_part_of_what_is_proven(tmp_path):
    """A tree that looks at a one-hot group and at whether a value is there: no number has to move."""
    pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
    from sklearn.tree import DecisionTreeClassifier

    frame = pd.DataFrame({"red": [1, 0] * 20, "blue": [0, 1] * 20, "size": np.arange(40.0)})
    frame.loc[::3, "size"] = np.nan
    answers = ((frame["red"] == 1) & frame["size"].notna()).to_numpy(int)
    fitted = DecisionTreeClassifier(random_state=0).fit(frame, answers)
    model = Model(_Asking(fitted), ("no", "yes"))
    model.ask = model.function
    found = {}
    for name, text in {
        "none": "one_hot: [[red, blue]]\nfeatures: {red: {immutable: true}, blue: {immutable: true}}\n",
        "group": "one_hot: [[red, blue]]\n",
        "missing": "features: {size: {missing: true}, red: {immutable: true}, blue: {immutable: true}}\n",
    }.items():
        (tmp_path / "constraints.yaml").write_text("version: 1\n" + text)
        opened = subject(
            model, Data(frame, answers, columns_of(frame)), root=tmp_path, sample="all", constraints="constraints.yaml",
            threat={"eps": 0.01, "steps": 1, "restarts": 1, "changed_categories": 1},
        )  # fmt: skip
        result, predicate, context = run_check(CHECK, opened, tmp_path)
        found[name] = predicate["broken"]
        if predicate["samples"]:
            table = pd.read_parquet(io.BytesIO(context.blobs[predicate["samples"]["sha256"]]))
            perturbed = table.filter(like="perturbed.").rename(columns=lambda column: column.removeprefix("perturbed."))
            assert (fitted.predict(perturbed) != table["label"]).all()
            assert (perturbed["red"] + perturbed["blue"] == 1).all()
        assert "0 undecided" in result.outcome.reason
    assert found["none"] == 0
    assert found["group"] == int(frame["size"].notna().sum())  # every row with a size follows its colour
    assert found["missing"] == int(answers.sum())  # and every positive one its size
