"""Each leak is found where it is planted, and ordinary data are left alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Limits, Project, Task
from heliotrope.engine.registry import find_check
from heliotrope.quality import _duplicates
from heliotrope.quality._duplicates import find_duplicates

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("pyarrow", reason="needs pyarrow (extra 'data')")


class Context:
    limits = Limits()

    def __init__(self):
        self.said = []

    def progress(self, done, total, text=""):
        self.said.append((done, total))


def ordinary(n, seed):
    """Numbers, a whole number, a truth value and a category; the answer follows from them with noise."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": generator.normal(size=n),
            "b": generator.normal(size=n),
            "years": generator.integers(0, 60, n),
            "member": generator.random(n) < 0.5,
            "town": generator.choice(["arles", "basel", "cork"], n),
        }
    )
    frame["y"] = np.where(frame["a"] + frame["b"] + generator.normal(size=n) > 0, "yes", "no")
    return frame


def planned_of(folder, **model):
    data = {"train": {"path": "train.csv", "target": "y"}, "evaluate": {"path": "test.parquet", "target": "y"}}
    entry = {"name": "m", "path": "there-is-no-model.skops", "task": "tabular-classification", "data": data, **model}
    config = HeliotropeConfig.model_validate({"version": 1, "project": "p", "models": [entry]})
    return list(find_check("quality.leakage").plan(Project("p", folder, (folder,), config, None, "standard")))


def look(folder, train=None, test=None, **model):
    if train is not None:
        train.to_csv(folder / "train.csv", index=False)
        test.to_parquet(folder / "test.parquet")
    (planned,) = planned_of(folder, **model)
    assert planned.missing == ()
    task = Task(
        check="quality.leakage",
        subject=planned.subject,
        root=str(folder),
        parameters=planned.parameters.document(),
        inputs=digest_inputs(planned.inputs),
        seed=0,
    )
    context = Context()
    result = find_check("quality.leakage").function(task, context)
    assert context.said[-1][0] == context.said[-1][1]
    return result


def rules(result):
    return [finding.rule for finding in result.findings]


def test_ordinary_data_are_left_alone(tmp_path):
    result = look(tmp_path, ordinary(800, 0), ordinary(300, 1))
    assert result.findings == ()
    assert result.outcome.state == "passed"
    predicate = result.evidence[0].predicate
    assert (predicate["shared"], predicate["compared"], predicate["answers"]) == (0, 300, 2)
    assert predicate["columns"] == ["a", "b", "years", "member", "town"]
    assert {subject.name for subject in result.evidence[0].subject} == {"data", "train/data"}
    (share,) = result.measurements
    assert (share.metric, share.value, share.n, share.direction) == ("duplicate_share", 0.0, 300, "lower")
    assert share.interval.high > 0


@pytest.mark.parametrize(("copied", "severity"), [(2, "low"), (15, "medium"), (90, "high")])
def test_rows_of_the_training_data_are_found_in_another_format_and_order(tmp_path, copied, severity):
    train, test = ordinary(800, 0), ordinary(300, 1)
    test.iloc[5 : 5 + copied] = train.iloc[100 : 100 + copied][::-1].to_numpy()
    result = look(tmp_path, train, test.infer_objects())
    (finding,) = result.findings
    assert (finding.rule, finding.severity, finding.confidence) == ("duplicate-rows-across-splits", severity, "high")
    assert f"{copied} evaluation rows of 300" in finding.message
    assert result.outcome.state == ("passed" if severity == "low" else "failed")
    predicate = result.evidence[0].predicate
    assert (predicate["shared"], predicate["shared_with_answer"]) == (copied, copied)


def test_rows_of_few_values_are_equal_by_chance_and_that_is_said(tmp_path):
    train, test = (ordinary(n, seed)[["member", "town", "y"]] for n, seed in ((400, 0), (100, 1)))
    found = {finding.rule: finding for finding in look(tmp_path, train, test).findings}
    across = found["duplicate-rows-across-splits"]
    assert (across.severity, across.confidence) == ("medium", "low")
    assert "chance" in across.message
    assert found["duplicate-rows-in-evaluation"].severity == "low"


