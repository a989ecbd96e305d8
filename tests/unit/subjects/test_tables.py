import datetime as dt
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.config.schema import ColumnConfig, DataSource, InputConfig, ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.subjects.opening import open_data
from heliotrope.subjects.tables import _csv, _reader

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("pyarrow", reason="needs pyarrow (extra 'data')")

NAMES = ("no", "yes")
_open = []
WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "parquet": lambda frame, path: frame.to_parquet(path, row_group_size=7),
}


def model(columns=None, **fields):
    fields = {"task": "tabular-classification", **fields}
    return ModelConfig(name="m", path="m.skops", input=InputConfig(columns=columns or {}), **fields)


def people(n=120):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "age": generator.integers(18, 90, n),
            "bmi": generator.normal(25, 4, n),
            "smoker": generator.random(n) < 0.3,
            "region": generator.choice(["north", "east", "south"], n, p=[0.5, 0.2, 0.3]),
            "ticket": [f"T-{index}" for index in range(n)],
            "since": pd.date_range("2020-01-01", periods=n, freq="D"),
            "children": np.where(generator.random(n) < 0.1, np.nan, generator.integers(0, 5, n)),
            "note": [f"comes every other week {index}" for index in range(n)],
            "y": generator.choice(NAMES, n),
        }
    )


def opened(folder, name="t.csv", *, target="y", features=None, expected=None, columns=None, **fields):
    source = DataSource(path=name, target=target, features=features)
    reader = open_data(source, model=model(columns, **fields), root=folder, expected=expected or {})
    _open.append(reader)
    return reader


@pytest.fixture(autouse=True)
def closed():
    yield
    close_all()


def close_all():
    while _open:
        _open.pop().close()


def everything(dataset, size):
    batches = list(dataset.batches(size))
    assert all(len(batch) == size for batch in batches[:-1])
    inputs = pd.concat([batch.inputs for batch in batches], ignore_index=True)
    rows = np.concatenate([batch.rows for batch in batches])
    assert rows.tolist() == list(range(len(dataset)))
    return inputs, np.concatenate([batch.answers for batch in batches])


def refused(folder, *args, match, names=NAMES, **kwargs):
    with pytest.raises(InputError, match=match) as caught:
        opened(folder, *args, **kwargs).labelled(names)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("kind", WRITERS)
def test_columns_are_typed_by_their_values(tmp_path, kind):
    frame = people()
    WRITERS[kind](frame, tmp_path / f"t.{kind}")
    reader = opened(tmp_path, f"t.{kind}", columns={"age": ColumnConfig(unit="years", range=(0, 120))})
    columns = {column.name: column for column in reader.columns}
    assert {name: column.type for name, column in columns.items()} == {
        "age": "integer",
        "bmi": "number",
        "smoker": "boolean",
        "region": "category",
        "since": "datetime",
        "children": "number",
        "note": "text",
    }
    age, bmi = columns["age"], columns["bmi"]
    assert (age.unit, age.low, age.high, age.declared) == ("years", 0, 120, True)
    assert (bmi.low, bmi.high, bmi.declared) == (frame["bmi"].min(), frame["bmi"].max(), False)
    assert bmi.spread == pytest.approx(np.subtract(*np.quantile(frame["bmi"], [0.84, 0.16])) / 2)
    assert columns["region"].categories == tuple(frame["region"].value_counts().index)
    assert [name for name, column in columns.items() if column.missing] == ["children"]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_batch_has_the_same_types_and_the_rows_of_the_file(tmp_path, kind, monkeypatch):
    frame = people()
    WRITERS[kind](frame, tmp_path / f"t.{kind}")
    monkeypatch.setattr(_reader, "MAX_KEPT_CELLS", 0)
    dataset = opened(tmp_path, f"t.{kind}").labelled(NAMES)
    inputs, answers = everything(dataset, 50)
    assert answers.tolist() == (frame["y"] == "yes").astype(int).tolist()
    assert [str(dtype) for dtype in inputs.dtypes] == [
        "int64", "float64", "bool", "category", "datetime64[ns]", "float64", "object",
    ]  # fmt: skip
    assert list(inputs["region"].cat.categories) == ["east", "north", "south"]
    for name in inputs.columns:
        assert (
            inputs[name].astype(object).where(inputs[name].notna(), None).tolist()
            == frame[name].astype(object).where(frame[name].notna(), None).tolist()
        )
    taken = dataset.take(np.array([0, 6, 7, 119]))
    pd.testing.assert_frame_equal(taken.inputs, inputs.iloc[[0, 6, 7, 119]].reset_index(drop=True))
    assert taken.answers.tolist() == answers[[0, 6, 7, 119]].tolist()
    assert dataset.digests == {"data": sha256_hex((tmp_path / f"t.{kind}").read_bytes())}
    pd.testing.assert_frame_equal(everything(dataset, 1000)[0], inputs)
    dataset.close()


