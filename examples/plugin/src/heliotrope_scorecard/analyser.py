"""The analyser scorecard.files. It reads; it never evaluates, includes or unpacks anything."""

import base64
import binascii
from collections.abc import Iterator

from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.registry import analyser
from heliotrope.scan.sources import BytesSource
from heliotrope_scorecard import __version__
from heliotrope_scorecard.rules import ATTACHED, EXPRESSION, INCLUDE_LEAVES

__all__ = ["ScorecardAnalyser"]

MAGIC = b"#scorecard 1\n"

_CHUNK = 64 * 1024
"""Bytes read at once: a file of any size goes through the same small memory."""

_MAX_LINE = 1024 * 1024
"""Bytes of a line. Real ones have under 100; a small attachment fits."""

_MAX_LINES = 1_000_000
"""Lines of a file. The largest scorecards have some thousand."""

_KNOWN = (b"name:", b"base:", b"range:", b"feature ", b"#")


@analyser(
    id="scorecard.files",
    version=__version__,
    title="Scorecards compute points and nothing else",
    formats=("scorecard",),
    extensions=(".scard",),
    rules=(EXPRESSION, INCLUDE_LEAVES, ATTACHED),
    docs="the README of heliotrope-scorecard",
)
class ScorecardAnalyser:
    """Judges scorecard files line by line."""

    format = "scorecard"

    def accepts(self, source: Source, name: str) -> bool:
        """The loader goes by the first line, so we do, whatever the name says."""
        return source.read(0, len(MAGIC)) == MAGIC

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        for offset, line in _lines(source):
            self._line(offset, line.strip(), context)
        return Recognised("scorecard")

    def _line(self, offset: int, line: bytes, context: Context) -> None:
        notes, place = context.notes, {"member": context.member, "offset": offset + context.base}
        if b"expr:" in line:
            expression = line.partition(b"expr:")[2].strip().decode("utf-8", "backslashreplace")
            notes.add(EXPRESSION.id, f"evaluates {expression}", key=expression, **place)
        elif line.startswith(b"include:"):
            path = line[8:].strip().decode("utf-8", "backslashreplace")
            if "/" in path or "\\" in path or path.startswith((".", "~")):
                notes.add(INCLUDE_LEAVES.id, f"includes {path}", key=path, **place)
            else:
                notes.incomplete(f"includes {path}, which is a file of its own", **place)
        elif line.startswith(b"attachment:"):
            self._attachment(offset, line[11:].strip(), context)
        elif line and not line.startswith(_KNOWN) and not line[:1].isdigit() and line[:1] != b"-":
            notes.incomplete("a line that this version does not know", **place)

    def _attachment(self, offset: int, text: bytes, context: Context) -> None:
        name, _, encoded = text.partition(b" ")
        shown = name.decode("utf-8", "backslashreplace")
        context.notes.add(ATTACHED.id, f"carries {shown}", key=shown, member=context.member, offset=offset)
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            context.notes.incomplete(f"the attachment {shown} cannot be decoded", member=context.member, offset=offset)
            return
        inside = context.inside(shown)
        if context.nested(BytesSource(data), shown, inside) is None:
            context.notes.incomplete(f"the attachment {shown} is of no known format", member=inside.member)


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of each line. Raises LimitReachedError for one that does not end, and for too many."""
    offset = start = count = 0
    pending = b""
    while chunk := source.read(offset, _CHUNK):
        offset += len(chunk)
        *complete, pending = (pending + chunk).split(b"\n")
        for line in complete:
            yield start, line
            start += len(line) + 1
        count += len(complete)
        if count > _MAX_LINES:
            raise LimitReachedError("scorecard_max_lines", f"more than {_MAX_LINES} lines")
        if len(pending) > _MAX_LINE:
            raise LimitReachedError("scorecard_max_line", f"a line of more than {_MAX_LINE} bytes")
    if pending:
        yield start, pending
