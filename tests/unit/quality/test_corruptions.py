"""Plain faults of tables and images: what they cost, and a model that raises instead of answering."""

import pytest
from tests.opened import Data, Model, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "quality.corruptions"


def by_fault(predicate):
    return {(one["fault"], one["level"]): one for one in predicate["faults"]}


@pytest.fixture(scope="module")
def robust(loans, pipeline, tmp_path_factory):
    frame, answers = loans
    model = Model(pipeline(strict=False).predict_proba, ("no", "yes"))
    opened = subject(model, Data(frame, answers, columns_of(frame)))
    return run_check(CHECK, opened, tmp_path_factory.mktemp("work"))


def test_every_kind_of_column_meets_its_faults_mild_to_severe(robust):
    result, predicate, context = robust
    assert result.outcome.state == "passed"
    names = {one["fault"] for one in predicate["faults"]}
    assert names == {
        "noise", "rounding", "unit-mistake", "sign", "swapped-columns", "category-wrong", "category-typo",
        "category-unseen", "boolean-flipped",
    }  # fmt: skip
    faults = by_fault(predicate)
    assert faults["noise", 1]["goodness"]["value"] > faults["noise", 3]["goodness"]["value"]
    assert faults["noise", 1]["changed"] < faults["noise", 3]["changed"]
    assert context.said[-1][0] == context.said[-1][1] == len(predicate["faults"])


def test_worst_and_mean_are_measured_with_intervals(robust):
    result, predicate, _ = robust
    worst, mean = result.measurements
    assert (worst.metric, mean.metric) == ("corruption_accuracy_worst", "corruption_accuracy_mean")
    values = [one["goodness"]["value"] for one in predicate["faults"]]
    assert worst.value == min(values)
    assert mean.value == pytest.approx(np.mean(values))
    assert worst.interval.method == "clopper-pearson"
    assert mean.interval.low < mean.value < mean.interval.high
    assert mean.interval.method == "student-t"
    assert predicate["worst_fault"] in result.outcome.reason


def test_a_model_that_raises_is_a_finding_and_not_a_crash(loans, pipeline, tmp_path):
    frame, answers = loans
    whole = frame.notna().all(axis=1)
    frame, answers = frame[whole].reset_index(drop=True), answers[whole]
    opened = subject(Model(pipeline(strict=True).predict_proba, ("no", "yes")), Data(frame, answers, columns_of(frame)))
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert result.outcome.state == "passed"
    raised = {one["fault"] for one in predicate["faults"] if one["raised"]}
    assert raised == {"category-typo", "category-unseen"}
    findings = [finding for finding in result.findings if finding.rule == "fault-raises"]
    assert len(findings) == 2
    assert {finding.severity for finding in findings} == {"low"}
    assert "unknown categories" in findings[0].message
    assert all(one["goodness"] is None for one in predicate["faults"] if one["raised"])


def test_a_model_that_copes_with_everything_has_no_finding(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(0, 1, 300), "b": rng.normal(0, 1, 300)})
    always = Model(lambda table: np.tile([0.9, 0.1], (len(table), 1)), ("x", "y"))
    result, predicate, _ = run_check(
        CHECK, subject(always, Data(frame, np.zeros(300, int), columns_of(frame))), tmp_path
    )
    assert result.findings == ()
    assert predicate["worst"]["value"] == 1.0


