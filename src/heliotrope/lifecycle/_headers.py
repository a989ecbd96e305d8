"""Shapes and counts from the first bytes of data and model files, without the libraries that load them."""

import csv
import gzip
import json
import math
import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from heliotrope.core.errors import InputError
from heliotrope.engine.files import open_regular

__all__ = [
    "ArrayHeader",
    "idx_header",
    "is_torch_file",
    "npy_header",
    "npz_headers",
    "png_shape",
    "safetensors_counts",
    "table_columns",
]

_MAX_TABLE_HEADER = 2**18
"""Names of 10,000 columns. What is longer stays unread."""

_MAX_NPY_HEADER = 4096
"""numpy writes about 128 bytes."""

_NUMPY_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What numpy writes. Others can ask for gigabytes before the first byte comes out."""

_MAX_ZIP_DIRECTORY = 2**20
"""Room for 10,000 arrays; larger directories are made to fill memory."""

_MAX_SAFETENSORS_HEADER = 4 * 2**20
"""Some 40,000 tensors. The counts are only a remark, and JSON takes twenty times its size in memory."""

_MAX_PARAMETERS = 10**15
"""A hundred times the largest models; above it the header is not honest."""

_IDX_TYPES = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_UNREADABLE = (
    InputError,
    OSError,
    EOFError,
    ValueError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    NotImplementedError,
)


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """What an array file says of itself."""

    shape: tuple[int, ...]
    dtype: str
    """As numpy spells it, as in |u1 or <f4."""

    @property
    def is_bytes(self) -> bool:
        return self.dtype in {"|u1", "<u1", ">u1", "u1"}


def npy_header(path: Path) -> ArrayHeader | None:
    """The header of an npy file; None when it is not one."""
    try:
        with open_regular(path) as file:
            return _npy(file)
    except _UNREADABLE:
        return None


def npz_headers(path: Path) -> dict[str, ArrayHeader]:
    """The headers of the arrays in an npz file, by name; empty when it is not one."""
    try:
        with open_regular(path) as file:
            if not _directory_is_small(file):
                return {}
            with zipfile.ZipFile(file) as archive:
                return _npz(archive)
    except (*_UNREADABLE, RuntimeError):  # an encrypted member
        return {}


def idx_header(path: Path) -> ArrayHeader | None:
    """The header of an idx file, gzipped or not; None when it is not one."""
    try:
        with open_regular(path) as file:
            if path.name.endswith(".gz"):
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _idx(unpacked.read(64))
            return _idx(file.read(64))
    except _UNREADABLE:
        return None


def png_shape(path: Path) -> tuple[int, int, int] | None:
    """Channels, height and width of a PNG file; None when it is not one."""
    try:
        with open_regular(path) as file:
            head = file.read(26)
        if len(head) < 26 or not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
            return None
        width, height = struct.unpack(">II", head[16:24])
    except _UNREADABLE:
        return None
    return (1 if head[25] in {0, 4} else 3, height, width)


def safetensors_counts(path: Path) -> tuple[int, int] | None:
    """Number of tensors and of parameters; None when the header cannot be read."""
    try:
        with open_regular(path) as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_SAFETENSORS_HEADER:
                return None
            header = json.loads(file.read(length))
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        parameters = sum(math.prod(int(size) for size in shape) for shape in shapes)
    except (*_UNREADABLE, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    return (len(shapes), parameters) if 0 <= parameters <= _MAX_PARAMETERS else None


def is_torch_file(path: Path) -> bool:
    """Whether it begins like what torch.save writes: a zip archive or a pickle."""
    try:
        with open_regular(path) as file:
            return file.read(4).startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x04"))
    except _UNREADABLE:
        return False


def _npy(file: IO[bytes]) -> ArrayHeader | None:
    magic = file.read(8)
    if len(magic) < 8 or not magic.startswith(b"\x93NUMPY"):
        return None
    (length,) = struct.unpack("<H", file.read(2)) if magic[6] == 1 else struct.unpack("<I", file.read(4))
    if length > _MAX_NPY_HEADER:
        return None
    text = file.read(length).decode("latin-1")
    shape = re.search(r"'shape':\s*\(([0-9, ]*)\)", text)
    dtype = re.search(r"'descr':\s*'([<>|=]?[a-z][0-9]+)'", text)
    if shape is None or dtype is None:
        return None
    sizes = tuple(int(size) for size in shape.group(1).split(",") if size.strip())
    return ArrayHeader(sizes, dtype.group(1))


def _npz(archive: zipfile.ZipFile) -> dict[str, ArrayHeader]:
    headers = {}
    for member in archive.infolist()[:100]:
        if member.filename.endswith(".npy") and member.compress_type in _NUMPY_COMPRESSIONS:
            with archive.open(member) as file:
                header = _npy(file)
            if header is not None:
                headers[member.filename.removesuffix(".npy")] = header
    return headers


def _directory_is_small(file: IO[bytes]) -> bool:
    """Read the size of the zip directory before zipfile reads the directory itself."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))  # the end record with the longest comment
    tail = file.read()
    plain = tail[-22:-18] == b"PK\x05\x06" and tail.endswith(b"\0\0")
    start = len(tail) - 22 if plain else tail.rfind(b"PK\x05\x06")
    file.seek(0)
    if start < 0 or len(tail) < start + 22 or b"PK\x06\x07" in tail[max(0, start - 20) : start]:
        return False  # no end record, or a 64-bit one, which no data set of ours needs
    return bool(struct.unpack_from("<I", tail, start + 12)[0] <= _MAX_ZIP_DIRECTORY)


def _idx(head: bytes) -> ArrayHeader | None:
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_TYPES:
        return None
    count = head[3]
    if not 1 <= count <= 8 or len(head) < 4 + 4 * count:
        return None
    return ArrayHeader(struct.unpack_from(f">{count}I", head, 4), _IDX_TYPES[head[2]])


def table_columns(path: Path, suffix: str) -> tuple[str, ...]:
    """Column names of a csv or tsv file with a header; empty for parquet and for whatever cannot be read as such."""
    if suffix not in (".csv", ".tsv"):
        return ()
    try:
        with open_regular(path) as file:
            line = file.readline(_MAX_TABLE_HEADER)
        text = line.decode("utf-8-sig").rstrip("\r\n")
        delimiter = "\t" if suffix == ".tsv" else max(",;\t", key=text.count)
        names = next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except (*_UNREADABLE, csv.Error):
        return ()
    named = len(set(names)) == len(names) and all(name.strip() and not _is_number(name) for name in names)
    return tuple(names) if named and line.endswith(b"\n") else ()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
