"""Tables: Parquet, Arrow and Feather files, and separated values. They are data; one way of Arrow to hold a pickle is a finding."""

import base64
from collections.abc import Iterator

from heliotrope.scan.interface import Context, Recognised, Source

__all__ = ["ArrowAnalyser", "ParquetAnalyser", "SeparatedAnalyser"]

_CHUNK = 2**20
_MAX_FOOTER = 256 * 2**20
"""A Parquet file of 10,000 columns and 1,000 row groups has a footer of about 100 MB."""

_PYTHON_TYPE = b"arrow.py_extension_type"
"""The name under which Arrow stored types of Python's side, pickled. Releases before 14.0.1 unpickled them (CVE-2023-47248)."""


def _in_base64(text: bytes) -> tuple[bytes, ...]:
    """What stands in base64 whatever comes before: the schema of a Parquet file is stored that way."""
    found = []
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + text)
        found.append(encoded[4 if shift else 0 : len(encoded) - 4])
    return tuple(found)


_PYTHON_TYPES = (_PYTHON_TYPE, *_in_base64(_PYTHON_TYPE))


class ParquetAnalyser:
    """Parquet: a magic at both ends, and a footer of an announced length."""

    format = "parquet"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 4) == b"PAR1"

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        end = source.read(source.size - 8, 8) if source.size >= 12 else b""
        length = int.from_bytes(end[:4], "little")
        if end[4:] == b"PARE":
            context.notes.incomplete("its footer is encrypted", member=context.member)
        elif end[4:] != b"PAR1" or length + 12 > source.size:
            context.notes.incomplete("it has no footer where it should end", member=context.member)
        else:
            _check_schema(source, source.size - 8 - length, length, context)
        return Recognised("parquet", model=False)


class ArrowAnalyser:
    """Arrow's file format, which Feather is: a magic at both ends, and a footer of an announced length."""

    format = "arrow"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 8) == b"ARROW1\0\0"

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        end = source.read(source.size - 10, 10) if source.size >= 18 else b""
        length = int.from_bytes(end[:4], "little")
        if end[4:] != b"ARROW1" or length + 18 > source.size:
            context.notes.incomplete("it has no footer where it should end", member=context.member)
        else:
            _check_schema(source, source.size - 10 - length, length, context)
            head = int.from_bytes(source.read(12, 4), "little")  # the schema stands before the first batch as well
            _check_schema(source, 16, min(head, source.size - 16), context)
        return Recognised("arrow", model=False)


def _check_schema(source: Source, start: int, length: int, context: Context) -> None:
    if length > _MAX_FOOTER:
        reason = f"a schema of {length} bytes is more than {_MAX_FOOTER}"
        context.notes.incomplete(reason, limit="max_footer", member=context.member)
        return
    for offset, piece in _pieces(source, start, length):
        for needle in _PYTHON_TYPES:
            place = piece.find(needle)
            if place >= 0:
                message = "a column's type is a pickle, which Arrow's readers before 14.0.1 load"
                context.notes.add(
                    "arrow-python-type", message, key="type", member=context.member, offset=offset + place
                )
                return


def _pieces(source: Source, start: int, length: int) -> Iterator[tuple[int, bytes]]:
    """Pieces that overlap by more than what is searched."""
    overlap = 64
    for offset in range(start, start + length, _CHUNK):
        yield offset, source.read(offset, min(_CHUNK + overlap, start + length - offset))


class SeparatedAnalyser:
    """Separated values by their name and by being text: nothing in them is run by a reader of tables."""

    format = "csv"

    def accepts(self, source: Source, name: str) -> bool:
        if not name.lower().endswith((".csv", ".tsv")):
            return False
        head = source.read(0, 4096)
        return bool(head) and not head.translate(None, _TEXT)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        offset = 0
        while chunk := source.read(offset, _CHUNK):
            if chunk.translate(None, _TEXT):
                context.notes.incomplete("it holds bytes that are no text", member=context.member, offset=offset)
                break
            offset += len(chunk)
        return Recognised("tsv" if name.lower().endswith(".tsv") else "csv", model=False)


_TEXT = bytes(set(range(256)) - (set(range(32)) - set(b"\t\n\r\f")) - {127})
