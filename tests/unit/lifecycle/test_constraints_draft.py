"""The constraints that `helio init` drafts from a table: they load, say what holds, and replace nothing."""

import pytest

from heliotrope.config.constraints import load_constraints
from heliotrope.config.loader import load_config
from heliotrope.lifecycle.initialise import initialise

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")


def loans(rows=60):
    source = np.random.default_rng(0)
    colour = source.integers(0, 3, rows)
    frame = pd.DataFrame(
        {
            "customer_id": source.permutation(rows) + 1000,
            "age": source.integers(18, 90, rows),
            "rent": source.uniform(1, 9, rows).round(2),
            "food": source.uniform(1, 9, rows).round(2),
            "colour_red": (colour == 0).astype(int),
            "colour_green": (colour == 1).astype(int),
            "colour_blue": (colour == 2).astype(int),
            "phones": source.integers(0, 4, rows).astype(float),
            "to: where?": source.uniform(0, 1, rows),
            "target": source.integers(0, 2, rows),
        }
    )
    frame["spent"] = frame["rent"] + frame["food"]
    frame.loc[::7, "phones"] = np.nan
    return frame


def drafted(tmp_path, name="train.csv", frame=None):
    frame = loans() if frame is None else frame
    (tmp_path / "model.ubj").write_bytes(b"{}")
    if name.endswith("csv"):
        frame.to_csv(tmp_path / name, index=False)
    else:
        frame.to_parquet(tmp_path / name)
    return initialise(tmp_path)


@pytest.mark.parametrize("name", ["train.csv", "train.parquet"])
def test_a_draft_says_what_holds_in_the_table(tmp_path, name):
    result = drafted(tmp_path, name)
    text = (tmp_path / "constraints.yaml").read_text()
    file = load_constraints(tmp_path / "constraints.yaml").value
    assert file.one_hot == (("colour_red", "colour_green", "colour_blue"),)
    assert [(dict(one.terms), one.holds) for one in file.relations] == [({"spent": 1, "rent": -1, "food": -1}, "=")]
    assert {key: rule.integer for key, rule in file.features.items()} == {"phones": True}
    assert "customer_id: looks like an identifier" in text
    assert "target" not in text
    assert "18 to" in text or "19 to" in text or "integer" in text
    assert any("drafted constraints.yaml" in note for note in result.notes)


def test_heliotrope_yaml_names_the_draft(tmp_path):
    drafted(tmp_path)
    text = (tmp_path / "heliotrope.yaml").read_text()
    assert "      constraints: constraints.yaml" in text
    config = load_config(tmp_path / "heliotrope.yaml").config
    assert config.models[0].data.constraints == "constraints.yaml"


def test_a_file_that_is_there_is_never_replaced(tmp_path):
    (tmp_path / "constraints.yaml").write_text("mine")
    result = drafted(tmp_path)
    assert (tmp_path / "constraints.yaml").read_text() == "mine"
    assert any("left as it is" in note for note in result.notes)
    (tmp_path / "constraints.yaml").write_text("version: 1\n")
    initialise(tmp_path, force=True)
    assert (tmp_path / "constraints.yaml").read_text() == "version: 1\n"
    assert "constraints: constraints.yaml" in (tmp_path / "heliotrope.yaml").read_text()


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_few_rows_prove_nothing(tmp_path, rows):
    result = drafted(tmp_path, frame=loans(60).head(rows))
    assert not (tmp_path / "constraints.yaml").exists()
    assert any("too few rows" in note for note in result.notes)


def test_a_sum_that_fails_on_one_row_is_not_drafted(tmp_path):
    frame = loans()
    frame.loc[59, "spent"] += 0.01
    drafted(tmp_path, frame=frame)
    assert load_constraints(tmp_path / "constraints.yaml").value.relations == ()


def test_what_is_no_table_is_said(tmp_path):
    (tmp_path / "model.ubj").write_bytes(b"{}")
    (tmp_path / "train.parquet").write_bytes(b"PAR1 no parquet")
    result = initialise(tmp_path)
    assert not (tmp_path / "constraints.yaml").exists()
    assert any("cannot be read" in note for note in result.notes)


def test_taking_the_comment_marks_away_leaves_a_file_that_loads(tmp_path):
    frame = loans()[["age", "rent", "target"]]
    drafted(tmp_path, frame=frame)
    path = tmp_path / "constraints.yaml"
    lines = path.read_text().splitlines()
    begin = lines.index("# features:")
    lines[begin : begin + 3] = [line.removeprefix("# ") for line in lines[begin : begin + 3]]
    path.write_text("\n".join(lines) + "\n")
    assert set(load_constraints(path).value.features) == {"age", "rent"}
