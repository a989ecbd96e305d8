"""Whatever a reader of archives and compressed files would hand out is looked at, and what cannot be is not clean."""

import bz2
import contextlib
import gzip
import io
import lzma
import struct
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.scan.archive_builder import PAYLOAD, PLAIN, block, padded, special, tarred
from tests.unit.scan.assembler import rules, scan_bytes, text, torch_zip, zipped

from heliotrope.scan import ScanLimits
from heliotrope.scan.archives.tar_files import TarAnalyser
from heliotrope.scan.archives.zip_files import ZipAnalyser
from heliotrope.scan.collector import Collector
from heliotrope.scan.interface import Analyser, Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.limits import Budget
from heliotrope.scan.sources import BytesSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "zstandard": zstd.compress,
    "lz4": lz4.frame.compress,
}
LIMITS = ScanLimits(max_opcodes=50_000, max_inflated_bytes=2**22, max_unpacked_bytes=2**22)


def raw_lzma(data: bytes) -> bytes:
    """As zip files have it."""
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("a", data)
            info = archive.infolist()[0]
        return buffer.getvalue()[31 : 31 + info.compress_size]


METHODS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    8: lambda data: zlib.compress(data)[2:-4],
    12: bz2.compress,
    14: raw_lzma,
    20: zstd.compress,
    93: zstd.compress,
    95: lzma.compress,
}


def packed_zip(data: bytes, method: int, *, packed: bytes | None = None, descriptor: bool = False) -> bytes:
    """An archive of one member by any method."""
    inside = METHODS[method](data) if packed is None else packed
    stated = (zlib.crc32(data), len(inside), len(data))
    flags, known = (8, (0, 0, 0)) if descriptor else (0, stated)
    name = b"data.pkl"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, *known, len(name), 0) + name + inside
    if descriptor:
        local += struct.pack("<4s3L", b"PK\7\x08", *stated)
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, flags, method, 0, 33, *stated, len(name), *[0] * 6) + name
    return local + central + end_record(1, len(central), len(local))


def end_record(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, len(comment)) + comment


# compressed files


@pytest.mark.parametrize("packing", PACK)
def test_a_payload_in_a_compressed_file_is_found_whatever_its_name(packing: str, tmp_path: Path) -> None:
    for name in ("m.pkl", "m.joblib", "m.txt", f"m.{packing}"):
        report = scan_bytes(tmp_path, PACK[packing](PAYLOAD), name)
        assert (report.verdict, report.format) == ("malicious", f"pickle-{packing}")
    assert scan_bytes(tmp_path, PACK[packing](PLAIN), "m.joblib").verdict == "clean"


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize(
    "inside",
    [zipped({"a/b.txt": PAYLOAD}, deflate=True), tarred(("a/b", PAYLOAD)), torch_zip(PAYLOAD)],
    ids=["zip", "tar", "torch"],
)
def test_archives_in_compressed_files_are_opened(packing: str, inside: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PACK[packing](inside), "m.bin")
    assert report.verdict == "malicious"
    assert report.findings[0].locations[0].member.startswith("unpacked!")


@pytest.mark.parametrize("packing", PACK)
def test_several_streams_are_one(packing: str, tmp_path: Path) -> None:
    pack = PACK[packing]
    assert scan_bytes(tmp_path, pack(PAYLOAD[:7]) + pack(PAYLOAD[7:]), "m.pkl").verdict == "malicious"


@pytest.mark.parametrize("packing", PACK)
def test_a_compressed_file_cut_anywhere_is_never_clean_and_hides_nothing(packing: str, tmp_path: Path) -> None:
    whole = PACK[packing](PAYLOAD + PLAIN)
    makers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "zlib": zlib.decompressobj,
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
        "lzma": lzma.LZMADecompressor,
        "zstandard": zstd.ZstdDecompressor,
        "lz4": lz4.frame.LZ4FrameDecompressor,
    }
    for size in range(len(whole)):
        report = scan_bytes(tmp_path, whole[:size], "m.pkl", limits=LIMITS)
        assert report.verdict != "clean"
        if makers[packing]().decompress(whole[:size]).startswith(PAYLOAD):
            assert report.verdict == "malicious"