def test_a_mild_fault_that_costs_much_is_found(tmp_path):
    """The class is the parity of the hundredths: rounding destroys it."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"a": rng.integers(0, 1000, 400) / 100.0})

    def parity(table):
        odd = np.rint(table["a"].to_numpy() * 100) % 2
        return np.stack([1 - odd, odd], axis=1)

    answers = parity(frame).argmax(axis=1)
    result, _, _ = run_check(
        CHECK, subject(Model(parity, ("even", "odd")), Data(frame, answers, columns_of(frame))), tmp_path
    )
    found = [finding for finding in result.findings if finding.rule == "corruption-collapse"]
    assert {finding.message.split(" ")[0] for finding in found} >= {"noise", "rounding"}


def test_a_model_that_is_gone_is_no_finding(tmp_path):
    from heliotrope.core.errors import InputError

    frame = pd.DataFrame({"a": np.arange(50.0)})
    calls = []

    def dies(table):
        calls.append(len(table))
        if len(calls) > 3:
            raise ValueError("connection refused")
        return np.tile([0.9, 0.1], (len(table), 1))

    opened = subject(Model(dies, ("x", "y")), Data(frame, np.zeros(50, int), columns_of(frame)))
    with pytest.raises(InputError, match="connection refused"):
        run_check(CHECK, opened, tmp_path)


def test_images_are_blurred_turned_and_moved(digits, tmp_path):
    images, labels, function = digits
    model = Model(function, tuple("0123456789"), output="logits", format="onnx")
    opened = subject(model, Data(images, labels), input={"shape": [1, 8, 8]}, sample=500)
    before = images.copy()
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert np.array_equal(images, before)
    faults = by_fault(predicate)
    assert {name for name, _ in faults} == {
        "noise", "dead-values", "brightness", "contrast", "blur", "rotation", "shift", "resolution", "jpeg",
    }  # fmt: skip
    assert faults["contrast", 1]["goodness"]["value"] > 0.9
    assert faults["shift", 5]["goodness"]["value"] < faults["shift", 1]["goodness"]["value"]
    assert "corruption-collapse" in {finding.rule for finding in result.findings}  # one pixel of eight is a lot


def test_plain_arrays_meet_the_faults_that_need_no_neighbourhood(tmp_path):
    rng = np.random.default_rng(3)
    arrays = rng.random((200, 5), dtype=np.float32)
    model = Model(lambda x: np.stack([x[:, 0], 1 - x[:, 0]], axis=1), ("a", "b"), format="onnx")
    answers = (arrays[:, 0] < 0.5).astype(np.int64)
    opened = subject(model, Data(arrays, answers), input={"shape": [5]})
    _, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert {one["fault"] for one in predicate["faults"]} == {"noise", "dead-values", "brightness", "contrast"}


def test_text_gets_typing_errors(tmp_path):
    words = ["good film", "bad film", "very good", "very bad"] * 50
    frame = pd.DataFrame({"text": words})

    def sentiment(table):
        good = table["text"].str.contains("good").to_numpy(float)
        return np.stack([1 - good, good], axis=1)

    answers = sentiment(frame).argmax(axis=1)
    opened = subject(Model(sentiment, ("bad", "good")), Data(frame, answers, columns_of(frame)))
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    faults = by_fault(predicate)
    assert 1 > faults["text-typos", 1]["goodness"]["value"] > faults["text-typos", 3]["goodness"]["value"]
    assert 1 > faults["text-case", 1]["goodness"]["value"] > faults["text-case", 5]["goodness"]["value"] == 0.5
    assert result.outcome.state == "passed"


def test_every_fault_has_five_severities_and_equal_seeds_give_equal_faults(digits, loans, tmp_path):
    images, labels, function = digits
    pictures = subject(
        Model(function, tuple("0123456789"), output="logits", format="onnx"),
        Data(images[:60], labels[:60]),
        input={"shape": [1, 8, 8]},
    )
    wide = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 7)), columns=list("abcdefg"))
    table = subject(
        Model(lambda frame: np.stack([frame["a"], -frame["a"]], axis=1), ("x", "y"), output="logits"),
        Data(wide, (wide["a"] < 0).astype(int).to_numpy(), columns_of(wide)),
    )
    for opened in (pictures, table):
        _, first, _ = run_check(CHECK, opened, tmp_path)
        _, second, _ = run_check(CHECK, opened, tmp_path)
        assert first == second
        levels = {}
        for one in first["faults"]:
            levels.setdefault(one["fault"], []).append(one["level"])
            assert one["changed"] is not None
        assert all(found == [1, 2, 3, 4, 5] for found in levels.values()), levels
        assert len({(one["fault"], one["severity"]) for one in first["faults"]}) == len(first["faults"])


def test_severity_of_narrow_tables_is_rows(tmp_path):
    frame = pd.DataFrame({"ok": [True, False] * 500})
    truth = lambda table: np.eye(2)[table["ok"].astype(int)]  # noqa: E731
    opened = subject(Model(truth, ("no", "yes")), Data(frame, frame["ok"].astype(int).to_numpy(), columns_of(frame)))
    _, predicate, _ = run_check(CHECK, opened, tmp_path)
    values = [one["goodness"]["value"] for one in predicate["faults"]]
    assert values == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0], abs=0.06)


def test_a_regression_is_held_against_its_error(loans, tmp_path):
    frame, _ = loans
    frame = frame[["years", "owner"]]
    answers = 3.0 * frame["years"].to_numpy() + 1.0
    model = Model(lambda table: 3.0 * table["years"].to_numpy(float) + 1.5, (), output="values")
    result, predicate, _ = run_check(CHECK, subject(model, Data(frame, answers, columns_of(frame))), tmp_path)
    assert predicate["metric"] == "mean_absolute_error"
    assert predicate["clean"]["value"] == pytest.approx(0.5)
    worst = result.measurements[0]
    assert (worst.metric, worst.direction) == ("corruption_mean_absolute_error_worst", "lower")
    assert worst.value > 1000  # years times 1000


def test_equal_seeds_give_equal_evidence(loans, pipeline, tmp_path):
    frame, answers = loans
    data = Data(frame, answers, columns_of(frame))
    model = Model(pipeline(strict=False).predict_proba, ("no", "yes"))
    one, other, different = (run_check(CHECK, subject(model, data, seed=seed), tmp_path)[1] for seed in (1, 1, 2))
    assert one == other != different