def test_features_are_taken_in_the_order_in_which_they_are_named(tmp_path):
    people().to_csv(tmp_path / "t.csv", index=False)
    reader = opened(tmp_path, features=("bmi", "row", "age"))
    assert list(reader.probe(3).columns) == ["bmi", "row", "age"]
    assert [column.type for column in reader.columns] == ["number", "identifier", "integer"]
    assert reader.probe(3).dtypes["row"] == np.int64


def test_declared_types_win(tmp_path):
    frame = pd.DataFrame({"zip": [10115, 80331] * 3, "on": [0, 1, 1] * 2, "n": [1, 2, 3] * 2, "y": [0, 1] * 3})
    columns = {
        "zip": ColumnConfig(type="category"),
        "on": ColumnConfig(type="boolean", immutable=True),
        "n": ColumnConfig(type="number"),
    }
    for kind, write in WRITERS.items():
        write(frame, tmp_path / f"t.{kind}")
        reader = opened(tmp_path, f"t.{kind}", columns=columns)
        inputs = reader.probe(6)
        assert inputs["zip"].tolist() == ["10115", "80331"] * 3
        assert inputs["on"].tolist() == [False, True, True] * 2
        assert inputs["n"].dtype == np.float64
        assert [column.immutable for column in reader.columns] == [False, True, False]


def test_whole_categories_are_ordered_as_numbers(tmp_path):
    pd.DataFrame({"k": [10, 9, 2] * 2, "y": [0, 1] * 3}).to_csv(tmp_path / "t.csv", index=False)
    inputs = opened(tmp_path, columns={"k": ColumnConfig(type="category")}).probe(6)
    assert list(inputs["k"].cat.categories) == ["2", "9", "10"]


