"""What the pickle machine knows while it runs: stack, marks, memo, and the text and tuples behind its tags."""

import codecs
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from heliotrope.scan.interface import LimitReachedError, Source
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles import text_numbers
from heliotrope.scan.pickles.memo import Memo
from heliotrope.scan.sources import find_byte

__all__ = [
    "BYTES_WIDTH",
    "COUNTED_TEXT",
    "MARK_BITS",
    "MARK_MASK",
    "RING",
    "BrokenStreamError",
    "Observer",
    "State",
    "StreamEnd",
]

RING: Final = 1024
"""Tuples whose items are remembered. A call's arguments are built right before it; older ones count as unknown."""

MARK_BITS: Final = 24
MARK_MASK: Final = 2**MARK_BITS - 1
"""Of a mark, the bits of its depth; above them is the offset of its opcode. The limit of the stack is below 2 ** 24."""

_SHORT_TUPLE = 8
"""Items remembered of a tuple; what the policy looks at is among the first."""

_KEPT_SKIPS = 64
"""Arrays between the opcodes that are remembered, for states that are read again."""

_KEPT_TEXTS = 10_000
"""Texts that named something. Names are recalled far behind where they stand, and reading back may cost a start over."""

_MAX_LINE = 64 * 1024
"""Bytes looked at of a line of text; names are far shorter, and longer text is data."""

COUNTED_TEXT: Final = {
    0x8C: (1, "utf-8"),  # SHORT_BINUNICODE
    0x58: (4, "utf-8"),  # BINUNICODE
    0x8D: (8, "utf-8"),  # BINUNICODE8
    0x55: (1, "ascii"),  # SHORT_BINSTRING
    0x54: (4, "ascii"),  # BINSTRING
}
"""Opcode to (bytes of its length, encoding)."""

BYTES_WIDTH: Final = {0x43: 1, 0x42: 4, 0x8E: 8, 0x96: 8}
"""SHORT_BINBYTES, BINBYTES, BINBYTES8 and BYTEARRAY8 to the bytes of their length."""


class BrokenStreamError(Exception):
    """The stream is not what an unpickler accepts."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended."""

    offset: int
    """Behind STOP, or where it broke."""
    opcodes: int
    reason: str = ""
    """Why it broke; empty when it ended with STOP."""
    limit: str | None = None

    @property
    def complete(self) -> bool:
        return not self.reason


class Observer(Protocol):
    """Is told what the stream does. Tags come in, tags go out; offsets are those of the opcodes."""

    def imported(self, module: str, name: str, *, protocol: int, offset: int) -> int: ...
    def computed_name(self, offset: int) -> int: ...
    def called(self, machine: "State", callee: int, arguments: int, *, use: str, offset: int) -> int: ...
    def built(self, machine: "State", target: int, state: int, *, offset: int) -> int: ...
    def filled(self, target: int, *, use: str, offset: int) -> None: ...
    def recalled(self, tag: int) -> int: ...
    def persistent(self, machine: "State", identifier: int, *, offset: int) -> int: ...
    def extension(self, code: int, offset: int) -> int: ...
    def defect(self, reason: str, offset: int) -> None: ...
    def disputed(self, reason: str, offset: int) -> None: ...


