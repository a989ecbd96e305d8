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