def test_missing_values_are_read_as_pandas_reads_them(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c,y\n1,x,NA,0\nNA,,None,1\n3,n/a,k,0\n")
    inputs = opened(tmp_path, columns={"c": ColumnConfig(categories=("None", "k"))}).probe(3)
    expected = pd.read_csv(tmp_path / "t.csv")
    assert inputs["a"].isna().tolist() == expected["a"].isna().tolist() == [False, True, False]
    assert inputs["b"].isna().tolist() == expected["b"].isna().tolist() == [False, True, True]
    assert inputs["c"].isna().tolist() == [True, False, False]  # None is one of its categories by declaration


def test_the_index_that_pandas_writes_along_is_no_feature(tmp_path):
    frame = pd.DataFrame({"a": [0.5, 1.5, 2.5], "y": [0, 1, 0]}, index=[7, 3, 900])
    frame.to_csv(tmp_path / "t.csv")
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert [column.name for column in opened(tmp_path, name).columns] == ["a"]


def test_shuffled_row_numbers_and_ids_are_identifiers_and_measurements_are_not(tmp_path):
    generator = np.random.default_rng(0)
    n = 200
    frame = pd.DataFrame(
        {
            "shuffled": generator.permutation(n) + 5,
            "customer_id": generator.choice(10**9, n, replace=False),
            "cents": generator.choice(10**9, n, replace=False),
            "y": np.arange(n) % 2,
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    reader = opened(tmp_path, "t.parquet", features=("shuffled", "customer_id", "cents"))
    assert [column.type for column in reader.columns] == ["identifier", "identifier", "integer"]


def test_a_column_that_rarely_changes_has_a_spread(tmp_path):
    pd.DataFrame({"rare": [0.0] * 95 + [1.0] * 5, "flat": [3.0] * 100, "y": [0, 1] * 50}).to_csv(
        tmp_path / "t.csv", index=False
    )
    rare, flat = opened(tmp_path).columns
    assert rare.spread == pytest.approx(np.std([0.0] * 95 + [1.0] * 5))
    assert flat.spread == 0


def test_percentiles_of_many_rows_rest_on_a_sample_that_no_batch_changes(tmp_path, monkeypatch):
    from heliotrope.subjects.tables import _profile

    values = np.random.default_rng(0).normal(size=60_000)
    pd.DataFrame({"a": values, "y": np.arange(60_000) % 2}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(_profile, "MAX_SAMPLED_ROWS", 5000)
    spreads = set()
    for cells in (1000, 70_000, 2**21):
        monkeypatch.setattr(_profile, "_BATCH_CELLS", cells)
        (column,) = opened(tmp_path, "t.parquet").columns
        spreads.add(column.spread)
        assert (column.low, column.high) == (values.min(), values.max())
    assert len(spreads) == 1
    assert spreads.pop() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("values", "names", "wanted"),
    [
        (["no", "yes", "no"], ("no", "yes"), [0, 1, 0]),
        (["yes", "no", "no"], ("yes", "no"), [0, 1, 1]),
        ([0, 1, 2], ("a", "b", "c"), [0, 1, 2]),
        ([1, 2, 3], ("1", "2", "3"), [0, 1, 2]),
        ([0.0, 1.0, 1.0], ("benign", "malignant"), [0, 1, 1]),
        ([2.0, 1.0, 1.0], ("1", "2"), [1, 0, 0]),
        ([True, False, True], ("a", "b"), [1, 0, 1]),
        ([True, False, True], ("True", "False"), [0, 1, 0]),
        ([True, False, True], ("true", "false"), [0, 1, 0]),
        (["None", "some", "None"], ("some", "None"), [1, 0, 1]),
    ],
)
@pytest.mark.parametrize("kind", WRITERS)
def test_answers_are_indices_by_name_or_by_number(tmp_path, kind, values, names, wanted):
    WRITERS[kind](pd.DataFrame({"a": [0.5, 1.5, 2.5], "y": values}), tmp_path / f"t.{kind}")
    dataset = opened(tmp_path, f"t.{kind}", labels=names).labelled(names)
    answers = everything(dataset, 2)[1]
    assert answers.tolist() == wanted
    assert answers.dtype == np.int64


@pytest.mark.parametrize("kind", WRITERS)
def test_regression_answers_are_numbers(tmp_path, kind):
    WRITERS[kind](pd.DataFrame({"a": [0.5, 1.5], "y": [3, 4]}), tmp_path / f"t.{kind}")
    dataset = opened(tmp_path, f"t.{kind}", task="tabular-regression").labelled(())
    assert everything(dataset, 5)[1].tolist() == [3.0, 4.0]
    assert everything(dataset, 5)[1].dtype == np.float64


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,y\n1,no\n2,maybe\n", "row 1 has the answer 'maybe'"),
        ("a,y\n1,no\n2,\n", "row 1 has no answer"),
        ("a,y\n1,0\n2,2\n", "row 1 has the answer '2'"),
        ("a,y\n1,0\n2,0.5\n", "row 1 has the answer '0.5'"),
        ("a,y\n1,0\n2,-1\n", "row 1 has the answer '-1'"),
    ],
)
def test_answers_that_are_no_class_are_named_by_row(tmp_path, text, match):
    (tmp_path / "t.csv").write_text(text)
    refused(tmp_path, match=match)


def test_regression_answers_that_are_no_numbers_are_named_by_row(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n1,2.5\n2,high\n")
    refused(tmp_path, match="row 1: column 'y' holds 'high', expected a number", names=(), task="tabular-regression")


def test_more_answers_than_any_model_has_classes(tmp_path):
    pd.DataFrame({"a": [1.0] * 10_001, "y": np.arange(10_001) / 7}).to_parquet(tmp_path / "t.parquet")
    assert "tabular-regression" in refused(tmp_path, "t.parquet", match="more than 10000 different values").hint


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "is empty"),
        ("a,y\n", "no rows"),
        ("a,y", "no rows"),
        ("a,a,y\n1,2,0\n", "two columns named 'a'"),
        ("a,y\n1,0\n1,0,1\n2,0\n", "row 1 has 3 fields, the header has 2"),
        ("a,y\n1,0\n3\n2,0\n", "row 1 has 1 fields"),
        ("a,y\n1,0\ninf,1\n", "row 1: column 'a' is infinite"),
        ("a,b\n1,0\n", "no column 'y', which target names"),
        ("y\n0\n", "no column left"),
        ("a,y\n1,0\n\x00,1\n", "not UTF-8"),
    ],
)
def test_unusable_csv_is_refused(tmp_path, text, match):
    (tmp_path / "t.csv").write_text(text)
    refused(tmp_path, match=match)


