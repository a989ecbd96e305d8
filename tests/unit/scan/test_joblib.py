"""joblib files: arrays between the opcodes are skipped by their size, and nothing behind them stays unseen."""

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, glob, rules, scan_bytes, text

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits

numpy = pytest.importorskip("numpy")
joblib = pytest.importorskip("joblib")

METHODS = ("zlib", "gzip", "bz2", "xz", "lzma")
PACK = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
}
NUMBERS = numpy.arange(12.0).reshape(3, 4)
PLAIN = pickle.dumps({"a": [1]})


def dumped(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


def assert_clean(report: FileReport, format_: str = "joblib") -> None:
    assert [item for item in report.findings if item.severity != "info"] == []
    assert report.incomplete == ()
    assert (report.format, report.verdict) == (format_, "clean")


ARRAYS = {
    "numbers": NUMBERS,
    "Fortran order": numpy.asfortranarray(NUMBERS),
    "foreign byte order": numpy.arange(5, dtype=">i2"),
    "records": numpy.zeros(2, dtype=numpy.dtype([("a", "i4"), ("b", "f8", (2, 3)), ("c", "U5")], align=True)),
    "text": numpy.array(["ab", "c"]),
    "bytes": numpy.array([b"ab"]),
    "empty": numpy.zeros((0, 3)),
    "no bytes": numpy.zeros(2, "U0"),
    "one": numpy.array(3),
    "dates": numpy.array(["2020-01-01"], "M8[D]"),
    "matrix": NUMBERS.view(numpy.matrix),
    "objects": numpy.array([1, "a", None, [2], NUMBERS], object),
    "records with objects": numpy.zeros(2, dtype=[("a", "i4"), ("b", "O")]),
}


@pytest.mark.parametrize("protocol", [None, 2, 3, 5])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_skipped_by_their_size(name: str, protocol: int | None, tmp_path: Path) -> None:
    array = ARRAYS[name]
    value = {"first": array, "type": array.dtype, "again": [array, array], "last": NUMBERS, "end": "text"}
    assert_clean(scan_bytes(tmp_path, dumped(value, protocol=protocol), "m.joblib"))


def test_mapped_arrays(tmp_path: Path) -> None:
    mapped = numpy.memmap(tmp_path / "numbers", dtype="f4", mode="w+", shape=(3,))
    assert_clean(scan_bytes(tmp_path, dumped([mapped, mapped]), "m.joblib"))


def test_a_mapped_array_s_class_is_harmless_nowhere_else(tmp_path: Path) -> None:
    mapped = numpy.memmap(tmp_path / "numbers", dtype="f4", mode="w+", shape=(3,))
    report = scan_bytes(tmp_path, dumped([mapped, numpy.memmap]), "m.joblib")
    assert (report.verdict, "pickle-dangerous-import" in rules(report)) == ("malicious", True)


@pytest.mark.parametrize("method", METHODS)
def test_compressed_files(method: str, tmp_path: Path) -> None:
    name = {"bz2": "bzip2"}.get(method, method)
    data = dumped([NUMBERS, numpy.zeros(2_000_000), "end"], compress=(method, 3))
    assert_clean(scan_bytes(tmp_path, data, "m.joblib"), f"joblib-{name}")
    assert_clean(scan_bytes(tmp_path, dumped({"a": 1}, compress=(method, 3)), "m.joblib"), f"pickle-{name}")


def test_several_streams_one_after_another_are_one_as_readers_have_it(tmp_path: Path) -> None:
    data = dumped([NUMBERS, "end"])
    assert_clean(scan_bytes(tmp_path, gzip.compress(data[:50]) + gzip.compress(data[50:]), "m.joblib"), "joblib-gzip")
    evil = b"\x80\x04" + SYSTEM + b"."
    report = scan_bytes(tmp_path, bz2.compress(evil[:5]) + bz2.compress(evil[5:]), "m.joblib")
    assert report.verdict == "malicious"


# what hides in them


@pytest.mark.parametrize("arrays", [1, 2, 5])
def test_a_payload_behind_arrays(arrays: int, tmp_path: Path) -> None:
    data = dumped([NUMBERS] * arrays)[:-2] + SYSTEM + b"e."
    report = scan_bytes(tmp_path, data, "m.joblib")
    assert (report.verdict, "pickle-dangerous-call" in rules(report)) == ("malicious", True)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("true",)


@pytest.mark.parametrize("method", [0, *METHODS])
def test_a_payload_inside_an_array_of_objects(method: object, tmp_path: Path) -> None:
    data = dumped([NUMBERS, numpy.array([Payload()], object), NUMBERS], compress=(method, 3) if method else 0)
    report = scan_bytes(tmp_path, data, "m.joblib")
    assert (report.verdict, report.incomplete) == ("malicious", ())


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("payload", [SYSTEM + b".", b"\x80\x04" + SYSTEM + b".", b"cos\nsystem\n(S'true'\ntR."])
def test_a_compressed_payload(packing: str, payload: bytes, tmp_path: Path) -> None:
    for name in ("m.joblib", "m.pkl", "m.txt", "m"):
        report = scan_bytes(tmp_path, PACK[packing](payload), name)
        assert (report.verdict, report.format) == ("malicious", f"pickle-{packing}")


@pytest.mark.parametrize("packing", PACK)
def test_a_compressed_stream_that_is_cut_or_followed_by_something_is_not_clean(packing: str, tmp_path: Path) -> None:
    whole = PACK[packing](dumped([NUMBERS, "end"]))
    for size in range(12, len(whole), 7):
        assert scan_bytes(tmp_path, whole[:size], "m.joblib").verdict in ("incomplete", "unsupported")
    assert scan_bytes(tmp_path, whole + b"more", "m.joblib").verdict == "suspicious"


def test_bombs_stop_at_their_limits(tmp_path: Path) -> None:
    bomb = zlib.compress(b"\x80\x04" + b"N0" * 3_000_000 + b"N.", 9)
    report = scan_bytes(tmp_path, bomb, "m.joblib", limits=ScanLimits(max_opcodes=100_000))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_opcodes")
    report = scan_bytes(tmp_path, bomb, "m.joblib", limits=ScanLimits(max_inflated_bytes=2**20))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_inflated_bytes")
    report = scan_bytes(tmp_path, bomb, "m.joblib", limits=ScanLimits(max_unpacked_bytes=2**20))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_unpacked_bytes")


def test_the_bytes_of_arrays_do_not_count_against_the_limit_of_what_is_read(tmp_path: Path) -> None:
    data = dumped([numpy.zeros(4_000_000), "end"], compress=3)
    assert_clean(scan_bytes(tmp_path, data, "m.joblib", limits=ScanLimits(max_inflated_bytes=4 * 2**20)), "joblib-zlib")


# descriptions that joblib does not write

WRAPPER = glob("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"


def described(
    *, shape: bytes = b"K\x02\x85", dtype: bytes | None = None, order: bytes = text("C"), more: bytes = b""
) -> bytes:
    """A wrapper's opcodes of protocol 2, without an alignment."""
    if dtype is None:
        dtype = glob("numpy", "dtype") + text("f8") + b"\x89\x88\x87R"
    parts = {
        "subclass": glob("numpy", "ndarray"),
        "shape": shape,
        "order": order,
        "dtype": dtype,
        "allow_mmap": b"\x88",
    }
    body = b"".join(text(key) + value for key, value in parts.items())
    return b"\x80\x02" + WRAPPER + b"}(" + body + more + b"ub"


def test_files_of_old_releases_have_no_padding(tmp_path: Path) -> None:
    assert_clean(scan_bytes(tmp_path, described() + bytes(16) + b".", "m.joblib"))


VOID = glob("numpy", "dtype") + text("V8") + b"\x89\x88\x87R"
ODD = {
    "a shape that is computed": described(shape=b"(K\x02" + glob("builtins", "abs") + b"t"),
    "a negative side": described(shape=b"J\xff\xff\xff\xff\x85"),
    "a huge side": described(shape=b"\x8a\x09" + bytes(8) + b"\x7f\x85"),
    "a list of sides": described(shape=b"]"),
    "another order": described(order=text("A")),
    "a key too many": described(more=text("x") + b"N"),
    "a key twice": described(more=text("shape") + b"K\x01\x85"),
    "a type that is text": described(dtype=text("f8")),
    "a type by another name": described(dtype=glob("numpy", "dtype") + text("float64") + b"\x89\x88\x87R"),
    "a type whose state sets its size below zero": described(
        dtype=VOID + b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffK\x01K\x00tb"
    ),
    "a type whose state is no state": described(dtype=VOID + b"Nb"),
    "a wrapper recalled": b"\x80\x02" + WRAPPER + b"q\x000h\x00" + described()[len(b"\x80\x02" + WRAPPER) :],
    "a wrapper inside a frame": b"\x80\x04\x95" + struct.pack("<Q", 300) + described()[2:] + bytes(300),
    "padding that is an opcode": described(more=text("numpy_array_alignment_bytes") + b"K\x10") + b"c",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_array_is_a_finding_and_the_rest_is_incomplete(name: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, ODD[name] + bytes(400) + b".", "m.joblib")
    assert report.verdict == "suspicious"
    assert "joblib-odd-array" in rules(report)
    assert report.incomplete


def test_a_type_that_is_changed_after_it_was_used_is_a_finding(tmp_path: Path) -> None:
    """The array's bytes hold opcodes that a reader runs which takes the type for a smaller one."""
    state = b"(K\x03" + text("|") + b"NNNK\x01K\x01K\x00tb"
    dtype = VOID + b"q\x05"
    data = described(dtype=dtype) + SYSTEM.ljust(16, b"0") + b"0h\x05" + state + b"."
    assert scan_bytes(tmp_path, data, "m.joblib").verdict in ("suspicious", "malicious")


def test_bytes_that_another_unpickler_would_run_count(tmp_path: Path) -> None:
    """joblib skips them; pickle.load does not know that they are an array's."""
    data = described(shape=b"K\x04\x85") + (SYSTEM + b".").ljust(32, b"\0") + b"."
    report = scan_bytes(tmp_path, data, "m.joblib")
    assert (report.verdict, "pickle-dangerous-call" in rules(report)) == ("malicious", True)


# damage

SAMPLE = dumped({"a": NUMBERS, "b": [numpy.array([1, "a"], object), numpy.array(["ab"])], "c": numpy.float32(1)})


def test_nothing_is_clean_that_was_cut(tmp_path: Path) -> None:
    assert_clean(scan_bytes(tmp_path, SAMPLE, "m.joblib"))
    for size in range(len(SAMPLE)):
        assert scan_bytes(tmp_path, SAMPLE[:size], "m.joblib").verdict != "clean", size


LOADER = """
import contextlib, io, pathlib, pickle, sys, warnings
from joblib.numpy_pickle import NumpyUnpickler

class Recorder(NumpyUnpickler):
    def find_class(self, module, name):
        print(f"{module}.{name}")
        if f"{module}.{name}" not in sys.argv[2:]:
            raise pickle.UnpicklingError(name)
        return super().find_class(module, name)

warnings.simplefilter("ignore")
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    print(path.name, file=sys.stderr, flush=True)
    with contextlib.suppress(Exception):  # a clean file may still be a broken one
        repr(Recorder("", io.BytesIO(path.read_bytes()), ensure_native_byte_order=False).load())
"""
"""joblib's own reader, which says what is imported and imports nothing that is not harmless."""

HARMLESS = {
    "joblib.numpy_pickle.NumpyArrayWrapper",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.matrix",
    "_codecs.encode",
}


def test_damage_neither_crashes_the_scan_nor_what_loads_a_clean_file(tmp_path: Path) -> None:
    choose = random.Random(0)
    (clean := tmp_path / "clean").mkdir()
    for number in range(1500):
        damaged = bytearray(SAMPLE)
        for _ in range(choose.choice((1, 1, 2))):
            damaged[choose.randrange(len(damaged))] = choose.choice((choose.randrange(256), 0, 1, 63, 255))
        if scan_bytes(tmp_path, bytes(damaged), "m.joblib").verdict == "clean":
            (clean / str(number)).write_bytes(damaged)
    done = subprocess.run([sys.executable, "-c", LOADER, clean, *HARMLESS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert set(done.stdout.split()) <= HARMLESS


TYPES = {
    "objects said to be numbers": (b"O8", b"N", b"N", b"J\xff\xff\xff\xff", 0),
    "numbers said to be objects": (b"f8", b"N", b"N", b"J\xff\xff\xff\xff", 63),
    "numbers said to be pointers": (b"i8", b"N", b"N", b"J\xff\xff\xff\xff", 4),
    "objects in a record of numbers": (b"V8", text("a") + b"\x85", b"}" + text("a") + b"OK\x00\x86s", b"K\x08", 0),
    "a field outside": (b"V8", text("a") + b"\x85", b"}" + text("a") + b"OK\x04\x86s", b"K\x08", 63),
    "text aligned to nothing": (b"U2", b"N", b"N", b"K\x08", 8),
    "a part of text": (b"U2", b"N", b"N", b"K\x07", 8),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_type_that_contradicts_itself_is_a_finding_in_any_pickle(name: str, tmp_path: Path) -> None:
    """numpy would take bytes of the file for the addresses of objects."""
    letter, names, fields, size, flags = TYPES[name]
    alignment = b"K\x00" if "nothing" in name else b"K\x01"
    objects = dtype_opcodes(b"O8", b"N", b"N", b"J\xff\xff\xff\xff", 63)
    built = dtype_opcodes(
        letter, names, fields.replace(b"O", objects, 1) if fields != b"N" else fields, size, flags, alignment=alignment
    )
    report = scan_bytes(tmp_path, b"\x80\x02" + built + b".", "m.pkl")
    assert (report.verdict, rules(report)) == ("suspicious", {"pickle-unknown-state"})


def dtype_opcodes(
    letter: bytes, names: bytes, fields: bytes, size: bytes, flags: int, *, alignment: bytes = b"K\x01"
) -> bytes:
    made = glob("numpy", "dtype") + text(letter.decode()) + b"\x89\x88\x87R"
    return (
        made
        + b"(K\x03"
        + text("|")
        + b"N"
        + names
        + fields
        + size
        + b"J\xff\xff\xff\xff"
        + b"K"
        + bytes([flags])
        + b"tb"
    )


# files of releases before 0.10


def zfile(data: bytes, *, announced: int | None = None, python2: bool = False) -> bytes:
    """As joblib 0.8 and 0.9 wrote with `compress`."""
    size = f"{len(data) if announced is None else announced:#x}"
    return b"ZF" + size.ljust(20 if python2 else 19).encode() + zlib.compress(data, 3)


@pytest.mark.parametrize("python2", [True, False])
def test_compressed_files_before_0_10(*, python2: bool, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, zfile(pickle.dumps({"a": 1}, 2), python2=python2), "m.joblib")
    assert (report.verdict, report.format, report.findings) == ("clean", "joblib-zfile", ())
    evil = b"\x80\x02" + SYSTEM + b"."
    assert scan_bytes(tmp_path, zfile(evil, python2=python2), "m").verdict == "malicious"
    (tmp_path / "real").write_bytes(zfile(b"\x80\x02K\x07.", python2=python2))
    with pytest.warns(DeprecationWarning, match="less than 0.10"):
        assert joblib.load(tmp_path / "real") == 7


def test_what_is_wrong_with_a_compressed_file_before_0_10_is_said(tmp_path: Path) -> None:
    whole = zfile(pickle.dumps({"a": [1, 2, 3]}, 2))
    for data in (whole[:-4], zfile(b"\x80\x02N.", announced=9), zfile(b"no pickle"), zfile(b""), whole[:21]):
        assert scan_bytes(tmp_path, data, "m.joblib").verdict in ("incomplete", "unsupported")


def test_arrays_in_files_of_their_own_are_suspicious(tmp_path: Path) -> None:
    """NDArrayWrapper reads any file that its state names."""
    wrapper = (
        glob("joblib.numpy_pickle", "NDArrayWrapper") + b")\x81}(" + text("filename") + text("../../x.npy") + b"ub."
    )
    for data in (b"\x80\x02" + wrapper, zfile(b"\x80\x02" + wrapper)):
        assert scan_bytes(tmp_path, data, "m.joblib").verdict == "suspicious"
