"""Zip files told in two ways, packed in each other, and of several formats at once."""

import struct
import zipfile
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, npy, rules, safetensors, scan_bytes, text, torch_zip, zipped

from heliotrope.scan import ScanLimits
from heliotrope.scan.archives.decompressors import ZIP_METHODS
from heliotrope.scan.limits import Budget
from heliotrope.scan.sources import BytesSource, SliceSource
from heliotrope.scan.unpacking import UnpackedSource

PLAIN = b"\x80\x02}" + text("a") + b"K\x01s."
PAYLOAD = b"\x80\x02" + SYSTEM + b"."


@pytest.mark.parametrize(
    "name", ["archive/data.pkl", "archive/data/0", "notes.txt", "archive/.hidden", "a/b/c.png", "x"]
)
@pytest.mark.parametrize("deflate", [False, True])
def test_a_payload_is_found_in_any_member(name: str, deflate: bool, tmp_path: Path) -> None:  # noqa: FBT001
    members = {"archive/data.pkl": PLAIN, "archive/version": b"3\n", name: PAYLOAD}
    report = scan_bytes(tmp_path, zipped(members, deflate=deflate), "m.pt")
    assert report.format == "torch-zip"
    assert report.verdict == "malicious"
    assert report.findings[0].locations[0].member == name


def test_a_payload_is_found_whatever_the_checksum_flags_or_names_say(tmp_path: Path) -> None:
    archive = torch_zip(PAYLOAD)
    directory = archive.index(b"PK\x01\x02")
    damages = {
        "checksum": (directory + 16, b"\1\2\3\4"),
        "local checksum": (14, b"\1\2\3\4"),
        "encrypted": (directory + 8, b"\1"),
        "local encrypted": (6, b"\1"),
        "local name": (30, b"qqqqqqq/data.txt"),
        "name": (directory + 46, b"qqqqqqq/data.txt"),
        "local method": (8, b"\x08"),
        "local size": (18, b"\x01"),
    }
    for label, (offset, new) in damages.items():
        changed = archive[:offset] + new + archive[offset + len(new) :]
        report = scan_bytes(tmp_path, changed, "m.pt")
        assert report.verdict == "malicious", label
        assert rules(report) & {"zip-disagreement", "zip-bad-checksum", "zip-encrypted"}, label
    for label, (offset, new) in damages.items():
        harmless = torch_zip(PLAIN)
        offset += harmless.index(b"PK\x01\x02") - directory if offset > 64 else 0  # noqa: PLW2901
        changed = harmless[:offset] + new + harmless[offset + len(new) :]
        assert scan_bytes(tmp_path, changed, "m.pt").verdict in ("incomplete", "suspicious"), label


@pytest.mark.parametrize("cut", [1, 10, 30, 120])
def test_an_archive_without_its_end_is_incomplete_and_its_members_are_inspected(cut: int, tmp_path: Path) -> None:
    archive = torch_zip(PAYLOAD)
    end = archive.index(b"PK\x01\x02") + 60
    report = scan_bytes(tmp_path, archive[: end - cut], "m.pt")
    assert report.verdict == "malicious"
    assert report.incomplete
    assert scan_bytes(tmp_path, torch_zip(PLAIN)[:-cut], "m.pt").verdict == "incomplete"


def test_end_records_that_contradict_each_other_are_found(tmp_path: Path) -> None:
    archive = torch_zip(PLAIN)
    end = archive.index(b"PK\x05\x06")
    fewer = bytearray(archive)
    struct.pack_into("<H", fewer, end + 10, 1)
    assert "zip-disagreement" in rules(scan_bytes(tmp_path, bytes(fewer), "m.pt"))


def test_both_parts_of_a_polyglot_are_analysed(tmp_path: Path) -> None:
    for front, back in ((PAYLOAD, PLAIN), (PLAIN, PAYLOAD)):
        report = scan_bytes(tmp_path, front + torch_zip(back), "m.pt")
        assert report.verdict == "malicious"
        assert report.format == "pickle"
        assert "file-polyglot" in rules(report)