def test_a_few_rows_that_are_equal_by_chance_do_not_fail_the_check(tmp_path):
    train, test = ordinary(800, 0), ordinary(300, 1)
    train.iloc[400:410] = train.iloc[:10].to_numpy()
    test.iloc[:6] = train.iloc[20:26].to_numpy()
    result = look(tmp_path, train.infer_objects(), test.infer_objects())
    (finding,) = result.findings
    assert (finding.severity, finding.confidence, result.outcome.state) == ("low", "low", "passed")


def test_the_same_inputs_with_another_answer_are_shared_too(tmp_path):
    train, test = ordinary(800, 0), ordinary(300, 1)
    test.iloc[:30] = train.iloc[:30].to_numpy()
    test.loc[:29, "y"] = np.where(test.loc[:29, "y"] == "yes", "no", "yes")
    predicate = look(tmp_path, train, test.infer_objects()).evidence[0].predicate
    assert (predicate["shared"], predicate["shared_with_answer"]) == (30, 0)


def test_missing_values_and_whole_numbers_compare_whatever_type_a_set_keeps_them_in(tmp_path):
    train, test = ordinary(800, 0), ordinary(300, 1)
    train.loc[:9, "a"] = np.nan
    test = pd.concat([train[:10], test[10:]])
    train.loc[790:, "years"] = np.nan  # float64 here, int64 there
    predicate = look(tmp_path, train, test).evidence[0].predicate
    assert predicate["shared"] == 10


def test_repeated_evaluation_rows_are_found(tmp_path):
    test = ordinary(300, 1)
    test.iloc[:30] = test.iloc[30:60].to_numpy()
    assert rules(look(tmp_path, ordinary(800, 0), test.infer_objects())) == ["duplicate-rows-in-evaluation"]


def test_constant_features_are_found(tmp_path):
    train, test = (ordinary(n, seed).assign(unit="mm", gone=np.nan) for n, seed in ((800, 0), (300, 1)))
    result = look(tmp_path, train, test)
    assert rules(result) == ["constant-feature", "constant-feature"]
    assert result.outcome.state == "passed"
    assert result.evidence[0].predicate["constant"] == ["unit", "gone"]


def test_a_feature_that_changes_late_is_not_constant(tmp_path):
    train = ordinary(800, 0).assign(late=[0] * 799 + [1])
    assert rules(look(tmp_path, train, ordinary(300, 1).assign(late=0))) == []


def test_identifiers_among_the_features_are_found_and_others_are_no_features(tmp_path):
    train, test = (ordinary(n, seed).assign(row=np.arange(n) + 7) for n, seed in ((800, 0), (300, 1)))
    assert rules(look(tmp_path, train, test)) == []
    features = ["row", "a", "b"]
    data = {
        "train": {"path": "train.csv", "target": "y", "features": features},
        "evaluate": {"path": "test.parquet", "target": "y", "features": features},
    }
    result = look(tmp_path, data=data)
    assert rules(result) == ["identifier-feature"]
    assert "'row'" in result.findings[0].message
    assert result.outcome.state == "failed"


@pytest.mark.parametrize("kind", ["number", "category", "inverse", "date"])
def test_a_feature_that_gives_the_answer_is_found(tmp_path, kind):
    def planted(n, seed):
        frame = ordinary(n, seed)
        yes = frame["y"] == "yes"
        generator = np.random.default_rng(seed)
        leak = {
            "number": np.where(yes, 2.0, -2.0) + generator.normal(0, 0.4, n),
            "category": np.where(yes, generator.choice(["C50", "C51"], n), "none"),
            "inverse": 1 - yes.astype(int),
            "date": pd.to_datetime(np.where(yes, "2025-01-01", "2026-01-01"))
            + pd.to_timedelta(generator.integers(0, 100, n), "D"),
        }[kind]
        return frame.assign(leak=leak)

    result = look(tmp_path, planted(800, 0), planted(300, 1))
    assert rules(result) == ["feature-gives-answer"]
    assert "'leak'" in result.findings[0].message
    best = result.evidence[0].predicate["single_features"][0]
    assert best["name"] == "leak"
    assert best["value"] > 0.99


def test_an_unbalanced_answer_is_not_taken_for_a_predictable_one(tmp_path):
    train, test = ordinary(2000, 0), ordinary(1000, 1)
    for frame, seed in ((train, 2), (test, 3)):
        frame["y"] = np.where(np.random.default_rng(seed).random(len(frame)) < 0.004, "yes", "no")
    assert rules(look(tmp_path, train, test)) == []