def test_nesting_ends_at_its_limit_and_at_a_file_that_holds_itself(tmp_path: Path) -> None:
    nested = PAYLOAD
    for number, packing in enumerate(PACK):
        if number == ScanLimits().max_depth:
            break
        nested = PACK[packing](nested)
    assert scan_bytes(tmp_path, nested, "m").verdict == "malicious"
    report = scan_bytes(tmp_path, gzip.compress(nested), "m")
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_depth")


def test_zeros_are_no_bomb_however_well_they_pack(tmp_path: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }\n"
    array = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(2**26)
    report = scan_bytes(tmp_path, zipped({"a.npy": array}, deflate=True), "m.npz")
    assert (report.verdict, report.findings) == ("clean", ())
    assert report.size is not None
    assert report.size * 900 < 2**26


def test_what_comes_before_the_limit_of_unpacking_is_reported(tmp_path: Path) -> None:
    bomb = zlib.compress(PAYLOAD + bytes(2**24))
    report = scan_bytes(tmp_path, bomb, "m.pkl", limits=LIMITS)
    assert report.verdict == "malicious"
    assert "max_unpacked_bytes" in [item.limit for item in report.incomplete]


@pytest.mark.parametrize(
    "data",
    [
        lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**28}]),
        b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00x",  # a window of 2 GiB
        packed_zip(PLAIN, 14, packed=b"\x09\x04\x05\x00\x5d\xff\xff\xff\x7f" + raw_lzma(PLAIN)[9:]),
    ],
    ids=["xz", "zstandard", "zip"],
)
def test_a_stream_that_wants_too_much_memory_is_incomplete(data: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, data, "m.pkl")
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_decoder_memory")


@pytest.mark.parametrize(
    ("name", "head"),
    [("cab", b"MSCF\0\0\0\0"), ("rar", b"Rar!\x1a\x07\x00"), ("7z", b"7z\xbc\xaf\x27\x1c"), ("ar", b"!<arch>\n"),
     ("cpio", b"070701"), ("lzip", b"LZIP\1")],
)  # fmt: skip
def test_other_archives_are_named_and_unsupported(name: str, head: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, head + bytes(64), "m.bin")
    assert (report.format, report.verdict) == (name, "unsupported")


# zip files


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("descriptor", [False, True])
def test_every_method_is_undone(method: int, descriptor: bool, tmp_path: Path) -> None:  # noqa: FBT001
    report = scan_bytes(tmp_path, packed_zip(PAYLOAD, method, descriptor=descriptor), "m.zip")
    assert (report.verdict, report.incomplete) == ("malicious", ())
    report = scan_bytes(tmp_path, packed_zip(PLAIN, method, descriptor=descriptor), "m.zip")
    assert (report.verdict, report.findings) == ("clean", ())


def test_a_method_that_is_not_undone_is_named(tmp_path: Path) -> None:
    for method in (1, 6, 9, 98, 99):
        report = scan_bytes(tmp_path, packed_zip(PAYLOAD, method, packed=b"????"), "m.zip")
        assert report.verdict == "unsupported"
        assert f"method {method} (" in report.incomplete[0].reason


def test_damage_beside_an_unsupported_method_is_incomplete(tmp_path: Path) -> None:
    archive = zipped({"a.pkl": PLAIN[:-1], "m.zip": packed_zip(PLAIN, 9, packed=b"????")}, deflate=True)
    report = scan_bytes(tmp_path, archive, "m.zip")
    assert report.verdict == "incomplete"
    assert len(report.incomplete) == 2


def test_other_bytes_behind_compressed_data_are_found(tmp_path: Path) -> None:
    archive = packed_zip(PLAIN, 8, packed=METHODS[8](PLAIN) + b"more")
    assert "zip-disagreement" in rules(scan_bytes(tmp_path, archive, "m.zip"))


def test_a_member_that_unpacks_to_more_than_is_said_is_read_to_its_end(tmp_path: Path) -> None:
    archive = packed_zip(PLAIN, 8, packed=METHODS[8](PLAIN + PAYLOAD))
    report = scan_bytes(tmp_path, archive, "m.zip")
    assert report.verdict == "malicious"
    assert "zip-disagreement" in rules(report)


