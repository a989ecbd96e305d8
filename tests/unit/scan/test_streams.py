"""Several pickles in a file, what hides between them, and what stands behind a limit."""

import pickle
import random
import zlib
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, call, glob, rules, scan_bytes, text, torch_zip

from heliotrope.scan import ScanLimits

FIRST = pickle.dumps({"a": 1}, 4)
CALL = b"(S'x'\ntR."


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


HEADERLESS = {
    "GLOBAL": glob("posix", "system") + CALL,
    "INST": b"(S'x'\niposix\nsystem\n.",
    "short texts": short("posix") + short("system") + b"\x93" + CALL,
    "short texts, memoized": short("posix") + b"\x94" + short("system") + b"\x94\x93" + CALL,
    "texts": text("posix") + text("system") + b"\x93" + CALL,
    "texts, put away": text("posix") + b"q\x00" + text("system") + b"q\x01\x93" + CALL,
    "texts, put far away": text("posix") + b"r\x00\x10\0\0" + text("system") + b"r\x01\x10\0\0\x93" + CALL,
    "strings of Python 2": b"U\x05posixU\x06system\x93" + CALL,
    "quoted strings": b"S'posix'\np0\nS'system'\np1\n\x93" + CALL,
    "lines": b"Vposix\np0\nVsystem\np1\n\x93" + CALL,
}


@pytest.mark.parametrize("name", HEADERLESS)
def test_a_payload_without_header_behind_junk(name: str, tmp_path: Path) -> None:
    for junk in (b"junk ", bytes(1000), b"\xff\xfe", random.Random(0).randbytes(5000)):
        assert scan_bytes(tmp_path, FIRST + junk + HEADERLESS[name]).verdict == "malicious", junk[:9]


@pytest.mark.parametrize("protocol", range(6))
def test_a_payload_with_any_header_behind_junk(protocol: int, tmp_path: Path) -> None:
    hidden = bytes([0x80, protocol]) + b"(" + glob("acme.plugins", "load") + text("x") + b"o."
    report = scan_bytes(tmp_path, FIRST + b"\xff junk" + hidden)
    assert (report.verdict, "pickle-hidden-stream" in rules(report)) == ("suspicious", True)


IMPORTS = {
    "in the first, broken": b"]cplanted.sub\nx\n",
    "in the first, broken later": b")cplanted\nx\no\x80\x03R.",
    "in the first, without its newline": b"\x80\x03cplanted.sub\nx",
    "in the second": b"\x88\x80\x03.cplanted\nx\n",
    "in the second, broken later": FIRST + b"cplanted\nx\nZZZ",
    "of a name that is none": b"]cplanted\n\x0c\n",
    "of a name that is none, broken later": b")cplanted\n\x17\0oR.",
    "of a name that is none, in the second": FIRST + b"cplanted\nK\x01u.cplanted\nx\n\xf6",
    "of a module with other letters": b"]cmod\xc3\xa8le-2\nx\n",
    "in the second, without its newline": FIRST + b"cplanted\nx",
    "in the second, with a header": FIRST + b"\x80\x04" + short("planted") + short("x") + b"\x93\xff",
}


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_is_suspicious_also_where_the_stream_breaks(name: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, IMPORTS[name])
    assert (report.verdict, "pickle-unknown-import" in rules(report)) == ("suspicious", True)


def test_a_payload_behind_bytes_that_no_reader_takes(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, b"\0\0" + HEADERLESS["GLOBAL"]).verdict == "malicious"
    assert scan_bytes(tmp_path, b"\0\0" + b"no model at all").verdict == "incomplete"


@pytest.mark.parametrize(
    "words", [b"cat\ndog\nmouse\n", b"New York\ncairo\nberlin\n", b"Vienna\ncairo\nberlin\n", b"(c) 2020\nAcme\n"]
)
def test_lists_of_words_are_no_pickles(words: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, words, "labels.txt")
    assert report.findings == ()
    assert scan_bytes(tmp_path, FIRST + b"The following\n" + words).verdict == "clean"


def test_a_zip_file_whose_header_is_ascii_is_no_pickle(tmp_path: Path) -> None:
    """PK is a persistent id up to the first newline, and what follows in a stored pickle goes on."""
    pickled = b"\x80\x02" + glob("collections", "OrderedDict") + b")R."
    number = next(
        number for number in range(10**6) if zlib.crc32(pickled + b"%d" % number).to_bytes(4, "big").isascii()
    )
    report = scan_bytes(tmp_path, torch_zip(pickled + b"%d" % number), "m.pt")
    assert (report.verdict, report.format) == ("clean", "torch-zip")


def test_a_later_stream_may_use_what_an_earlier_one_put_away(tmp_path: Path) -> None:
    """One unpickler that loads several keeps its memo."""
    first = b"\x80\x04" + text("posix") + b"\x94" + text("system") + b"\x940."
    second = b"\x80\x04h\x00h\x01\x93" + CALL
    report = scan_bytes(tmp_path, first + second)
    assert (report.verdict, "pickle-computed-name" in rules(report)) == ("malicious", True)
    assert scan_bytes(tmp_path, first + second[:-1]).verdict == "malicious"
    assert scan_bytes(tmp_path, first + pickle.dumps([1, 2], 4)).verdict == "clean"


@pytest.mark.parametrize("name", HEADERLESS)
def test_behind_a_limit_the_search_goes_on(name: str, tmp_path: Path) -> None:
    idle = (
        bytes(random.Random(0).choice(b"NNN\x88") for _ in range(30_000))
        .replace(b"N", b"N0")
        .replace(b"\x88", b"\x880")
    )
    data = b"\x80\x04" + idle + HEADERLESS[name]
    report = scan_bytes(tmp_path, data, limits=ScanLimits(max_opcodes=20_000))
    assert report.verdict == "malicious"
    assert [item.limit for item in report.incomplete] == ["max_opcodes"]


def test_a_flood_of_harmless_things_hides_nothing(tmp_path: Path) -> None:
    classes = b"".join(glob("sklearn.linear_model", f"Model{number}") + b"0" for number in range(1500))
    flood = scan_bytes(tmp_path, b"\x80\x04" + classes + SYSTEM + b".")
    assert (flood.verdict, flood.findings[0].rule) == ("malicious", "pickle-dangerous-call")
    names = b"".join(glob("numpy", f"f{number}") + b"0" for number in range(5_001))
    many = scan_bytes(tmp_path, b"\x80\x04" + names + b"N.")
    assert many.verdict == "suspicious"
    assert "max_globals" in [item.limit for item in many.incomplete]


def test_bytes_in_bytes_beyond_all_depth_are_suspicious(tmp_path: Path) -> None:
    inner = b"\x80\x04N."
    for _ in range(7):
        stored = b"B" + len(inner).to_bytes(4, "little") + inner
        inner = b"\x80\x04" + call(glob("torch.storage", "_load_from_bytes"), stored) + b"."
    report = scan_bytes(tmp_path, inner)
    assert report.verdict == "suspicious"
    assert "max_depth" in [item.limit for item in report.incomplete]
