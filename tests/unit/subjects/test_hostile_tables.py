"""Parquet and csv that were damaged, cut or made to hurt: an InputError, in bounded memory, and nothing else."""

import contextlib
import decimal
import io
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.config.schema import ColumnConfig, DataSource, InputConfig, ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.subjects.tables import _parquet, _reader, _rows, _types, _watch, open_table

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pa = pytest.importorskip("pyarrow", reason="needs pyarrow (extra 'data')")
pq = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (extra 'data')")


@contextlib.contextmanager
def table(folder, name, *, features=None, columns=None, task="tabular-classification"):
    model = ModelConfig(name="m", path="m.skops", task=task, input=InputConfig(columns=columns or {}))
    source = DataSource(path=name, target="y", features=features)
    with contextlib.closing(open_table(source, model=model, root=folder, expected={})) as reader:
        yield reader


def refused(folder, name="t.parquet", *, match, names=("0", "1"), **kwargs):
    with (
        pytest.raises(InputError, match=match) as caught,
        table(folder, name, **kwargs) as reader,
    ):
        list(reader.labelled(names).batches(10))
    assert caught.value.hint
    return caught.value


def parquet(**options):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": generator.normal(size=40),
            "b": generator.integers(0, 9, 40),
            "c": generator.choice(["x", "y", "z"], 40),
            "d": pd.date_range("2020", periods=40),
            "y": [0, 1] * 20,
        }
    )
    buffer = io.BytesIO()
    frame.to_parquet(buffer, row_group_size=15, **options)
    return buffer.getvalue()


def write(folder, arrays, **options):
    pq.write_table(pa.table(arrays), folder / "t.parquet", **options)


def survives(folder, name):
    """Whether the table was read to its end; anything but an InputError is a fault."""
    try:
        with table(folder, name) as reader:
            dataset = reader.labelled(("0", "1"))
            return sum(len(batch) for batch in dataset.batches(7)) == len(dataset)
    except InputError as error:
        assert error.hint  # noqa: PT017 - either way is right
        return False


WHOLE = {codec: parquet(compression=codec) for codec in ("snappy", "gzip", "none")}


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 20_000), st.binary(min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_damaged_parquet_gives_an_input_error_or_its_rows(codec, position, garbage):
    whole = bytearray(WHOLE[codec])
    position %= len(whole)
    whole[position : position + len(garbage)] = garbage
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "t.parquet").write_bytes(whole)
        survives(Path(name), "t.parquet")


@given(st.integers(0, 20_000))
@settings(max_examples=40, deadline=None)
def test_parquet_that_was_cut_is_refused(length):
    whole = WHOLE["snappy"]
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "t.parquet").write_bytes(whole[: length % len(whole)])
        assert not survives(Path(name), "t.parquet")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_as_csv_give_an_input_error_or_rows(data):
    with tempfile.TemporaryDirectory() as name:
        for suffix in ("csv", "tsv"):
            (Path(name) / f"t.{suffix}").write_bytes(b"a,b\ty,y\n" + data)
            survives(Path(name), f"t.{suffix}")


@given(st.binary(max_size=400))
@settings(max_examples=40, deadline=None)
def test_any_bytes_as_parquet_are_refused(data):
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "t.parquet").write_bytes(b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1")
        assert not survives(Path(name), "t.parquet")


def test_frames_of_the_file_are_told(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"not parquet at all")
    refused(tmp_path, match="begin and end with PAR1")
    path.write_bytes(b"PARE" + WHOLE["none"][4:-4] + b"PARE")
    refused(tmp_path, match="is encrypted")
    path.write_bytes(WHOLE["none"][:-8] + (2**31).to_bytes(4, "little") + b"PAR1")
    refused(tmp_path, match="claims a footer of 2147483648 bytes")
    write(tmp_path, {"a": pa.array([], pa.float64()), "y": pa.array([], pa.int64())})
    refused(tmp_path, match="no rows")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (pa.array([[1], [2]]), "list<"),
        (pa.array([{"x": 1}, {"x": 2}]), "struct<"),
        (pa.array([b"1", b"2"]), "binary"),
        (pa.array([1, 2], pa.duration("s")), "duration"),
        (pa.array([1, 2], pa.time32("s")), "time32"),
    ],
)
def test_columns_that_are_no_features_are_refused_unless_left_out(tmp_path, values, what):
    write(tmp_path, {"a": [0.5, 1.5], "odd": values, "y": [0, 1]})
    error = refused(tmp_path, match=f"column 'odd' holds {what}")
    assert "data.evaluate.features" in error.hint
    with table(tmp_path, "t.parquet", features=("a",)) as reader:
        assert reader.probe(2)["a"].tolist() == [0.5, 1.5]