def test_a_directory_hidden_in_the_comment_is_found(tmp_path: Path) -> None:
    good, bad = zipped({"a.pkl": PLAIN}), zipped({"a.pkl": PAYLOAD})
    whole = good[:-2] + struct.pack("<H", len(bad)) + bad  # readers that scan from the end take the one in the comment
    other = bad[:-2] + struct.pack("<H", len(good)) + good
    for data in (whole, other):
        report = scan_bytes(tmp_path, data, "m.zip")
        assert report.verdict == "malicious"
        assert "zip-disagreement" in rules(report)


def test_a_stored_archive_as_the_last_member_is_no_second_directory(tmp_path: Path) -> None:
    inner = zipped({"a.pkl": PLAIN})
    assert scan_bytes(tmp_path, zipped({"x.zip": inner}), "m.zip").findings == ()
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        report = scan_bytes(tmp_path, tarred(("c.yaml", b"a: 1\n"), ("w.ckpt", torch_zip(PLAIN)), form=form), "m.nemo")
        assert (report.format, report.verdict, report.findings) == ("tar", "clean", ())


def wide(archive: bytes, *, shift: int = 0, other: bytes = b"") -> bytes:
    """The archive with a 64-bit end record, whose locator points `shift` bytes beside it; `other` stands in between."""
    end = archive.index(b"PK\5\6")
    count, size, offset = struct.unpack_from("<10xH2L", archive, end)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end + shift, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return archive[:end] + record + other + locator + last


def test_wide_end_records_are_followed_and_their_contradictions_found(tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, wide(zipped({"a.pkl": PLAIN})), "m.zip").findings == ()
    assert scan_bytes(tmp_path, wide(zipped({"a.pkl": PAYLOAD})), "m.zip").verdict == "malicious"
    for data in (wide(zipped({"a.pkl": PAYLOAD}), other=b"sector"), wide(zipped({"a.pkl": PAYLOAD}), shift=3)):
        assert scan_bytes(tmp_path, data, "m.zip").verdict == "malicious"
    archive = wide(zipped({"a.pkl": PLAIN}))
    narrow = archive[:-22] + end_record(7, 10, 20)
    assert "zip-disagreement" in rules(scan_bytes(tmp_path, narrow, "m.zip"))


def test_two_places_of_the_directory_are_both_read(tmp_path: Path) -> None:
    """By counting back from the end there is one directory, by the offset that is stated another."""
    good, bad = zipped({"a.pkl": PLAIN}), zipped({"a.pkl": PAYLOAD})
    at = bad.index(b"PK\1\2")
    entry = good.index(b"PK\1\2")
    size = good.index(b"PK\5\6") - entry
    data = bad[:at] + bad[at : at + size] + good[:entry] + good[entry : entry + size] + end_record(1, size, at)
    report = scan_bytes(tmp_path, data, "m.zip")
    assert report.verdict == "malicious"
    assert "zip-disagreement" in rules(report)


def test_names_that_only_some_readers_see_are_told(tmp_path: Path) -> None:
    for name in ("data.pkl\0.txt", "C:x.pkl", "..\\x.pkl", "/x.pkl"):
        assert "zip-unsafe-name" in rules(scan_bytes(tmp_path, renamed(name.encode()), "m.zip"))
    extra = struct.pack("<2HBL", 0x7075, 5 + 5, 1, zlib.crc32(b"a.pkl")) + b"b.txt"
    report = scan_bytes(tmp_path, renamed(b"a.pkl", extra), "m.zip")
    assert any("extra field" in finding.message for finding in report.findings)


def renamed(name: bytes, extra: bytes = b"") -> bytes:
    head = zlib.crc32(PLAIN), len(PLAIN), len(PLAIN), len(name)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, *head, 0) + name + PLAIN
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, *head, len(extra), *[0] * 5) + name + extra
    return local + central + end_record(1, len(central), len(local))


@pytest.mark.parametrize("method", METHODS)
def test_a_zip_file_cut_anywhere_is_never_clean_and_hides_nothing(method: int, tmp_path: Path) -> None:
    whole = packed_zip(PAYLOAD, method)
    complete = whole.index(b"PK\1\2")
    for size in range(len(whole)):
        report = scan_bytes(tmp_path, whole[:size], "m.zip", limits=LIMITS)
        assert report.verdict != "clean"
        if size >= complete:
            assert report.verdict == "malicious", size


