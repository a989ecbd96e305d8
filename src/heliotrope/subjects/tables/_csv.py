"""csv and tsv: the delimiter and the header from the first lines, then every field as text in batches."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._files import show
from heliotrope.subjects.tables._file import TableFile
from heliotrope.subjects.tables._rows import MAX_COLUMNS, MAX_ROWS, chosen, named

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["BLOCK_BYTES", "DELIMITERS", "CsvRows"]

DELIMITERS = (",", ";", "\t", "|")
"""What may stand between fields; no other is looked for."""

BLOCK_BYTES = 4 * 2**20
"""What is read at once; no row may be longer."""

_SNIFFED_BYTES = 256 * 1024
_SNIFFED_ROWS = 20
_UNNAMED = "Unnamed: {}"
_EXPORT_HINT = "write it again, as with DataFrame.to_csv(index=False)"
_OTHER_ENCODINGS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class CsvRows:
    """The columns of a csv file, all text. A header is required."""

    textual = True

    def __init__(self, file: TableFile, *, delimiter: str | None = None) -> None:
        import pyarrow as pa

        self._file = file
        self._delimiter, header = _first_rows(file, delimiter)
        names = [name or _UNNAMED.format(place) for place, name in enumerate(header)]
        if len(names) > MAX_COLUMNS:
            raise InputError(
                f"{show(file.path)} has {len(names)} columns, the limit is {MAX_COLUMNS}", hint="store it as npz"
            )
        self._schema = pa.schema([(name, pa.string()) for name in names])

    @property
    def schema(self) -> "pa.Schema":
        return self._schema

    def stream(self, columns: Sequence[str], size: int) -> Iterator["pa.RecordBatch"]:
        import pyarrow as pa
        import pyarrow.csv

        options = {
            "read_options": pyarrow.csv.ReadOptions(
                block_size=BLOCK_BYTES, use_threads=False, column_names=self._schema.names, skip_rows_after_names=1
            ),
            "parse_options": pyarrow.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
            "convert_options": pyarrow.csv.ConvertOptions(
                column_types=self._schema, include_columns=list(columns), strings_can_be_null=False, check_utf8=True
            ),
        }
        done = 0
        try:
            with pyarrow.csv.open_csv(pa.PythonFile(self._file.stream(), mode="r"), **options) as reader:
                for batch in reader:
                    for start in range(0, batch.num_rows, size):
                        yield batch.slice(start, size)
                    done += batch.num_rows
                    if done > MAX_ROWS:
                        raise InputError(
                            f"{show(self._file.path)} has more than {MAX_ROWS} rows",
                            hint="evaluate on a part of the data",
                        )
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._explained(str(error)) from None

    def select(self, columns: Sequence[str], rows: "NDArray[np.int64]") -> Iterator["pa.RecordBatch"]:
        if len(rows):
            yield from chosen(self.stream(columns, 2**16), rows)

    def require_unchanged(self) -> None:
        self._file.require_unchanged()

    def close(self) -> None:
        self._file.close()

    def _explained(self, reason: str) -> InputError:
        """What Arrow says of a damaged file, with the row counted from 0 after the header."""
        where = show(self._file.path)
        if "invalid UTF8" in reason:
            return _not_utf8(self._file)
        if "straddling" in reason:
            return InputError(
                f"{where} has a row of more than {BLOCK_BYTES} bytes, or a quote that is never closed",
                hint=_EXPORT_HINT,
            )
        wrong = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", reason)
        if wrong is not None:
            row, wanted, got = map(int, wrong.groups())
            return InputError(
                f"{where}, row {row - 2} has {got} fields, the header has {wanted}",
                hint="quote fields that hold the delimiter or a line break, and close every quote; " + _EXPORT_HINT,
            )
        return InputError(
            f"{where} is no readable csv file: {shorten(printable(reason.split(chr(10), 1)[0]), 200)}",
            hint=_EXPORT_HINT,
        )


def _first_rows(file: TableFile, delimiter: str | None) -> tuple[str, list[str]]:
    """The delimiter and the header."""
    head = file.read(0, _SNIFFED_BYTES)
    where = show(file.path)
    if head.startswith(_OTHER_ENCODINGS) or b"\0" in head:
        raise InputError(f"{where} is not UTF-8 text", hint="export it as csv in the encoding UTF-8")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(head.removeprefix(codecs.BOM_UTF8), final=len(head) == file.size)
    except UnicodeDecodeError:
        raise _not_utf8(file) from None
    whole = len(head) == file.size
    found = {mark: _parsed(text, mark, whole=whole) for mark in ((delimiter,) if delimiter else DELIMITERS)}
    best = max(found, key=lambda mark: _evidence(found[mark]))
    rows = found[best]
    if len(rows) < 2:
        raise InputError(
            f"{where} has no rows below its header",
            hint="evaluate on at least one sample; the first line names columns",
        )
    header = rows[0]
    double = next((name for name, count in Counter(header).items() if count > 1), None)
    if double is not None:
        raise InputError(f"{where} has two columns named {named(double)}", hint="rename one of them")
    return best, header


def _parsed(text: str, delimiter: str, *, whole: bool) -> list[list[str]]:
    """The first rows that are there to their end; none if they are no csv under this delimiter."""
    rows: list[list[str]] = []
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines if whole else lines[:-1], delimiter=delimiter, strict=True)
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > _SNIFFED_ROWS:
                break
    except csv.Error:
        return rows  # the whole file will tell
    return rows


def _evidence(rows: list[list[str]]) -> tuple[bool, int]:
    """How well a delimiter explains the first rows: all as wide as the header, then the most fields."""
    if not rows or len(rows[0]) < 2:
        return False, 0
    return all(len(row) == len(rows[0]) for row in rows), len(rows[0])


def _not_utf8(file: TableFile) -> InputError:
    """Where the first byte is that no UTF-8 has."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    for offset in range(0, file.size, BLOCK_BYTES):
        block = file.read(offset, BLOCK_BYTES)
        try:
            decoder.decode(block, final=offset + len(block) >= file.size)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            break
        line += block.count(b"\n")
    return InputError(
        f"{show(file.path)}, line {line}: not UTF-8",
        hint="convert it, as with: iconv -f latin1 -t utf-8 (if latin1 is what it is)",
    )
