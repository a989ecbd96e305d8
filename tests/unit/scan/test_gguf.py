"""GGUF files: every version and byte order, cut at every byte, announcing more than they hold."""

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import rules, scan_bytes
from tests.unit.scan.gguf_writer import F32, Q4_0, Gguf
from tests.unit.scan.repository_cases import GGUF, GOOD_GGUF, PAIRS

from heliotrope.scan import ScanLimits

EVIL = "{{ ''|attr('__cl' ~ 'ass__') }}"
TENSORS = [("blk.0.weight", [4], F32, 0), ("blk.1.weight", [32, 2], Q4_0, 32)]


@pytest.mark.parametrize(("version", "big"), [(1, False), (2, False), (3, False), (3, True)])
def test_every_version_and_byte_order_is_walked(version: int, big: bool, tmp_path: Path) -> None:  # noqa: FBT001
    writer = Gguf(version=version, big=big)
    good = writer.file(PAIRS, TENSORS, bytes(32 + 36))
    report = scan_bytes(tmp_path, good, "m.gguf")
    assert (report.format, report.verdict, report.findings, report.incomplete) == ("gguf", "clean", (), ())
    evil = writer.file([*PAIRS, ("tokenizer.chat_template.tool_use", EVIL)], TENSORS, bytes(32 + 36))
    report = scan_bytes(tmp_path, evil, "m.gguf")
    assert report.verdict == "malicious"
    assert report.findings[0].locations[0].member == "tokenizer.chat_template.tool_use"


def test_nested_arrays_and_templates_in_arrays_are_walked(tmp_path: Path) -> None:
    nested: list[tuple[str, Any]] = [("x", [[["a"], ["b", "c"]], [["d"]]]), ("tokenizer.chat_templates", ["ok", EVIL])]
    assert scan_bytes(tmp_path, GGUF.file(nested), "m.gguf").verdict == "malicious"
    deep: Any = "x"
    for _ in range(8):
        deep = [deep]
    report = scan_bytes(tmp_path, GGUF.file([("x", deep)]), "m.gguf")
    assert report.incomplete[0].limit == "max_gguf_depth"


def test_a_file_cut_anywhere_is_never_clean(tmp_path: Path) -> None:
    for end in range(4, len(GOOD_GGUF)):
        report = scan_bytes(tmp_path, GOOD_GGUF[:end], "m.gguf")
        assert report.verdict in ("incomplete", "suspicious"), end


def head(tensors: int, pairs: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest


@pytest.mark.parametrize(
    "data",
    [
        head(2**63, 0, bytes(100)),
        head(0, 2**63, bytes(100)),
        head(0, 1, struct.pack("<Q1sIIQ", 1, b"a", 9, 8, 2**62)),
        head(0, 1, struct.pack("<Q1sIIQ", 1, b"a", 9, 6, 2**62)),
        head(0, 1, struct.pack("<Q1sIQ", 1, b"a", 8, 2**63)),
        head(0, 1, struct.pack("<Q1sI", 1, b"a", 77) + bytes(40)),
        head(1, 0, struct.pack("<Q1sI4QIQ", 1, b"a", 4, 2**40, 2**40, 2**40, 1, 0, 0)),
        head(1, 0, struct.pack("<Q1sI", 1, b"a", 5) + bytes(60)),
        GGUF.file([("general.alignment", 0)]),
        GGUF.file([("general.alignment", 48)]),
    ],
)
def test_what_is_announced_allocates_nothing_and_is_no_pass(data: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, data, "m.gguf").verdict in ("incomplete", "suspicious")


def test_rows_that_are_no_whole_blocks_and_odd_alignment_are_found(tmp_path: Path) -> None:
    half = GGUF.file([], [("a", [16], Q4_0, 0)], bytes(32))
    assert "gguf-invalid-header" in rules(scan_bytes(tmp_path, half, "m.gguf"))
    odd = GGUF.file([], [("a", [4], F32, 4)], bytes(32))
    assert "gguf-invalid-header" in rules(scan_bytes(tmp_path, odd, "m.gguf"))
    wide = Gguf(alignment=64)
    pairs = [("general.alignment", 64)]
    tensors = [("a", [4], F32, 0), ("b", [4], F32, 64)]
    assert scan_bytes(tmp_path, wide.file(pairs, tensors, bytes(128)), "m.gguf").verdict == "clean"


@pytest.mark.parametrize(
    "data",
    [
        GGUF.file([], [("a", [4], 4711, 0)], bytes(32)),
        b"GGUF" + struct.pack("<I", 9) + bytes(40),
        b"tjgg" + bytes(40),
        b"lmgg" + bytes(40),
    ],
)
def test_unknown_types_and_versions_are_no_pass(data: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, data, "m.gguf").verdict in ("incomplete", "unsupported")


def test_limits_of_the_header_are_named(tmp_path: Path) -> None:
    data = GGUF.file([("a", ["x"] * 200)])
    report = scan_bytes(tmp_path, data, "m.gguf", limits=ScanLimits(max_gguf_items=100))
    assert report.incomplete[0].limit == "max_gguf_items"
    report = scan_bytes(tmp_path, data, "m.gguf", limits=ScanLimits(max_gguf_name=0))
    assert report.incomplete[0].limit == "max_gguf_name"
    report = scan_bytes(tmp_path, GGUF.file(PAIRS), "m.gguf", limits=ScanLimits(max_template=10))
    assert report.incomplete[0].limit == "max_template"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(4, len(GOOD_GGUF) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_never_stop_the_scanner(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD_GGUF)
    for place, value in changes:
        data[place] = value
    assert scan_bytes(tmp_path, bytes(data), "m.gguf").verdict