def test_safetensors_with_an_archive_behind_it_is_a_polyglot(tmp_path: Path) -> None:
    tensors = safetensors({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"\0")
    report = scan_bytes(tmp_path, tensors + zipped({"a.pkl": PAYLOAD}), "m.safetensors")
    assert report.verdict == "malicious"
    assert {"file-polyglot", "safetensors-trailing-data"} <= rules(report)


def test_a_safetensors_header_whose_length_looks_like_a_pickle_is_no_polyglot(tmp_path: Path) -> None:
    """640 is 80 02 in bytes, the header of a pickle; 11912 is NEWTRUE and STOP."""
    for length in (640, 11912):
        entry = '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
        report = scan_bytes(tmp_path, safetensors(entry.ljust(length), b"\0"), "m.safetensors")
        assert (report.format, report.verdict, report.findings) == ("safetensors", "clean", ())


def test_raw_weights_that_begin_like_a_pickle_are_weights(tmp_path: Path) -> None:
    for start in (b"\x80\x02\xff\xff", b"N.\0\0", b"\x80\x04\x95\0"):
        report = scan_bytes(tmp_path, torch_zip(PLAIN, **{"data/1": start + bytes(60)}), "m.pt")
        assert (report.verdict, report.findings) == ("clean", ())


def test_a_tar_header_over_a_pickle_hides_nothing(tmp_path: Path) -> None:
    for front, verdict in ((PLAIN, "unsupported"), (PAYLOAD, "malicious")):
        block = bytearray(512)
        block[: len(front)] = front
        block[148:156] = b" " * 8
        block[148:156] = f"{sum(block):06o}\0 ".encode()
        report = scan_bytes(tmp_path, bytes(block), "m.pt")
        assert report.verdict == verdict
        assert ("file-polyglot" in rules(report)) == (verdict == "malicious")


def test_archives_in_archives_are_opened_down_to_the_limit(tmp_path: Path) -> None:
    nested = PAYLOAD
    for _ in range(ScanLimits().max_depth):
        nested = zipped({"inner.zip": nested}, deflate=True)
    assert scan_bytes(tmp_path, nested, "m.zip").verdict == "malicious"
    report = scan_bytes(tmp_path, zipped({"inner.zip": nested}), "m.zip")
    assert report.verdict == "incomplete"
    assert report.incomplete[0].limit == "max_depth"


def test_what_cannot_be_opened_inside_is_incomplete(tmp_path: Path) -> None:
    for data in (b"7z\xbc\xaf\x27\x1c" + bytes(26), b"Rar!\x1a\x07\x01\0", b"\x89HDF\r\n\x1a\n" + bytes(20)):
        report = scan_bytes(tmp_path, torch_zip(PLAIN, extra=data), "m.pt")
        assert report.verdict == "incomplete"
    archive = bytearray(zipped({"a.pkl": PLAIN}))
    archive[8] = archive[archive.index(b"PK\x01\x02") + 10] = 12  # bzip2
    assert scan_bytes(tmp_path, bytes(archive), "m.zip").verdict == "incomplete"


def test_an_archive_without_any_model_is_unsupported_when_named(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, zipped({"a.txt": b"hello"}), "m.zip").verdict == "unsupported"
    keras = zipped({"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n"})
    assert scan_bytes(tmp_path, keras, "m.keras").verdict == "incomplete"


def test_object_arrays_in_npz_are_inspected(tmp_path: Path) -> None:
    header = "{'descr': [('a', '<i4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,), }"
    for deflate in (False, True):
        archive = zipped({"a.npy": npy(header, PAYLOAD)}, deflate=deflate)
        report = scan_bytes(tmp_path, archive, "m.npz")
        assert (report.format, report.verdict) == ("npz", "malicious")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'shape': (1,), }",
        "{'descr': ['x'], 'fortran_order': False, 'shape': (1,), }",
        "[" * 4000,
        "-" * 9000 + "1",
        "9" * 9000,
        "",
        "'\\q'",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }",
    ],
)
def test_headers_of_arrays_that_say_nonsense_are_incomplete_at_least(header: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, npy(header, bytes(8)), "m.npy")
    assert report.verdict in ("incomplete", "suspicious")
    assert report.incomplete


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 2**39) + b"{",
        struct.pack("<Q", 100) + b"{}",
        safetensors("[]", b""),
        safetensors("{" + '"a":{' * 5000 + "}" * 5001, b""),
        safetensors('{"a": ' + "1" * 10_000 + "}", b""),
        safetensors('{"a": NaN}', b""),
        safetensors({"a": {"dtype": "F32", "shape": [2**53], "data_offsets": [0, 4]}}, b"0000"),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"0000"),
        safetensors({"a": {"dtype": ["F32"], "shape": [True], "data_offsets": [0, 4]}}, b"0000"),
        safetensors({"__metadata__": {"a": 1}}, b""),
        safetensors('{"\\ud800": 1}', b""),
    ],
)
def test_malformed_safetensors_are_never_clean(data: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, data, "m.safetensors").verdict in ("incomplete", "suspicious")


@given(st.binary(max_size=300_000), st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 5000)), max_size=8))
def test_a_deflated_member_reads_like_the_bytes_it_holds(data: bytes, reads: list[tuple[int, int]]) -> None:
    packed = zipped({"a": data}, deflate=True)
    limits = ScanLimits()
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        size = archive.infolist()[0].compress_size
    stored = SliceSource(BytesSource(packed), 31, size)
    source = UnpackedSource(stored, partial(ZIP_METHODS[8], 0), limits=limits, budget=Budget.of(limits))
    for offset, length in [*reads, (0, len(data))]:
        assert source.read(offset, length) == data[offset : offset + length]