def test_regressions_are_measured_by_r2(tmp_path):
    def planted(n, seed, noise):
        frame = ordinary(n, seed)
        frame["y"] = frame["a"] * 3 + np.random.default_rng(seed + 100).normal(0, noise, n)
        return frame

    assert rules(look(tmp_path, planted(2000, 0, 2), planted(300, 1, 2), task="tabular-regression")) == []
    found = look(tmp_path, planted(2000, 0, 0), planted(300, 1, 0), task="tabular-regression")
    assert rules(found) == ["feature-gives-answer"]
    assert "r2" in found.findings[0].message


def test_an_evaluation_of_one_class_is_found(tmp_path):
    result = look(tmp_path, ordinary(800, 0), ordinary(300, 1).assign(y="yes"))
    assert rules(result) == ["single-class-evaluation"]
    assert result.outcome.state == "failed"


def test_images_are_compared_by_their_values(tmp_path):
    generator = np.random.default_rng(0)
    train, test = (generator.integers(0, 256, (n, 1, 5, 5), dtype=np.uint8) for n in (60, 40))
    test[7] = train[11]
    for name, images in (("train", train), ("test", test)):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(len(images)) % 3)
    data = {"train": {"path": "train.npz"}, "evaluate": {"path": "test.npz"}}
    result = look(tmp_path, data=data, task="image-classification", input={"shape": [1, 5, 5]})
    predicate = result.evidence[0].predicate
    assert (predicate["shared"], predicate["compared"], predicate["columns"]) == (1, 40, [])
    assert rules(result) == ["duplicate-rows-across-splits"]


def test_nothing_is_planned_without_training_data(tmp_path):
    assert planned_of(tmp_path, data={"evaluate": {"path": "test.parquet", "target": "y"}}) == []


def test_plans_hold_data_only_so_that_new_weights_keep_the_evidence(tmp_path):
    (one,) = planned_of(tmp_path)
    (other,) = planned_of(tmp_path, path="new.skops", declared={"clean_accuracy": 0.5})
    assert one.parameters == other.parameters
    assert set(one.inputs) == {"data", "train/data"}
    assert (one.consent, one.extra, one.reusable) == ("none", "data", True)
    (lacking,) = planned_of(tmp_path, data={"train": {"path": "train.csv"}, "evaluate": {"path": "test.parquet"}})
    assert lacking.missing == ("models[0].data.evaluate.target", "models[0].data.train.target")


def test_hostile_column_names_are_shown_harmlessly(tmp_path):
    train, test = (ordinary(n, seed).assign(**{"x\x1b[2J": 1}) for n, seed in ((800, 0), (300, 1)))
    (finding,) = look(tmp_path, train, test).findings
    assert "\x1b" not in finding.message


class Table:
    """Rows of whole numbers as a data set."""

    kind, columns, digests = "table", (), {}

    def __init__(self, rows):
        self.rows = np.array(rows, dtype=np.int64).reshape(-1, 2)

    def __len__(self):
        return len(self.rows)

    def take(self, rows):
        from heliotrope.subjects.interface import Batch

        frame = pd.DataFrame({"a": self.rows[rows, 0], "b": self.rows[rows, 1]})
        return Batch(frame, np.zeros(len(rows), dtype=np.int64), rows)

    def batches(self, size):
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))


pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3)), min_size=1, max_size=30)


@given(pairs, pairs)
@settings(max_examples=60, deadline=None)
def test_duplicates_are_those_that_sets_of_rows_say(train, test):
    found = find_duplicates(Table(train), Table(test), ("a", "b"), lambda done, total: None)
    assert found.compared == len(test)
    assert found.shared == found.shared_with_answer == sum(row in set(train) for row in test)
    assert found.repeated_in_evaluation == pytest.approx(1 - len(set(test)) / len(test))
    assert found.repeated_in_training == pytest.approx(1 - len(set(train)) / len(train))


def test_of_very_large_data_a_part_is_compared_and_the_share_is_kept(monkeypatch):
    monkeypatch.setattr(_duplicates, "MAX_HASHED_ROWS", 2000)
    rows = [(row, 0) for row in range(20_000)]
    found = find_duplicates(Table(rows), Table(rows[15_000:] + [(-row, 1) for row in range(5000)]), ("a", "b"), print)
    assert 700 < found.compared < 1300
    assert found.shared / found.compared == pytest.approx(0.5, abs=0.06)
