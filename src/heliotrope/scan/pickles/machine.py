"""The pickle machine, run on tags instead of objects: it keeps stack, marks and memo exactly, and loads nothing.

A tag is an integer: the kind in the low four bits, a payload above (see opcodes). Text is a tag that holds the offset
of its opcode and is read only when it names an import, so the memo of a large file stays small. Where the real unpickler
would stop with an error that cannot be told from tags alone, this one goes on: it may see more than a loader, never less.
"""

from collections.abc import Callable
from typing import Final

from heliotrope.scan.interface import LimitReachedError, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.handlers import HANDLERS, Handlers
from heliotrope.scan.pickles.state import BrokenStreamError, Observer, StreamEnd

__all__ = ["Machine"]

_CHUNK = 256 * 1024
_MARGIN = 16
"""Longer than any opcode with a fixed argument, so that those never cross the end of a chunk."""

_LENIENT_DEPTH = 64
"""Constants and marks assumed below a stream whose beginning is unknown."""

_LENGTHS: Final = [op.FIXED_PUSHES.get(code, (0, 0))[0] for code in range(256)]
_TAGS: Final = [op.FIXED_PUSHES.get(code, (0, 0))[1] for code in range(256)]


class Machine(Handlers):
    """Runs one stream of a source."""

    def __init__(self, source: Source, observer: Observer, limits: ScanLimits, budget: Budget) -> None:
        super().__init__(source, observer, limits, budget)
        self._index = 0
        self._count = 0
        self._bound: dict[int, Callable[[int], int]] = {code: method.__get__(self) for code, method in HANDLERS.items()}

    def run(self, start: int, *, max_opcodes: int | None = None, lenient: bool = False) -> StreamEnd:
        """Run from an offset to STOP, to the first error, or to a limit. Never raises.

        Lenient is for a stream whose beginning is unknown: what is missing from stack and memo counts as a constant.
        """
        self._base = start
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
        return StreamEnd(self._base + index, count)

    def _broken(self, reason: str, limit: str | None = None) -> StreamEnd:
        return StreamEnd(self._base + self._index, self._count, reason, limit)

    def _loop(self, allowed: int) -> tuple[int, int]:  # noqa: C901, PLR0912, PLR0915 - the hot loop: a call per opcode would double its cost
        stack, marks, memo = self._stack, self._marks, self._memo
        push, dense, sparse, handlers = stack.append, memo.dense, memo.sparse, self._bound
        lengths, tags = _LENGTHS, _TAGS
        buffer, i, safe, count = b"", 0, 0, 0
        self._index = self._count = 0
        try:
            for count in range(allowed):
                if i >= safe:
                    buffer, safe = self._refill(i)
                    i = 0
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
                    where = buffer[i + 1] | buffer[i + 2] << 8 | buffer[i + 3] << 16 | buffer[i + 4] << 24
                    if where == len(dense) and not sparse:
                        dense.append(stack[-1])
                    else:
                        memo.put(where, stack[-1])
                    i += 5
                elif code == 0x68:  # BINGET
                    push(self._recall(buffer[i + 1]))
                    i += 2
                elif code == 0x58:  # BINUNICODE
                    push((self._base + i) << 4 | 1)
                    i += 5 + (buffer[i + 1] | buffer[i + 2] << 8 | buffer[i + 3] << 16 | buffer[i + 4] << 24)
                elif code == 0x28:  # MARK
                    marks.append(len(stack))
                    i += 1
                elif code in (0x65, 0x75):  # APPENDS, SETITEMS
                    del stack[marks.pop() :]
                    if stack[-1] & 15 not in (7, 8):
                        use = "append" if code == 0x65 else "items"
                        self._observer.filled(stack[-1], use=use, offset=self._base + i)
                    i += 1
                elif 0x85 <= code <= 0x87:  # TUPLE1, TUPLE2, TUPLE3
                    size = code - 0x84
                    if len(stack) < size:
                        raise IndexError
                    items = stack[-size:]
                    del stack[-size:]
                    push(self._tuple(items))
                    i += 1
                elif code == 0x2E:  # STOP
                    stack.pop()
                    return i + 1, count + 1
                else:
                    handler = handlers.get(code)
                    if handler is None:
                        raise BrokenStreamError(f"0x{code:02x} is no opcode")
                    self._index = i
                    i = handler(i)
            raise LimitReachedError("max_opcodes", f"more than {allowed} pickle opcodes")
        finally:
            self._index, self._count = i, count + 1
            self._budget.opcodes -= count + 1

    def _refill(self, index: int) -> tuple[bytes, int]:
        """The next chunk, padded at the end of the source, and the index below which an opcode may begin."""
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
        return self._buffer, len(data) if last else len(data) - _MARGIN