@pytest.mark.parametrize("rows", [10, 1000, 40_000])
def test_a_quote_that_never_closes_is_refused(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(_csv, "BLOCK_BYTES", 2**14)
    (tmp_path / "t.csv").write_text('a,y\n1,0\n"2,1\n' + "3,0\n" * rows)
    assert "quote" in refused(tmp_path, match="row").diagnostics()


def test_other_encodings_are_named_with_the_line(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,y\nx,0\ncafé,1\n".encode("latin1"))
    assert "iconv" in refused(tmp_path, match="line 3: not UTF-8").hint
    (tmp_path / "t.csv").write_bytes("a,y\nx,0\n".encode("utf-16"))
    refused(tmp_path, match="not UTF-8 text")
    far = "a,y\n" + "x,0\n" * 100_000
    (tmp_path / "t.csv").write_bytes(far.encode() + b"\xff,1\n")
    refused(tmp_path, match="line 100002: not UTF-8")


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufeffa,y\n1,0\n2,1\n".encode())
    assert [column.name for column in opened(tmp_path).columns] == ["a"]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path, mark):
    rows = [["name", "size, cm", "y"], ["a;b|c", "1,5", "0"], ["x", "2,5", "1"]]
    (tmp_path / "t.csv").write_text("".join(mark.join(f'"{field}"' for field in row) + "\n" for row in rows))
    assert [column.name for column in opened(tmp_path).columns] == ["name", "size, cm"]


def test_blanks_around_numbers_are_no_text_and_hexadecimals_are_no_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,y\n 1, 0x10,0\n2 , 0x20,1\n")
    assert [column.type for column in opened(tmp_path).columns] == ["integer", "category"]


def test_names_that_are_not_there_are_told_with_what_is(tmp_path):
    people().to_csv(tmp_path / "t.csv", index=False)
    assert "'age'" in refused(tmp_path, features=("agee", "bmi"), match="no column 'agee', which features names").hint
    refused(tmp_path, columns={"sex": ColumnConfig(unit="1")}, match="which input.columns names")
    refused(tmp_path, features=("age", "y"), match="both target and feature")
    refused(tmp_path, features=("age", "age"), match="twice")
    refused(tmp_path, target=None, match="nothing says which column")


def test_values_that_are_not_of_their_declared_type_are_named_by_row(tmp_path):
    frame = pd.DataFrame({"a": ["1", "2", "many"], "b": [1.0, 2.5, 3.0], "c": [0, 1, 7], "y": [0, 1, 0]})
    for kind in ("csv", "parquet"):
        WRITERS[kind](frame, tmp_path / f"t.{kind}")
        name = f"t.{kind}"
        refused(tmp_path, name, columns={"a": ColumnConfig(type="number")}, match="row 2: column 'a' holds 'many'")
        refused(tmp_path, name, columns={"b": ColumnConfig(type="integer")}, match="row 1: column 'b' holds 2.5")
        refused(tmp_path, name, columns={"c": ColumnConfig(type="boolean")}, match="row 2: column 'c' holds '?7")
        refused(tmp_path, name, columns={"a": ColumnConfig(type="datetime")}, match="column 'a' holds")
        refused(
            tmp_path,
            name,
            columns={"a": ColumnConfig(categories=("1", "2"))},
            match="row 2: column 'a' holds 'many', which is not among its categories",
        )


def test_hostile_names_and_values_are_shown_harmlessly(tmp_path):
    (tmp_path / "t.csv").write_text("a\x1b[2J,y\n1,no\n2,\x1b[31mmaybe\n")
    error = refused(tmp_path, match="row 1")
    assert "\x1b" not in error.diagnostics()
    assert "\x1b" not in refused(tmp_path, target="z", match="no column").diagnostics()


def test_text_models_take_the_one_column_of_text(tmp_path):
    frame = pd.DataFrame({"id": range(60), "review": ["good film", "bad film"] * 30, "y": [1, 0] * 30})
    frame.to_csv(tmp_path / "t.csv", index=False)
    reader = opened(tmp_path, task="text-classification")
    assert [(column.name, column.type) for column in reader.columns] == [("review", "text")]
    assert reader.probe(1)["review"].tolist() == ["good film"]
    frame.assign(title="x").to_csv(tmp_path / "t.csv", index=False)
    refused(tmp_path, task="text-classification", match="takes one column of text, here are 2: 'review', 'title'")
    assert len(opened(tmp_path, task="text-classification", features=("title",)).columns) == 1


def test_bytes_that_are_not_the_planned_ones_are_refused(tmp_path):
    people().to_csv(tmp_path / "t.csv", index=False)
    refused(tmp_path, expected={"data": "0" * 64}, match="changed while the check was running")


def test_a_file_that_changes_under_us_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_reader, "MAX_KEPT_CELLS", 0)
    people().to_csv(tmp_path / "t.csv", index=False)
    dataset = opened(tmp_path).labelled(NAMES)
    with (tmp_path / "t.csv").open("r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"1")
    os.utime(tmp_path / "t.csv", ns=(1, 1))
    with pytest.raises(InputError, match="changed"):
        list(dataset.batches(30))
    with pytest.raises(InputError, match="changed"):
        dataset.take(np.array([1]))


def test_missing_files_pipes_and_pointers_are_refused(tmp_path):
    refused(tmp_path, match="no such file")
    (tmp_path / "t.csv").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert refused(tmp_path, match="git-lfs pointer").hint == "run git lfs pull"
    (tmp_path / "t.csv").unlink()
    os.mkfifo(tmp_path / "t.csv")
    refused(tmp_path, match="pipe")


CELLS = {
    "whole": st.integers(-(2**40), 2**40),
    "real": st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda value: value != int(value)),
    "truth": st.booleans(),
    "words": st.text("abcde ,;|'\"\n\té€", min_size=1, max_size=8).filter(lambda text: text.strip() == text),
    "time": st.integers(0, 4 * 10**9).map(lambda seconds: dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)),  # noqa: DTZ001 - no zone
}