# tar archives


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a.txt", "é" * 40 + ".txt", "long/" * 30 + "x.txt"])
def test_a_payload_is_found_in_every_kind_of_tar(form: int, name: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, tarred(("b.pkl", PLAIN), (name, PAYLOAD), form=form), "m.tar")
    assert (report.format, report.verdict) == ("tar", "malicious")
    assert report.findings[0].locations[0].member == name
    assert scan_bytes(tmp_path, tarred((name, PLAIN), form=form), "m.tar").findings == ()


SMUGGLED = block("b.pkl", len(PAYLOAD)) + padded(PAYLOAD)
PAX = b"14 size=%05d\n"
DIVERGENT = {
    "a size in an extended header": block("x", 14, kind=b"x") + padded(PAX % 0) + block("a.txt", 1024) + SMUGGLED,
    "a larger size in an extended header": block("x", 14, kind=b"x")
    + padded(PAX % 1024)
    + block("a.txt", 0)
    + SMUGGLED
    + block("c.pkl", len(PLAIN))
    + padded(PLAIN),
    "data behind a link": block("l", len(PAYLOAD) + 512, kind=b"2", changes={157: b"a.pkl"}) + SMUGGLED + SMUGGLED,
    "zeros before the end": block("a.pkl", len(PLAIN)) + padded(PLAIN) + bytes(2048) + SMUGGLED,
    "a damaged header before": block("a.pkl", len(PLAIN)) + padded(PLAIN) + b"x" * 512 + SMUGGLED,
    "base 256": block("a.txt", changes={124: b"\x80" + bytes(9) + len(PAYLOAD).to_bytes(2, "big")}) + padded(PAYLOAD),
    "an unknown type": block("a.txt", len(PAYLOAD), kind=b"Z") + padded(PAYLOAD),
    "a prefix": block("a.txt", len(PAYLOAD), changes={257: b"ustar\x0000", 345: b"folder"}) + padded(PAYLOAD),
}


@pytest.mark.parametrize("name", DIVERGENT)
def test_what_one_reader_would_find_is_found(name: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, DIVERGENT[name] + bytes(1024), "m.tar").verdict == "malicious"


def test_a_checksum_of_signed_bytes_is_one(tmp_path: Path) -> None:
    data = bytearray(block("ü.pkl", len(PAYLOAD)))
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(struct.unpack("512b", data))
    report = scan_bytes(tmp_path, bytes(data) + padded(PAYLOAD), "m.tar")
    assert (report.format, report.verdict) == ("tar", "malicious")


def test_sparse_members_are_put_together(tmp_path: Path) -> None:
    """The payload's halves lie at both ends of a hole of zeros; between them, zeros are text of a pickle."""
    whole = b"\x80\x02" + text("\0" * 4096) + b"0" + PAYLOAD[2:]
    first, second = whole[:7], whole[7 + 4096 :]
    pieces = [(0, len(first)), (7 + 4096, len(second))]
    stored = padded(first + second)
    entries = b"".join(b"%011o\0%011o\0" % piece for piece in pieces)
    old = block("a.txt", len(first + second), kind=b"S", changes={386: entries, 483: b"%011o\0" % len(whole)}) + stored
    numbers = [str(value) for piece in pieces for value in piece]
    pax = {"GNU.sparse.size": str(len(whole)), "GNU.sparse.map": ",".join(numbers)}
    listed = "".join(f"{value}\n" for value in [len(pieces), *numbers]).encode()
    newest = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(len(whole))}
    for data in (old, extended(pax, first + second), extended(newest, padded(listed) + first + second)):
        with tarfile.open(fileobj=io.BytesIO(data + bytes(1024))) as archive:
            opened = archive.extractfile(archive.getmembers()[0])
            assert opened is not None
            assert opened.read() == whole
        report = scan_bytes(tmp_path, data + bytes(1024), "m.tar")
        assert (report.verdict, report.incomplete) == ("malicious", ())
    bomb = block("a.txt", 0, kind=b"S", changes={386: b"%011o\0%011o\0" % (0, 0), 483: b"77777777777\0"})
    assert scan_bytes(tmp_path, bomb + bytes(1024), "m.tar").verdict in ("incomplete", "unsupported")