class State:
    """The machine's state and how to read it."""

    def __init__(self, source: Source, observer: Observer, limits: ScanLimits, budget: Budget) -> None:
        self._source = source
        self._observer = observer
        self._limits = limits
        self._budget = budget
        self._stack = array("q")
        self._marks = array("q")
        self._memo = Memo(limits.max_sparse_memo)
        self._protocol = 0
        self._buffer = b""
        self._base = 0
        self._tuples: list[tuple[int, Sequence[int]] | None] = [None] * RING
        self._tuple_serial = 0
        self._marked = (0, 0)
        """Of the last TUPLE, its serial number and the offset of its mark."""
        self._lenient = False
        self._earlier = False
        self._resume = -1
        self._texts: dict[int, str | None] = {}
        self.skipped: dict[int, int] = {}
        """Of the last arrays between the opcodes: offset of the BUILD to where the stream went on."""
        self.frame_end = 0
        """Where the frame ends that was begun last."""
        self.told = 0
        """How often the observer was told of an import, a call, a state, items or a persistent id."""
        self._barrier = 0
        """Where the frame ends that the unpickler of C has in its buffer; 0 outside of one."""
        self._safe = 0
        """Index of the buffer below which the next opcode may begin without further ado."""

    @property
    def source(self) -> Source:
        return self._source

    @property
    def limits(self) -> ScanLimits:
        return self._limits

    @property
    def budget(self) -> Budget:
        return self._budget

    def resume_at(self, offset: int) -> None:
        """Called while a BUILD is observed: what follows it are no opcodes up to an offset."""
        self._resume = offset

    def note_skipped(self, build: int) -> None:
        if len(self.skipped) >= _KEPT_SKIPS:
            self.skipped.clear()
        self.skipped[build] = self._resume

    def memoised(self, index: int) -> int | None:
        """The tag put aside under an index; it is not recalled by this."""
        return self._memo.get(index)

    def mark_of(self, tag: int) -> int:
        """Offset of the mark of a tuple, when it is the one that was made last; otherwise -1."""
        serial, begun = self._marked
        return begun if tag == serial << op.KIND_BITS | op.TUPLE and serial == self._tuple_serial else -1

    @property
    def memo_is_dense(self) -> bool:
        """Whether MEMOIZE writes behind everything that was put aside so far."""
        return not (self._memo.sparse or self._memo.holes)

    def items(self, tag: int) -> list[int] | None:
        """The items of a tuple, or None when they are not known any more."""
        serial = tag >> op.KIND_BITS
        if serial == 0:
            return []
        kept = self._tuples[serial % RING]
        return list(kept[1]) if kept is not None and kept[0] == serial else None

    def text(self, tag: int) -> str | None:
        """The text of a string tag, or None when it is no text or longer than any name."""
        if tag & op.KIND_MASK != op.STR:
            return None
        offset = tag >> op.KIND_BITS
        if offset not in self._texts:
            if len(self._texts) >= _KEPT_TEXTS:
                self._texts.clear()
            self._texts[offset] = self._text_at(offset)
        return self._texts[offset]

    def _text_at(self, offset: int) -> str | None:
        limit = self._limits.max_name
        head = self.peek(offset, 4 * limit + 9)
        code, body = head[0], head[1:]
        if code in COUNTED_TEXT:
            width, encoding = COUNTED_TEXT[code]
            size = int.from_bytes(body[:width], "little")
            return body[width : width + size].decode(encoding, "replace") if size <= 4 * limit else None
        line, found, _ = body.partition(b"\n")
        return _unquoted(code, line) if found else None

    def bytes_at(self, tag: int) -> tuple[int, int]:
        """Offset and length of the content of a bytes tag."""
        offset = tag >> op.KIND_BITS
        head = self.peek(offset, 9)
        width = BYTES_WIDTH[head[0]]
        return offset + 1 + width, int.from_bytes(head[1 : 1 + width], "little")

    def is_short_number(self, tag: int) -> bool:
        """Whether a tag is a number below 2**31, or one of the other constants without text."""
        if tag & op.KIND_MASK != op.OPAQUE:
            return False
        offset = tag >> op.KIND_BITS
        if offset == 0:
            return True
        head = self.peek(offset - 1, 64)
        if head[0] in (0x49, 0x4C):  # INT, LONG
            digits = head[1:].partition(b"\n")[0].rstrip(b"L")
            return len(digits) <= 10 and digits.isdigit() and int(digits) < 2**31
        return head[0] == 0x8A and int.from_bytes(head[2 : 2 + head[1]], "little", signed=True) < 2**31

    def peek(self, offset: int, length: int) -> bytes:
        """Bytes of the stream that were passed not long ago."""
        index = offset - self._base
        if index >= 0 and index + length <= len(self._buffer):
            return self._buffer[index : index + length]
        return self._source.read(offset, length)

    def _tuple(self, items: Sequence[int]) -> int:
        self._tuple_serial += 1
        serial = self._tuple_serial
        self._tuples[serial % RING] = (serial, items) if len(items) <= _SHORT_TUPLE else None
        return serial << op.KIND_BITS | op.TUPLE

    def _recall(self, index: int) -> int:
        tag = self._memo.get(index)
        if tag is None:
            if self._lenient:
                return op.OPAQUE
            if self._earlier:
                return op.UNRESOLVED
            raise BrokenStreamError(f"it recalls memo entry {index}, which was never written")
        return self._observer.recalled(tag) if op.GLOBAL <= tag & op.KIND_MASK <= op.INSTANCE else tag

    def _cut(self) -> "array[int]":
        """Everything above the last mark."""
        mark = self._marks.pop() & MARK_MASK
        items = self._stack[mark:]
        del self._stack[mark:]
        return items

    def _line(self, index: int) -> tuple[bytes, int]:
        """The line from an index of the buffer (its first 64 KiB), and the index behind it."""
        end = self._buffer.find(b"\n", index)
        if end >= 0:
            return self._buffer[index:end][:_MAX_LINE], end + 1
        start = self._base + index
        found = find_byte(self._source, b"\n", start)
        if found < 0:
            raise BrokenStreamError("a line of text does not end")
        return self._source.read(start, min(found - start, _MAX_LINE)), found + 1 - self._base

    def _last_line(self, index: int) -> tuple[bytes, int]:
        """A line, or what `pickle._Unpickler` takes for one at the end of the data: all but the last byte."""
        try:
            return self._line(index)
        except BrokenStreamError:
            start, end = self._base + index, self._source.size
            return self._source.read(start, min(max(end - start - 1, 0), _MAX_LINE)), max(end - self._base, index)

    def _number(self, index: int) -> tuple[int, int]:
        line, after = self._line(index)
        where = text_numbers.memo_index(line)
        if where is None:
            raise BrokenStreamError("a memo index is no number")
        return where, after

    def _at(self, index: int) -> int:
        return self._base + index

    def _tell(self) -> None:
        """Called before the observer is told something."""
        self.told += 1
        if self.told > self._limits.max_events:
            raise LimitReachedError("max_events", f"more than {self._limits.max_events} imports, calls and changes")

    def _count_at(self, index: int, width: int) -> int:
        """Bytes of an opcode with a counted argument."""
        return 1 + width + int.from_bytes(self._buffer[index + 1 : index + 1 + width], "little")


def _unquoted(code: int, line: bytes) -> str | None:
    """The text of a UNICODE or STRING opcode, escapes resolved as the unpickler does."""
    try:
        if code == 0x56:
            return line.decode("raw-unicode-escape")
        quoted = line
        if len(quoted) < 2 or quoted[:1] not in (b"'", b'"') or quoted[-1:] != quoted[:1]:
            return None
        return codecs.escape_decode(quoted[1:-1])[0].decode("ascii", "replace")
    except ValueError:
        return None