@st.composite
def frames(draw):
    n = draw(st.integers(1, 12))
    names = draw(st.lists(st.text("abXY ,;'\"é", min_size=1, max_size=5), min_size=1, max_size=4, unique=True))
    columns = {}
    for name in (name for name in names if name != "y"):
        kind = draw(st.sampled_from(sorted(CELLS)))
        values = draw(st.lists(CELLS[kind], min_size=n, max_size=n))
        if kind != "truth" and draw(st.booleans()):
            values[draw(st.integers(0, n - 1))] = None
        columns[name] = pd.Series(values, dtype="float64" if kind == "whole" and None in values else None)
    columns["y"] = draw(st.lists(st.sampled_from(NAMES), min_size=n, max_size=n))
    return pd.DataFrame(columns or {"a": range(n), "y": columns["y"]})


@given(frames(), st.integers(1, 14), st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_any_frame_comes_back_from_csv_and_parquet_alike(frame, size, other):
    if len(frame.columns) < 2:
        frame = frame.assign(a=1.5)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_reader, "MAX_KEPT_CELLS", 0)
        folder = Path(name)
        frame.to_csv(folder / "t.csv", index=False)
        frame.to_parquet(folder / "t.parquet", row_group_size=other)
        features = tuple(column for column in frame.columns if column != "y")
        sets = [opened(folder, f"t.{kind}", features=features).labelled(NAMES) for kind in ("csv", "parquet")]
        read = [everything(dataset, size) for dataset in sets]
        for inputs, answers in read:
            assert answers.tolist() == [NAMES.index(answer) for answer in frame["y"]]
            for column in features:
                got = inputs[column].astype(object).where(inputs[column].notna(), None).tolist()
                want = frame[column].astype(object).where(frame[column].notna(), None).tolist()
                assert got == pytest.approx(want) if isinstance(want[0], float) else got == want
        whole = [everything(dataset, 100) for dataset in sets]
        for (inputs, _), (at_once, _) in zip(read, whole, strict=True):
            pd.testing.assert_frame_equal(inputs, at_once)
        close_all()
        assert [c.type for c in sets[0].columns if c.type != "category"] == [
            c.type for c in sets[1].columns if c.type != "category"
        ]
