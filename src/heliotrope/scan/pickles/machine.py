"""The pickle machine, run on tags instead of objects: it keeps stack, marks and memo exactly, and loads nothing.

A tag is an integer: the kind in the low four bits, a payload above (see opcodes). Text is a tag that holds the offset
of its opcode and is read only when it names an import, so the memo of a large file stays small. Where the real unpickler
would stop with an error that cannot be told from tags alone, this one goes on: it may see more than a loader, never less.
"""

import re
import struct
from array import array
from typing import Final

from heliotrope.scan.interface import LimitReachedError, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.handlers import HANDLERS, Handlers
from heliotrope.scan.pickles.repeats import Repeats
from heliotrope.scan.pickles.state import (
    BYTES_WIDTH,
    COUNTED_TEXT,
    MARK_BITS,
    MARK_MASK,
    RING,
    BrokenStreamError,
    Observer,
    StreamEnd,
)

__all__ = ["Machine"]

_CHUNK = 256 * 1024
_MARGIN = 32
"""Longer than three constants in a row, so that nothing with a fixed argument crosses the end of a chunk."""

_LEFT_FRAME = "an opcode reaches beyond its frame, and unpicklers do not agree on what it then reads"

_LENIENT_DEPTH = 64
"""Constants and marks assumed below a stream whose beginning is unknown."""

_FOUR: Final = struct.Struct("<I").unpack_from
_RING_MASK: Final = RING - 1

_RUN: Final = re.compile(
    rb"N{8,}|\x88{8,}|\x89{8,}|(?:K.){8,}|(?:M..){8,}|(?:J.{4}){8,}|(?:G.{8}){8,}", re.DOTALL
).match
"""The same constant again and again, as in a list of numbers: one step, whatever its length."""

_LENGTHS: Final = [op.FIXED_PUSHES.get(code, (0, 0))[0] for code in range(256)]
_TAGS: Final = [op.FIXED_PUSHES.get(code, (0, 0))[1] for code in range(256)]


_SMALL = 50_000
"""Entries of stack, marks and memo up to which a repetition is looked for: they are compared."""

_COUNTED: Final = {code: width for code, (width, _) in COUNTED_TEXT.items()} | BYTES_WIDTH | {0x8A: 1, 0x8B: 4}
_WIDTHS: Final = (
    {code: length for code, (length, _) in op.FIXED_PUSHES.items()}
    | {code: 1 + width for code, width in _COUNTED.items()}
    | {0x71: 2, 0x68: 2, 0x72: 5, 0x6A: 5, 0x80: 2, 0x82: 2, 0x83: 3, 0x84: 5, 0x95: 9}
)
_LINES: Final = dict.fromkeys(b"pgPILFSV", 1) | dict.fromkeys(b"ci", 2)
_MAX_PEEK = 2**20


