"""Files made to exhaust a scanner: they end as incomplete, soon and in little memory."""

import bz2
import gzip
import json
import lzma
import os
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from tests.unit.scan.archive_builder import block, padded
from tests.unit.scan.assembler import SYSTEM, safetensors, scan_bytes, text, torch_zip, zipped

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits

MEMORY = 256 * 2**20
"""Peak of the process, the interpreter included."""

CPU_SECONDS = 60
"""Of a slow machine under load; the figures are in bench/."""

_SCAN = """
import json, sys
from pathlib import Path
from heliotrope.scan import scan_paths
document = scan_paths([Path(sys.argv[1])])
status = Path("/proc/self/status")  # ru_maxrss begins with the peak of the process that started this one
lines = status.read_text().splitlines() if status.exists() else ["VmHWM: 0 kB"]
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
print(json.dumps({"report": document.document()["files"][0], "peak": peak}))
"""


def scan_apart(path: Path) -> FileReport:
    """Scan in a process of its own, which must not take more than MEMORY."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))

    done = subprocess.run(
        [sys.executable, "-c", _SCAN, str(path)], capture_output=True, text=True, check=True, preexec_fn=limit
    )
    answer = json.loads(done.stdout)
    assert answer["peak"] < MEMORY
    return FileReport.model_validate(answer["report"])


def bomb(filler: bytes, size: int) -> bytes:
    """A torch archive whose pickle unpacks to `size` bytes, made without unpacking it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = filler * (2**20 // len(filler))
    head = b"\x80\x04"
    crc = zlib.crc32(head)
    packed = [packer.compress(head)]
    for _ in range(size // len(block)):
        packed.append(packer.compress(block))
        crc = zlib.crc32(block, crc)
    data = b"".join([*packed, packer.flush()])
    total = 2 + size // len(block) * len(block)
    name = b"archive/data.pkl"
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 33, crc, len(data), total, len(name), 0) + name + data
    central = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, crc, len(data), total, len(name), *[0] * 6)
    central += name
    return local + central + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)


