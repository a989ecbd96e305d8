"""Native files of boosted trees, and tables: whole ones are clean, anything cut or foreign is not."""

import json
import struct
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import rules, scan_bytes

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import scan_paths
from heliotrope.scan.sources import BytesSource
from heliotrope.scan.wire import json_stream, ubjson
from heliotrope.scan.wire.json_stream import JsonError, walk_json
from heliotrope.scan.wire.ubjson import UbjsonError, walk_ubjson

numpy = pytest.importorskip("numpy")


def assert_clean(report: FileReport, format_: str) -> None:
    assert (report.format, report.verdict, report.findings, report.incomplete) == (format_, "clean", (), ())


@pytest.fixture(scope="module")
def samples() -> tuple[object, object]:
    values = numpy.random.default_rng(0).normal(size=(60, 4))
    return values, (values[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def files(samples: tuple[object, object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Native files by name, as their libraries write them."""
    xgboost = pytest.importorskip("xgboost")
    lightgbm = pytest.importorskip("lightgbm")
    catboost = pytest.importorskip("catboost")
    folder = tmp_path_factory.mktemp("trees")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for booster in ("gbtree", "gblinear", "dart"):
            model = xgboost.XGBClassifier(n_estimators=2, booster=booster, n_jobs=1).fit(*samples)
            model.save_model(folder / f"{booster}.json")
            model.save_model(folder / f"{booster}.ubj")
        light = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, n_jobs=1).fit(*samples)
        light.booster_.save_model(folder / "light.txt")
        cat = catboost.CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False, thread_count=1).fit(
            *samples
        )
        cat.save_model(str(folder / "cat.cbm"))
        cat.save_model(str(folder / "cat.json"), format="json")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


FORMATS = {
    "gbtree.json": "xgboost-json",
    "gblinear.json": "xgboost-json",
    "dart.json": "xgboost-json",
    "gbtree.ubj": "xgboost-ubj",
    "gblinear.ubj": "xgboost-ubj",
    "dart.ubj": "xgboost-ubj",
    "light.txt": "lightgbm",
    "cat.cbm": "catboost",
    "cat.json": "catboost-json",
}


@pytest.mark.parametrize("name", FORMATS)
def test_native_files_are_clean_under_any_name(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    for called in (name, "model"):
        assert_clean(scan_bytes(tmp_path, files[name], called), FORMATS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_clean_that_was_cut_or_continued(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    data = files[name]
    whole = data.rfind(b"end of parameters") if name == "light.txt" else len(data.rstrip())
    sizes = {*range(1, whole, max(whole // 150, 1)), whole - 1, whole - 2}
    for size in sizes:
        assert scan_bytes(tmp_path, data[:size], name).verdict != "clean", size
    more = b"\0" if name == "light.txt" else b"more"
    assert scan_bytes(tmp_path, data + more, name).verdict == "incomplete"


def test_a_model_with_other_parts_is_not_called_clean(files: dict[str, bytes], tmp_path: Path) -> None:
    model = json.loads(files["gbtree.json"])
    for change in (
        lambda it: it.update(code="x"),
        lambda it: it["learner"].update(code="x"),
        lambda it: it["learner"].pop("objective"),
        lambda it: it.pop("version"),
    ):
        changed = json.loads(json.dumps(model))
        change(changed)
        data = json.dumps(changed).encode()
        assert scan_bytes(tmp_path, data, "m.json").verdict == "incomplete"
    twice = files["gbtree.json"].replace(b'"version":', b'"version":[1],"version":')
    assert "twice" in scan_bytes(tmp_path, twice, "m.json").incomplete[0].reason


def test_other_json_is_no_model(tmp_path: Path) -> None:
    for data in (b'{"learner_rate": 1}', b'{"a": {"learner": 1}}', b"[]"):
        assert scan_bytes(tmp_path, data, "m.json").format == "json"
    assert scan_bytes(tmp_path, b'{"version": [1', "m.json").verdict == "incomplete"


@pytest.mark.parametrize("name", ["gbtree.json", "gbtree.ubj", "light.txt", "cat.cbm"])
@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_damage_never_crashes(
    name: str, place: float, value: int, files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = files[name]
    at = int(place * len(data))
    damaged = data[:at] + bytes([value]) + data[at + 1 :]
    assert scan_bytes(tmp_path_factory.getbasetemp(), damaged, name).verdict in ("clean", "incomplete", "unsupported")


# JSON

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def walked(data: bytes) -> bool:
    try:
        list(walk_json(BytesSource(data)))
    except JsonError:
        return False
    return True


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_any_json_is_walked(value: object, indent: int | None, escaped: bool) -> None:  # noqa: FBT001
    assert walked(json.dumps(value, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


@settings(max_examples=400)
@given(st.text('{}[]:,"01-.eE \\unt', max_size=12).map(str.encode))
def test_the_walk_accepts_what_json_is_and_nothing_else(data: bytes) -> None:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError
        return found

    try:
        json.loads(data, object_pairs_hook=unique)
    except ValueError:
        assert not walked(data)
    else:
        assert walked(data)


def test_windows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": [1.5, -2, 3e10] * 20, "b": {"c": ["text" * 5, {"d": None}], "e": [[], {}, [0]]}, "f": "x" * 90}
    data = json.dumps(value).encode()
    expected = _told(data)
    for window in range(1, 80):
        monkeypatch.setattr(json_stream, "_WINDOW", window)
        assert _told(data) == expected


def _told(data: bytes) -> list[object]:
    """All but the numbers of arrays, of which as many are passed over as a window holds."""
    return [
        (place, token) for place, token in walk_json(BytesSource(data)) if not (place[-1:] == ("",) and token[0] < 65)
    ]


def test_limits_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not walked(b"[" * 200 + b"]" * 200)
    monkeypatch.setattr(json_stream, "MAX_TOKEN", 100)
    monkeypatch.setattr(json_stream, "_WINDOW", 50)
    assert not walked(b'"' + b"a" * 1000 + b'"')
    monkeypatch.setattr(json_stream, "_MAX_TOKENS", 50)
    assert not walked(b"[" + b'"a",' * 100 + b"0]")


# UBJSON


def packed(value: object) -> bytes:
    """UBJSON of a value, without types for whole containers."""
    if isinstance(value, dict):
        return b"{" + b"".join(packed(key)[1:] + packed(item) for key, item in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b"".join(map(packed, value)) + b"]"
    if isinstance(value, str):
        data = value.encode()
        return b"SL" + struct.pack(">q", len(data)) + data
    return b"L" + struct.pack(">q", value)


@given(
    st.recursive(
        st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
        max_leaves=20,
    )
)
def test_any_ubjson_is_walked_and_none_that_was_cut(value: object) -> None:
    data = packed(value)
    assert next(walk_ubjson(BytesSource(data)))
    assert _ends(data)
    assert not any(_ends(data[:size]) for size in range(len(data)))


def _ends(data: bytes) -> bool:
    try:
        list(walk_ubjson(BytesSource(data)))
    except UbjsonError:
        return False
    return True


@settings(max_examples=400)
@given(st.binary(max_size=40))
def test_any_bytes_end_the_walk(data: bytes) -> None:
    _ends(data)
    _ends(b"[" + data)


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"[$d#U\x02" + bytes(8), True),
        (b"[$d#U\x02" + bytes(7), False),
        (b"[#U\x02U\x01U\x02", True),
        (b"[#U\x00", True),
        (b"{#U\x02U\x01aTU\x01bF", True),
        (b"{$U#U\x01U\x01a\x05", True),
        (b"{U\x01aTU\x01aT}", False),
        (b"[$T#L" + struct.pack(">q", 2**40), False),
        (b"[$S#U\x01U\x02ab", True),
        (b"[$d" + bytes(9), False),
        (b"SL" + struct.pack(">q", -1), False),
        (b"[" * 200 + b"]" * 200, False),
        (b"[" * 20 + b"]" * 20, True),
    ],
)
def test_the_forms_of_ubjson(data: bytes, whole: bool) -> None:  # noqa: FBT001
    assert _ends(data) is whole


def test_values_of_ubjson_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ubjson, "_MAX_VALUES", 10)
    assert not _ends(b"[" + b"T" * 20 + b"]")


# tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder = tmp_path_factory.mktemp("tables")
    table = pandas.DataFrame({"a": [1.5, None], "name": ["x", "ü"]})
    table.to_parquet(folder / "t.parquet")
    table.to_feather(folder / "t.feather")
    table.to_csv(folder / "t.csv")
    table.to_csv(folder / "t.tsv", sep="\t")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "format_"), [("t.parquet", "parquet"), ("t.feather", "arrow"), ("t.csv", "csv"), ("t.tsv", "tsv")]
)
def test_tables_are_data(name: str, format_: str, tables: dict[str, bytes], tmp_path: Path) -> None:
    assert_clean(scan_bytes(tmp_path, tables[name], name), format_)
    (folder := tmp_path / "folder").mkdir()
    (folder / name).write_bytes(tables[name])
    document = scan_paths([folder])
    assert (document.verdict, document.summary.files_judged) == ("clean", 0)


@pytest.mark.parametrize("name", ["t.parquet", "t.feather"])
def test_a_cut_table_is_not_clean(name: str, tables: dict[str, bytes], tmp_path: Path) -> None:
    data = tables[name]
    for size in {*range(8, len(data), 97), len(data) - 1}:
        assert scan_bytes(tmp_path, data[:size], name).verdict != "clean"


def test_the_schema_of_arrow_is_searched_in_both_its_places(tables: dict[str, bytes], tmp_path: Path) -> None:
    data = tables["t.feather"]
    for place in (40, len(data) - 300):
        bad = data[:place] + b"arrow.py_extension_type" + data[place + 23 :]
        report = scan_bytes(tmp_path, bad, "t.feather")
        assert (report.verdict, rules(report)) == ("suspicious", {"arrow-python-type"})


def test_text_that_is_none_is_no_table(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, b"a,b\0\n1,2\n", "t.csv").format == "unknown"
    late = b"a,b\n" * 3000 + b"\0"
    assert scan_bytes(tmp_path, late, "t.csv").verdict == "incomplete"


def test_a_pickle_called_csv_is_judged_as_a_pickle(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"cos\nsystem\n(S'true'\ntR.", "t.csv")
    assert (report.verdict, "pickle-dangerous-call" in rules(report)) == ("malicious", True)


def test_a_tokenizer_is_no_model_of_xgboost(tmp_path: Path) -> None:
    """Both begin with a version; XGBoost's is a list of numbers."""
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0", "truncation": null, "added_tokens": [], "model": {"type": "WordPiece"}}')
    (report,) = scan_paths([path]).files
    assert report.format != "xgboost-json"


def test_a_version_alone_makes_no_model(tmp_path: Path) -> None:
    for data in (b'{"version": 1, "builds": []}', b'{"version": "1.0", "added_tokens": []}', b'{"learner": "adam"}'):
        assert scan_bytes(tmp_path, data, "m.json").format == "json"
    assert scan_bytes(tmp_path, b'{"version": [1, 7, 6], "x": 1}', "m.json").verdict == "incomplete"