class Machine(Handlers):
    """Runs one stream of a source."""

    def __init__(self, source: Source, observer: Observer, limits: ScanLimits, budget: Budget) -> None:
        super().__init__(source, observer, limits, budget)
        self._index = 0
        self._count = 0
        self._chunk_end = 0
        self._repeats = Repeats()

    def run(
        self, start: int, *, max_opcodes: int | None = None, lenient: bool = False, earlier: bool = False
    ) -> StreamEnd:
        """Run from an offset to STOP, to the first error, or to a limit. Never raises.

        Lenient is for a stream whose beginning is unknown: what is missing from stack and memo counts as a constant.
        With earlier streams, the memo may hold anything: an unpickler that loads several keeps its memo.
        """
        self._base = start
        self._earlier = earlier
        if lenient:
            self._lenient = True
            self._stack.extend([op.OPAQUE] * _LENIENT_DEPTH)
            self._marks.extend([0] * _LENIENT_DEPTH)
        allowed = self._budget.opcodes if max_opcodes is None else min(self._budget.opcodes, max_opcodes)
        try:
            index, count = self._loop(allowed)
        except IndexError:
            return self._broken("an opcode needs more than the stack holds")
        except (BrokenStreamError, UnreadableError) as error:
            return self._broken(str(error))
        except LimitReachedError as error:
            return self._broken(error.reason, error.limit)
        if self._barrier > self._base + index:
            self._observer.disputed("its last frame goes on behind its end", self._base + index)
        return StreamEnd(self._base + index, count)

    def _broken(self, reason: str, limit: str | None = None) -> StreamEnd:
        if limit is None and self._may_leave_frame(self._index):
            self._observer.disputed(_LEFT_FRAME, self._base + self._index)
        return StreamEnd(self._base + self._index, self._count, reason, limit)

    def _loop(self, allowed: int) -> tuple[int, int]:  # noqa: C901, PLR0912, PLR0915 - the hot loop: a call per opcode would double its cost
        stack, marks, memo = self._stack, self._marks, self._memo
        push, pop, dense, sparse, handlers = stack.append, stack.pop, memo.dense, memo.sparse, HANDLERS
        lengths, tags, ring = _LENGTHS, _TAGS, self._tuples
        buffer, i, safe, count = b"", 0, 0, 0
        self._index = self._count = 0
        try:
            for count in range(allowed):
                if i >= safe:
                    i, safe = self._advance(i)
                    buffer = self._buffer
                code = buffer[i]
                length = lengths[code]
                if length:
                    push(tags[code])
                    i += length
                elif code == 0x94:  # MEMOIZE
                    if sparse or memo.holes:
                        memo.put(len(memo), stack[-1])
                    else:
                        dense.append(stack[-1])
                    i += 1
                elif code == 0x8C:  # SHORT_BINUNICODE
                    push((self._base + i) << 4 | 1)
                    i += 2 + buffer[i + 1]
                elif code == 0x71:  # BINPUT
                    memo.put(buffer[i + 1], stack[-1])
                    i += 2
                elif code == 0x72:  # LONG_BINPUT
                    (where,) = _FOUR(buffer, i + 1)
                    if where == len(dense) and not sparse:
                        dense.append(stack[-1])
                    else:
                        memo.put(where, stack[-1])
                    i += 5
                elif code == 0x68:  # BINGET
                    push(self._recall(buffer[i + 1]))
                    i += 2
                elif code == 0x6A:  # LONG_BINGET
                    push(self._recall(_FOUR(buffer, i + 1)[0]))
                    i += 5
                elif code == 0x58:  # BINUNICODE
                    push((self._base + i) << 4 | 1)
                    i += 5 + _FOUR(buffer, i + 1)[0]
                elif 0x85 <= code <= 0x87:  # TUPLE1, TUPLE2, TUPLE3
                    size = 0x84 - code
                    if len(stack) < -size:
                        raise IndexError
                    serial = self._tuple_serial = self._tuple_serial + 1
                    ring[serial & _RING_MASK] = (serial, stack[size:])
                    del stack[size:]
                    push(serial << 4 | 6)
                    i += 1
                elif code == 0x28:  # MARK
                    marks.append(self._base + i << MARK_BITS | len(stack))
                    i += 1
                    code = buffer[i]
                    length = lengths[code]
                    if length and code == buffer[i + length] == buffer[i + 2 * length]:
                        run = _RUN(buffer, i, safe)
                        if run is not None:
                            stack.extend(array("q", [tags[code]]) * ((run.end() - i) // length))
                            i = run.end()
                elif code in (0x65, 0x75):  # APPENDS, SETITEMS
                    mark = marks.pop() & MARK_MASK
                    size = len(stack) - mark
                    del stack[mark:]
                    kind = stack[-1] & 15
                    if code == 0x65 and kind == 7:
                        stack[-1] += size << 4
                    elif code == 0x65 or kind != 8:
                        self._fill(stack[-1], "append" if code == 0x65 else "items", i)
                    i += 1
                elif code == 0x2E:  # STOP
                    pop()
                    return i + 1, count + 1
                else:
                    handler = handlers.get(code)
                    if handler is None:
                        raise BrokenStreamError(f"0x{code:02x} is no opcode")
                    self._index = i
                    i = handler(self, i)
                    safe = self._safe
            raise LimitReachedError("max_opcodes", f"more than {allowed} pickle opcodes")
        finally:
            self._index, self._count = i, count + 1
            self._budget.opcodes -= count + 1

    def _advance(self, index: int) -> tuple[int, int]:
        """Called at the end of a chunk, of a frame and of a repetition's trial: where to go on, and the next such place."""
        while True:
            if self._barrier and self._base + index >= self._barrier:
                if self._base + index > self._barrier and not self._lenient:
                    self._observer.disputed(_LEFT_FRAME, self._barrier)
                self._barrier = 0
            if self._repeats.pending:
                index = self._repeats.skip(index, self._base, self._state_now())
                if self._repeats.skipping and not self._barrier:
                    index = self._skip_chunks(index)
            if index >= self._chunk_end:
                self._refill(index)
                index = self._first_run()
                if not self._barrier and self._is_small():
                    self._repeats.look(self._buffer, index, self._chunk_end, self._base, self._state_now)
            self._bound_safe()
            if index < self._safe:
                return index, self._safe

    def _first_run(self) -> int:
        """Take the constants of one kind at the beginning of a chunk, but not beyond a frame."""
        self._bound_safe()
        run = _RUN(self._buffer, 0, self._safe)
        if run is None:
            return 0
        code = self._buffer[0]
        self._stack.extend(array("q", [_TAGS[code]]) * (run.end() // _LENGTHS[code]))
        return run.end()

    def _skip_chunks(self, index: int) -> int:
        """Read on as long as whole chunks repeat what was found to change nothing."""
        while True:
            self._refill(index)
            index = self._repeats.length(self._buffer, self._chunk_end)
            if index == 0:
                return 0

    def _bound_safe(self) -> None:
        self._safe = self._chunk_end
        if self._barrier:
            self._safe = min(self._safe, self._barrier - self._base)
        if self._repeats.pending:
            self._safe = min(self._safe, self._repeats.boundary - self._base)

    def _is_small(self) -> bool:
        return len(self._stack) + len(self._marks) + len(self._memo.dense) < _SMALL and not self._memo.sparse

    def _state_now(self) -> tuple[object, ...]:
        """All that decides what the next opcodes do, and how much the observer has been told."""
        memo = self._memo
        depths = [mark & MARK_MASK for mark in self._marks]
        return self._stack[:], depths, memo.dense[:], len(memo.sparse), self._protocol, self.told

    def _refill(self, index: int) -> None:
        """Read the next chunk, padded at the end of the source."""
        limits = self._limits
        if len(self._stack) > limits.max_stack or len(self._marks) > limits.max_stack:
            raise LimitReachedError("max_stack", f"more than {limits.max_stack} entries on the stack")
        if len(self._memo.dense) > limits.max_memo:
            raise LimitReachedError("max_memo", f"more than {limits.max_memo} memo entries")
        data = self._source.read(self._base + index, _CHUNK)
        if not data:
            raise BrokenStreamError("it ends without STOP")
        self._base += index
        last = len(data) < _CHUNK
        self._buffer = data + bytes(_MARGIN) if last else data
        self._chunk_end = len(data) if last else len(data) - _MARGIN

    def _may_leave_frame(self, index: int) -> bool:
        """Whether the opcode at which the stream broke may end behind the frame that it stands in."""
        left = self._barrier - self._base - index
        if self._lenient or left <= 0 or index >= len(self._buffer):
            return False
        code = self._buffer[index]
        if _WIDTHS.get(code, 0) > left:
            return True
        if code in _COUNTED:
            return self._count_at(index, _COUNTED[code]) > left
        lines = _LINES.get(code, 0)
        return lines > 0 and self.peek(self._base + index, min(left, _MAX_PEEK)).count(b"\n") < lines