def long_pickle(path: Path, unit: bytes, count: int, tail: bytes) -> None:
    with path.open("wb") as file:
        file.write(b"\x80\x04")
        for _ in range(count // 10_000):
            file.write(unit * 10_000)
        file.write(tail)


def nested_zips(depth: int) -> bytes:
    """As 42.zip: several archives in each, at the bottom one that unpacks to much."""
    inner = zipped({"0": b"N0" * 2**23}, deflate=True)
    for _ in range(depth):
        inner = zipped({f"{number}.zip": inner for number in range(2)}, deflate=True)
    return inner


def endless_hole() -> bytes:
    """A sparse member that begins like a pickle and goes on with eight GiB of zeros."""
    data = b"\x80\x04N0"
    changes = {386: b"%011o\0%011o\0" % (0, len(data)), 483: b"77777777777\0"}
    return block("a.pkl", len(data), kind=b"S", changes=changes) + padded(data) + bytes(1024)


CASES = {
    "zip bomb of pushes": lambda path: path.write_bytes(bomb(b"N", 300 * 2**20)),
    "zip bomb of zeros": lambda path: path.write_bytes(bomb(b"B\0\0\0\0", 600 * 2**20)),
    "endless stack": lambda path: long_pickle(path, b"N", 20_000_000, b"."),
    "endless marks": lambda path: long_pickle(path, b"(", 20_000_000, b"."),
    "endless memo": lambda path: long_pickle(path, b"N\x940", 20_000_000, b"."),
    "endless nesting": lambda path: long_pickle(path, b"\x85", 20_000_000, b"."),
    "sparse memo": lambda path: path.write_bytes(
        b"\x80\x04N" + b"".join(b"r" + struct.pack("<I", 2**31 - 7 * number) for number in range(300_000)) + b"."
    ),
    "many globals": lambda path: path.write_bytes(
        b"\x80\x04](" + b"".join(b"cacme\nthing%d\n" % number for number in range(100_000)) + b"e."
    ),
    "everything at once": lambda path: path.write_bytes(
        b"\x80\x04N"
        + b"".join(b"c%s%d\n%s\n0" % ("\U0001f600".encode() * 990, number, b"y" * 990) for number in range(4_900))
        + b"X\0\0\0\0\x94" * 990_000
        + b"\x94" * 4_900_000
        + b"(" * 990_000
        + b"."
    ),
    "huge length": lambda path: path.write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x."),
    "long line": lambda path: path.write_bytes(b"\x80\x04V" + b"x" * 50_000_000),
    "nested JSON": lambda path: path.write_bytes(safetensors('{"a":' + "[" * 4_000_000, b"")),
    "wide JSON": lambda path: path.write_bytes(safetensors('{"a":[' + "{}," * 2_000_000 + "{}]}", b"")),
    "zstandard bomb": lambda path: path.write_bytes(zstd.compress(bytes(2**28)) * 12),
    "zip of zips of zips": lambda path: path.write_bytes(nested_zips(4)),
    "streams without end": lambda path: path.write_bytes(gzip.compress(b"") * 300_000),
    "endless hole": lambda path: path.write_bytes(endless_hole()),
    "long header": lambda path: path.write_bytes(safetensors("{" + " " * 9_000_000 + "}", b"")),
}


SLOW = frozenset({"everything at once", "zip bomb of zeros"})
"""Tens of seconds each: these are for the nightly set."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name in SLOW else name for name in CASES]
)
def test_a_bomb_is_not_clean_and_costs_little(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    CASES[name](path)
    report = scan_apart(path)
    assert report.verdict != "clean"
    assert report.incomplete or report.findings


@pytest.mark.nightly
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress], ids=["gzip", "bzip2", "xz"])
def test_a_compressed_bomb_ends_at_what_it_unpacks_to(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(pack(bytes(2**27)) * 40)
    report = scan_apart(path)
    assert [item.limit for item in report.incomplete] == ["max_unpacked_bytes"]


def test_what_stands_before_the_limit_is_reported(tmp_path: Path) -> None:
    limits = ScanLimits(max_opcodes=1000)
    report = scan_bytes(tmp_path, b"\x80\x04" + SYSTEM + b"0" + b"N0" * 1000 + b".", limits=limits)
    assert report.verdict == "malicious"
    assert [item.limit for item in report.incomplete] == ["max_opcodes"]


def test_a_payload_behind_ten_million_opcodes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "deep.pkl"
    long_pickle(path, b"G\x3f\xf0\0\0\0\0\0\0" + b"0", 5_000_000, SYSTEM + b".")
    assert scan_apart(path).verdict == "malicious"


def test_a_sparse_file_of_many_gigabytes_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(b"\x80\x04" + SYSTEM + b".")
    os.truncate(path, 3 * 2**30)
    report = scan_apart(path)
    assert report.verdict == "malicious"
    assert report.size == 3 * 2**30


def test_files_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, b"\x80\x04N.", limits=ScanLimits(max_hashed_bytes=3))
    assert (report.verdict, report.sha256) == ("incomplete", None)


def test_archives_with_too_many_members_are_incomplete(tmp_path: Path) -> None:
    archive = zipped({f"{number}.pkl": b"\x80\x02N." for number in range(50)})
    assert scan_bytes(tmp_path, archive, limits=ScanLimits(max_members=49)).incomplete[0].limit == "max_members"
    inner = {f"{number}.zip": archive for number in range(3)}
    assert scan_bytes(tmp_path, zipped(inner), limits=ScanLimits(max_members=100)).verdict == "incomplete"
    assert scan_bytes(tmp_path, archive, limits=ScanLimits(max_directory_bytes=100)).verdict == "incomplete"


def test_overlapping_members_do_not_multiply_the_work(tmp_path: Path) -> None:
    """Every entry of the directory points at the same member."""
    archive = torch_zip(b"\x80\x02" + b"N0" * 10_000 + b"N.")
    start, end = archive.index(b"PK\x01\x02"), archive.index(b"PK\x05\x06")
    length = 46 + len("archive/data.pkl")
    entries = archive[start : start + length] * 3000
    count = struct.pack("<HHLLH", 3000, 3000, len(entries), start, 0)
    overlapping = archive[:start] + entries + archive[end : end + 8] + count
    report = scan_bytes(tmp_path, overlapping, "m.pt", limits=ScanLimits(max_opcodes=1_000_000))
    assert report.verdict == "suspicious"
    assert "max_opcodes" in [item.limit for item in report.incomplete]


def test_more_findings_than_fit_are_counted_as_incomplete(tmp_path: Path) -> None:
    names = b"".join(b"cacme\nthing%d\n" % number for number in range(40))
    report = scan_bytes(tmp_path, b"\x80\x02](" + names + b"e.", limits=ScanLimits(max_findings=10))
    assert len(report.findings) == 10
    assert report.incomplete[0].limit == "max_findings"


def test_a_compressed_member_that_is_ordinary_stays_within_the_ratio(tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "a.pkl", b"\x80\x02" + b"B" + struct.pack("<I", 10_000_000) + bytes(10_000_000) + b"." + text("x")
        )
    assert scan_bytes(tmp_path, buffer.getvalue(), "m.zip").verdict == "clean"