def test_every_flat_type_of_arrow_is_read(tmp_path):
    day = np.datetime64("2024-02-29", "ns")
    arrays = {
        "small": pa.array([1, 2, None], pa.uint8()),
        "half": pa.array(np.array([0.5, 1.5, 2.5], np.float16)),
        "money": pa.array([decimal.Decimal("1.25")] * 3),
        "coded": pa.array([7, 8, 7]).dictionary_encode(),
        "words": pa.array(["u", "v", "u"], pa.large_string()),
        "view": pa.array(["u", None, "u"], pa.string_view()),
        "none": pa.nulls(3),
        "day": pa.array([day.astype("datetime64[D]").item()] * 3, pa.date32()),
        "zoned": pa.array([day.astype("datetime64[us]").item()] * 3, pa.timestamp("us", "Europe/Berlin")),
        "y": pa.array([True, False, True]),
    }
    write(tmp_path, arrays)
    with table(tmp_path, "t.parquet") as reader:
        types = {column.name: column.type for column in reader.columns}
        inputs = reader.probe(3)
    assert types == {
        "small": "integer",
        "half": "number",
        "money": "number",
        "coded": "integer",
        "words": "category",
        "view": "category",
        "none": "number",
        "day": "datetime",
        "zoned": "datetime",
    }
    assert inputs["small"].tolist()[:2] == [1.0, 2.0]
    assert inputs["money"].tolist() == [1.25] * 3
    assert inputs["coded"].tolist() == [7, 8, 7]
    assert inputs["view"].isna().tolist() == [False, True, False]
    assert inputs["none"].isna().all()
    assert (inputs["day"] == pd.Timestamp(day)).all()
    assert (inputs["zoned"] == pd.Timestamp(day)).all()


def test_numbers_beyond_what_the_types_hold_are_named_by_row(tmp_path):
    write(tmp_path, {"a": pa.array([1, 2**64 - 1], pa.uint64()), "y": [0, 1]})
    refused(tmp_path, match="row 1: column 'a' holds 18446744073709551615")
    write(tmp_path, {"a": pa.array([0, 10**10], pa.timestamp("s")), "y": [0, 1]})
    refused(tmp_path, match="row 1: column 'a' holds")


def test_a_long_text_that_a_dictionary_repeats_stays_small(tmp_path):
    rows = 200_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["long " * 100_000]))
    write(tmp_path, {"text": text, "y": np.arange(rows) % 2})
    assert (tmp_path / "t.parquet").stat().st_size < 2**20
    before = pa.total_allocated_bytes()
    lengths, arrow = set(), 0
    tracemalloc.start()
    try:
        with table(tmp_path, "t.parquet", columns={"text": ColumnConfig(type="text")}) as reader:
            for batch in reader.labelled(("0", "1")).batches(50_000):
                lengths |= {len(text) for text in batch.inputs["text"]}
                arrow = max(arrow, pa.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1] + arrow
    finally:
        tracemalloc.stop()
    assert lengths == {500_000}
    assert peak < 200 * 2**20
    refused(tmp_path, columns={"text": ColumnConfig(type="number")}, match="column 'text' holds long texts")


def test_what_the_footer_promises_is_held_against_limits(tmp_path, monkeypatch):
    write(tmp_path, {"a": np.arange(5000) / 7, "b": np.arange(5000) / 3, "y": np.arange(5000) % 2})
    monkeypatch.setattr(_parquet, "MAX_CHUNK_BYTES", 10_000)
    assert "row_group_size" in refused(tmp_path, match="column 'a' of row group 0 unpacks to").hint
    monkeypatch.undo()
    for name, limit, match in (
        ("MAX_ROWS", 4999, "has 5000 rows, the limit is 4999"),
        ("MAX_COLUMNS", 2, "has 3 columns, the limit is 2"),
        ("MAX_ROW_GROUPS", 0, "row groups, the limit is 0"),
    ):
        monkeypatch.setattr(_parquet, name, limit)
        refused(tmp_path, match=match)
        monkeypatch.undo()


def test_texts_and_categories_have_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(_watch, "MAX_CELL_BYTES", 100)
    write(tmp_path, {"a": ["x" * 101, "y"], "y": [0, 1]})
    refused(tmp_path, match="holds a text of 101 bytes, the limit is 100")
    for module in (_watch, _types):
        monkeypatch.setattr(module, "MAX_CATEGORIES", 10)
    write(tmp_path, {"a": [f"k{index % 20}" for index in range(400)], "y": [0, 1] * 200})
    with table(tmp_path, "t.parquet") as reader:
        assert [column.type for column in reader.columns] == ["text"]
    refused(tmp_path, columns={"a": ColumnConfig(type="category")}, match="more than 10 different values")


def test_a_csv_of_too_many_rows_stops(tmp_path, monkeypatch):
    from heliotrope.subjects.tables import _csv

    monkeypatch.setattr(_csv, "MAX_ROWS", 100)
    monkeypatch.setattr(_csv, "BLOCK_BYTES", 200)
    (tmp_path / "t.csv").write_text("a,y\n" + "1.5,0\n" * 10_000)
    refused(tmp_path, "t.csv", match="more than 100 rows")
    assert _rows.MAX_ROWS > 5_000_000
    assert _reader.MAX_KEPT_CELLS < 2**24