def extended(records: dict[str, str], data: bytes) -> bytes:
    info = tarfile.TarInfo("a.txt")
    info.size, info.pax_headers = len(data), records
    return info.tobuf(tarfile.PAX_FORMAT) + padded(data)


def test_links_and_devices(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        for target, unsafe in (("/etc/passwd", True), ("../x", True), ("a.pkl", False), ("C:\\x", True)):
            report = scan_bytes(tmp_path, tarred(("a.pkl", PLAIN), ("l", special(kind, target))), "m.tar")
            assert (report.verdict == "suspicious") == unsafe
    loop = tarred(("a", special(tarfile.SYMTYPE, "b")), ("b", special(tarfile.SYMTYPE, "a")), ("c.pkl", PLAIN))
    assert scan_bytes(tmp_path, loop, "m.tar").verdict == "clean"
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
        report = scan_bytes(tmp_path, tarred(("a.pkl", PLAIN), ("d", special(kind))), "m.tar")
        assert rules(report) == {"tar-special-file"}


def test_names_are_escaped_in_every_place(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, tarred(("\x1b]0;x\x07\u202eevil", PAYLOAD)), "m.tar")
    assert "\x1b" not in report.model_dump_json()
    assert "\u202e" not in "".join(finding.message for finding in report.findings)


def test_a_tar_cut_anywhere_hides_nothing(tmp_path: Path) -> None:
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        whole = tarred(("é" * 40, PAYLOAD), ("b.pkl", PLAIN), form=form)[:4096]
        complete = whole.index(PAYLOAD) + len(PAYLOAD)
        for size in (*range(0, len(whole), 13), *range(complete - 3, complete + 3)):
            report = scan_bytes(tmp_path, whole[:size], "m.tar", limits=LIMITS)
            assert report.verdict != "clean"
            if size >= complete:
                assert report.verdict == "malicious", size


def torch_tar(pickled: bytes, hidden: bytes = b"") -> bytes:
    """A state dict as torch wrote it before its second format."""
    storage = b"\x80\x02K\x05" + text("cpu") + b"ctorch\nFloatStorage\n\x87."
    storages = b"\x80\x02K\x01." + storage + struct.pack("<q", 2) + struct.pack("<2f", 1, 2) + hidden + b"\x80\x02]."
    tensor = b"\x80\x02K\x07K\x05ctorch\nFloatTensor\n\x87."
    tensors = b"\x80\x02K\x01." + tensor + struct.pack("<2i3q", 1, 0, 2, 1, 0)
    return tarred(("sys_info", b"\x80\x02}."), ("pickle", pickled), ("tensors", tensors), ("storages", storages))


def test_torch_s_first_format_is_followed_between_its_numbers(tmp_path: Path) -> None:
    plain = b"\x80\x02}" + text("w") + text("7") + b"Qs."
    report = scan_bytes(tmp_path, torch_tar(plain), "m.pt")
    assert (report.format, report.verdict) == ("torch-tar", "clean")
    assert all(finding.severity == "info" for finding in report.findings)
    assert scan_bytes(tmp_path, torch_tar(PAYLOAD), "m.pt").verdict == "malicious"
    assert scan_bytes(tmp_path, torch_tar(plain, PAYLOAD), "m.pt").verdict == "malicious"


# several formats at once


@pytest.mark.parametrize("front", [PAYLOAD, b"%PDF-1.7\n", b"GIF89a", b"\x7fELF", b"MZ"])
def test_an_archive_behind_anything_is_opened(front: bytes, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, front + bytes(100) + zipped({"a": PAYLOAD}), "m.pdf")
    assert report.verdict == "malicious"


def test_an_archive_behind_a_tar_and_behind_compressed_data_is_opened(tmp_path: Path) -> None:
    for front in (tarred(("a.pkl", PLAIN)), gzip.compress(PLAIN), lz4.frame.compress(PLAIN)):
        report = scan_bytes(tmp_path, front + zipped({"a": PAYLOAD}), "m.bin")
        assert report.verdict == "malicious"
        assert "file-polyglot" in rules(report)


# against the standard library's readers


class Recorder:
    """Keeps what an analyser hands down."""

    def __init__(self) -> None:
        self.seen: dict[str, list[bytes]] = {}

    def __call__(self, source: Source, name: str, context: Context) -> Recognised | None:
        with contextlib.suppress(LimitReachedError, UnreadableError):
            self.seen.setdefault(name.split("\0", maxsplit=1)[0], []).append(source.read(0, 2**20))
        return None


def analysed(analyser: Analyser, data: bytes) -> tuple[Recorder, Collector]:
    recorder, notes = Recorder(), Collector("x", LIMITS)
    source = BytesSource(data)
    if analyser.accepts(source, "x"):
        context = Context(notes, LIMITS, Budget.of(LIMITS), recorder)
        with contextlib.suppress(LimitReachedError, UnreadableError):
            analyser.analyse(source, "x", context)
    return recorder, notes


def of_zipfile(data: bytes) -> Iterator[tuple[str, bytes]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                with contextlib.suppress(Exception):
                    yield info.filename, archive.open(info).read(2**20)


def of_tarfile(data: bytes) -> Iterator[tuple[str, bytes]]:
    with contextlib.suppress(Exception), tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for info in archive:
            with contextlib.suppress(Exception):
                opened = archive.extractfile(info)
                if opened is not None and info.isreg():
                    yield info.name, opened.read(2**20)


ZIPS = [
    zipped({"a.pkl": PLAIN, "b/c": b"text" * 9}, deflate=True),
    wide(zipped({"a.txt": PAYLOAD})),
    *(packed_zip(PAYLOAD, method, descriptor=method == 8) for method in (8, 12, 14)),
]
TARS = [
    tarred(("a.pkl", PLAIN), ("é" * 60, PAYLOAD))[:5120],
    tarred(("a", PLAIN), ("l", special(tarfile.SYMTYPE, "a")), ("n" * 120, PAYLOAD), form=tarfile.GNU_FORMAT)[:5120],
    *(data + bytes(512) for data in DIVERGENT.values()),
    extended({"GNU.sparse.size": "20", "GNU.sparse.map": "0,4,16,4"}, b"12345678") + bytes(512),
]


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Fields changed, parts cut out, doubled or put elsewhere; a tar's checksums are put right mostly."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["set", "set", "set", "cut", "double", "move", "end"]))
        size = draw(st.sampled_from([1, 2, 4, 8, 30, 512]))
        if kind == "set":
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=2))[:1]
        elif kind == "cut":
            del data[at : at + size]
        elif kind == "double":
            data[at:at] = data[at : at + size]
        elif kind == "move":
            to = draw(st.integers(0, len(data)))
            data[to : to + size] = data[at : at + size]
        else:
            del data[at:]
    return bytes(data)


def resummed(data: bytes) -> bytes:
    out = bytearray(data)
    for at in range(0, len(out) - 511, 512):
        head = out[at : at + 512]
        if head[100:107].isdigit():
            head[148:156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % sum(head)
    return bytes(out)


def check_all_was_looked_at(recorder: Recorder, notes: Collector, handed_out: Iterator[tuple[str, bytes]]) -> None:
    """Under its own name too, where nothing was noted."""
    everything = [item for items in recorder.seen.values() for item in items]
    unlike = any("sparse" in item.reason or item.limit for item in notes.incompletes())
    for name, content in handed_out:
        if content and not unlike:
            assert any(item.startswith(content) for item in everything), name
            assert notes.noted or any(item.startswith(content) for item in recorder.seen.get(name, [])), name


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(ZIPS))
def test_whatever_zipfile_hands_out_was_looked_at(data: bytes) -> None:
    check_all_was_looked_at(*analysed(ZipAnalyser(), data), of_zipfile(data))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(TARS), st.booleans())
def test_whatever_tarfile_hands_out_was_looked_at(data: bytes, sums: bool) -> None:  # noqa: FBT001
    data = resummed(data) if sums else data
    check_all_was_looked_at(*analysed(TarAnalyser(), data), of_tarfile(data))
