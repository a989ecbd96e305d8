"""Arrays of objects: numpy takes as many items from the list in a state as the shape has places, whatever its length."""

import io
import pickle
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, glob, rules, scan_bytes, text

numpy = pytest.importorskip("numpy")
joblib = pytest.importorskip("joblib")

ARRAYS = {
    "one": numpy.array(None, object),
    "empty": numpy.zeros((0, 3), object),
    "some": numpy.array([1, "a", None], object),
    "two dimensions": numpy.array([[1, "a"], [(), {}]], object),
    "four dimensions": numpy.full((2, 1, 3, 2), "x", object),
    "many": numpy.array([str(number) for number in range(70_000)], object),
    "arrays in it": numpy.array([numpy.array([None, numpy.arange(3)], object), numpy.arange(2), {}], object),
    "records": numpy.zeros(3, dtype=[("a", "i4"), ("b", "O")]),
    "Fortran order": numpy.asfortranarray(numpy.full((3, 2), "x", object)),
    "a matrix": numpy.full((2, 2), "x", object).view(numpy.matrix),
    "numbers": numpy.arange(12.0).reshape(3, 4),
    "masked": numpy.ma.array([1.0, 2.0], mask=[0, 1]),
    "no bytes": numpy.zeros(0),
}


def dumped(value: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ARRAYS)
def test_what_numpy_writes_is_clean(name: str, tmp_path: Path) -> None:
    value = {"a": ARRAYS[name], "b": [ARRAYS[name], ARRAYS[name].copy()], "c": ("x", ARRAYS[name].dtype)}
    for data in (*(pickle.dumps(value, protocol) for protocol in range(6)), dumped(value)):
        report = scan_bytes(tmp_path, data)
        assert [item for item in report.findings if item.severity != "info"] == []
        assert report.verdict == "clean"


ARRAY = glob("numpy.core.multiarray", "_reconstruct") + glob("numpy", "ndarray") + b"K\0\x85C\x01b\x87R"
OBJECTS = (
    glob("numpy", "dtype")
    + text("O8")
    + b"\x89\x88\x87R(K\x03"
    + text("|")
    + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"
)


def array(
    content: bytes, *, shape: bytes = b"K\x02\x85", before: bytes = b"", made: bytes = ARRAY, tail: bytes = b"tb"
) -> bytes:
    return made + b"(" + before + b"K\x01" + shape + OBJECTS + b"\x89" + content + tail


def test_the_list_must_fill_the_shape(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, b"\x80\x03" + array(b"](NNe") + b".").verdict == "clean"
    assert scan_bytes(tmp_path, b"\x80\x03" + array(b"]NaNa") + b".").verdict == "clean"
    assert scan_bytes(tmp_path, b"\x80\x03" + array(b"](NNNe") + b".").verdict == "clean"


LISTS = {
    "nothing": array(b"]"),
    "too few": array(b"](Ne"),
    "too few for two sides": array(b"](NNNe", shape=b"K\x02K\x02\x86"),
    "too few for many sides": array(b"](NNNe", shape=b"(K\x01K\x02K\x01K\x02t"),
    "a huge shape": array(b"](NNNe", shape=b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85"),
    "a shape below zero": array(b"](NNNe", shape=b"J\xff\xff\xff\xff\x85"),
    "a list from the memo": b"](Neq\x000" + array(b"h\x00"),
    "a list whose items are taken away": array(b"](NNe" + glob("builtins", "slice") + b"NNN\x87R]s"),
    "the same, put away before": b"](NNeq\x00" + glob("builtins", "slice") + b"NNN\x87R]s0" + array(b"h\x00"),
    "a list that is computed": array(glob("builtins", "list") + b")R"),
    "a shape that is computed": array(b"](NNe", shape=glob("builtins", "tuple") + b")R"),
    "a shape from the memo": b"K\x09\x85q\x000" + array(b"](NNe", shape=b"h\x00"),
    "something before the state": array(b"](NNe", before=b"N0"),
    "a state from the memo": b"(K\x01K\x02\x85" + OBJECTS + b"\x89](Netq\x000" + ARRAY + b"h\x00b",
    "a state that is made once more": array(b"](NNe", tail=b"tq\x000)\x85\x850h\x00b"),
    "a made array": array(b"](Ne", made=glob("numpy", "ndarray") + b"K\x00\x85\x85\x81"),
    "the old form": ARRAY + b"(K\x02\x85" + OBJECTS + b"\x89](Netb",
    "another array's beginning": ARRAY + b"0" + ARRAY + b"](Ne0(K\x01K\x02\x85" + OBJECTS + b"\x89](Netb",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_may_be_too_short_is_a_finding(name: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x03" + LISTS[name] + b".")
    assert report.verdict == "suspicious"
    assert "pickle-unknown-state" in rules(report)


def test_inside_joblib_files_too(tmp_path: Path) -> None:
    data = dumped([numpy.array([1, "a", None], object)])
    shape = data.index(b"K\x03\x85", data.index(b"_reconstruct"))
    report = scan_bytes(tmp_path, data[:shape] + b"K\x04\x85" + data[shape + 3 :])
    assert (report.verdict, rules(report)) == ("suspicious", {"pickle-unknown-state"})


def test_what_stands_in_the_list_is_judged(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, b"\x80\x03" + array(b"](N" + SYSTEM + b"e") + b".").verdict == "malicious"
