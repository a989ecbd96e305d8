"""The opcodes that are rare, or that do something: one method each, from the opcode's index to the next one's."""

from collections.abc import Callable
from typing import Any

from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles import text_numbers
from heliotrope.scan.pickles.state import BYTES_WIDTH, COUNTED_TEXT, MARK_BITS, MARK_MASK, BrokenStreamError, State

__all__ = ["HANDLERS", "Handlers"]

_LONG_NUMBER = 64 * 1024
"""Lines of numbers from here on are not checked: what unpicklers accept depends on their configuration."""


class Handlers(State):
    """The state with the methods that change it."""

    def op_pop(self, index: int) -> int:
        if self._marks and self._marks[-1] & MARK_MASK == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()
        return index + 1

    def op_pop_mark(self, index: int) -> int:
        self._cut()
        return index + 1

    def op_dup(self, index: int) -> int:
        tag = self._stack[-1]
        self._stack.append(self._observer.recalled(tag) if op.GLOBAL <= tag & op.KIND_MASK <= op.INSTANCE else tag)
        return index + 1

    def op_proto(self, index: int) -> int:
        version = self._buffer[index + 1]
        if version > 5:
            raise BrokenStreamError(f"protocol {version} does not exist")
        self._protocol = version
        return index + 2

    def op_frame(self, index: int) -> int:
        size = int.from_bytes(self._buffer[index + 1 : index + 9], "little")
        begin = self._at(index) + 9
        self.frame_end = begin + size
        if self._lenient:
            return index + 9
        if self.frame_end > self._source.size:
            self._observer.defect("a frame is longer than the file", self._at(index))
        elif self._barrier and self.frame_end > self._barrier:
            self._observer.disputed("a frame begins within another one and ends outside", self._at(index))
        elif not self._barrier and size:
            self._barrier = self.frame_end
            self._safe = min(self._safe, self._barrier - self._base)
        return index + 9

    def op_mark_tuple(self, index: int) -> int:
        begun = self._marks[-1] >> MARK_BITS
        self._stack.append(self._tuple(self._cut()))
        self._marked = self._tuple_serial, begun
        return index + 1

    def op_mark_list(self, index: int) -> int:
        self._stack.append(len(self._cut()) << op.KIND_BITS | op.LIST)
        return index + 1

    def op_mark_dict(self, index: int) -> int:
        self._cut()
        self._stack.append(op.DICT)
        return index + 1

    def op_mark_set(self, index: int) -> int:
        self._cut()
        self._stack.append(op.SET)
        return index + 1

    def op_additems(self, index: int) -> int:
        self._cut()
        if self._stack[-1] & op.KIND_MASK != op.SET:
            self._fill(self._stack[-1], "add", index)
        return index + 1

    def op_append(self, index: int) -> int:
        self._stack.pop()
        if self._stack[-1] & op.KIND_MASK == op.LIST:
            self._stack[-1] += 1 << op.KIND_BITS
        else:
            self._fill(self._stack[-1], "append", index)
        return index + 1

    def op_setitem(self, index: int) -> int:
        self._stack.pop()
        self._stack.pop()
        if self._stack[-1] & op.KIND_MASK != op.DICT:
            self._fill(self._stack[-1], "items", index)
        return index + 1

    def _fill(self, target: int, use: str, index: int) -> None:
        self._tell()
        self._observer.filled(target, use=use, offset=self._at(index))

    def op_get(self, index: int) -> int:
        where, after = self._number(index + 1)
        self._stack.append(self._recall(where))
        return after

    def op_put(self, index: int) -> int:
        where, after = self._number(index + 1)
        if where < 0:
            raise BrokenStreamError("a memo index is negative")
        self._memo.put(where, self._stack[-1])
        return after

    def op_number_line(self, index: int) -> int:
        line, after = self._line(index + 1)
        if len(line) < _LONG_NUMBER and not text_numbers.is_number(line, floating=self._buffer[index] == 0x46):
            raise BrokenStreamError("a number is malformed")
        self._stack.append((self._at(index) + 1) << op.KIND_BITS | op.OPAQUE)
        return after

    def op_text_line(self, index: int) -> int:
        line, after = self._line(index + 1)
        if self._buffer[index] == 0x53 and line[:1] not in (b"'", b'"'):
            raise BrokenStreamError("a string is not quoted")
        self._stack.append(self._at(index) << op.KIND_BITS | op.STR)
        return after

    def op_counted_text(self, index: int) -> int:
        width, _ = COUNTED_TEXT[self._buffer[index]]
        self._stack.append(self._at(index) << op.KIND_BITS | op.STR)
        return index + 1 + width + self._count_of(index, width)

    def op_counted_bytes(self, index: int) -> int:
        width = BYTES_WIDTH[self._buffer[index]]
        self._stack.append(self._at(index) << op.KIND_BITS | op.BYTES)
        return index + 1 + width + self._count_of(index, width)

    def op_counted_number(self, index: int) -> int:
        width = 1 if self._buffer[index] == 0x8A else 4
        self._stack.append((self._at(index) + 1) << op.KIND_BITS | op.OPAQUE)
        return index + 1 + width + self._count_of(index, width)

    def _count_of(self, index: int, width: int) -> int:
        size = int.from_bytes(self._buffer[index + 1 : index + 1 + width], "little")
        if self._at(index) + 1 + width + size > self._source.size:
            raise BrokenStreamError(f"a value of {size} bytes is announced, which the file does not have")
        return size

    def op_readonly(self, index: int) -> int:
        """It asks an object for its memory, which since Python 3.12 may be a method of its class."""
        if op.GLOBAL <= self._stack[-1] & op.KIND_MASK <= op.INSTANCE:
            self._fill(self._stack[-1], "buffer", index)
        return index + 1

    def op_global(self, index: int) -> int:
        module, after = self._last_line(index + 1)
        name, after = self._last_line(after)
        self._stack.append(self._import(module, name, index))
        return after

    def _import(self, module: bytes, name: bytes, index: int) -> int:
        names = self._name(module), self._name(name)
        self._tell()
        return self._observer.imported(*names, protocol=self._protocol, offset=self._at(index))

    def _name(self, line: bytes) -> str:
        """The name in a line, cut where it is longer than any name; what is no UTF-8 then matters no more."""
        limit = self._limits.max_name
        try:
            return line[: 4 * limit].decode("utf-8", "strict" if len(line) <= 4 * limit else "replace")[:limit]
        except UnicodeDecodeError:
            raise BrokenStreamError("the name of an import is no UTF-8") from None

    def op_stack_global(self, index: int) -> int:
        name, module = self.text(self._stack.pop()), self.text(self._stack.pop())
        self._tell()
        if module is None or name is None:
            tag = self._observer.computed_name(self._at(index))
        else:
            tag = self._observer.imported(module, name, protocol=self._protocol, offset=self._at(index))
        self._stack.append(tag)
        return index + 1

    def op_inst(self, index: int) -> int:
        module, after = self._last_line(index + 1)
        name, after = self._last_line(after)
        callee = self._import(module, name, index)
        arguments = self._tuple(self._cut())
        self._stack.append(self._call(callee, arguments, "call", index))
        return after

    def op_obj(self, index: int) -> int:
        items = self._cut()
        self._stack.append(self._call(items[0], self._tuple(items[1:]), "call", index))
        return index + 1

    def op_newobj(self, index: int) -> int:
        arguments, callee = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(callee, arguments, "new", index))
        return index + 1

    def op_newobj_ex(self, index: int) -> int:
        """With arguments by name, of which nothing is known, the others are only a part: no condition can be checked."""
        self._stack.pop()
        arguments, callee = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(callee, arguments, "new-by-name", index))
        return index + 1

    def op_reduce(self, index: int) -> int:
        arguments, callee = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(callee, arguments, "call", index))
        return index + 1

    def _call(self, callee: int, arguments: int, use: str, index: int) -> int:
        self._tell()
        return self._observer.called(self, callee, arguments, use=use, offset=self._at(index))

    def op_build(self, index: int) -> int:
        state, target = self._stack.pop(), self._stack.pop()
        self._resume = -1
        self._tell()
        self._stack.append(self._observer.built(self, target, state, offset=self._at(index)))
        if self._resume < 0:
            return index + 1
        if self._barrier <= self._at(index + 1):
            self._barrier = 0  # joblib ends the frame before the bytes of an array
        self.note_skipped(self._at(index))
        return self._resume - self._base

    def op_persid(self, index: int) -> int:
        identifier, after = self._last_line(index + 1)
        if not identifier.isascii():
            raise BrokenStreamError("a persistent id is not ASCII")
        self._tell()
        self._stack.append(self._observer.persistent(self, op.OPAQUE, offset=self._at(index)))
        return after

    def op_binpersid(self, index: int) -> int:
        identifier = self._stack.pop()
        self._tell()
        self._stack.append(self._observer.persistent(self, identifier, offset=self._at(index)))
        return index + 1

    def op_ext(self, index: int) -> int:
        width = {0x82: 1, 0x83: 2, 0x84: 4}[self._buffer[index]]
        code = int.from_bytes(self._buffer[index + 1 : index + 1 + width], "little")
        self._tell()
        self._stack.append(self._observer.extension(code, self._at(index)))
        return index + 1 + width


HANDLERS: dict[int, Callable[[Any, int], int]] = {
    0x30: Handlers.op_pop,
    0x31: Handlers.op_pop_mark,
    0x32: Handlers.op_dup,
    0x42: Handlers.op_counted_bytes,
    0x43: Handlers.op_counted_bytes,
    0x46: Handlers.op_number_line,
    0x49: Handlers.op_number_line,
    0x4C: Handlers.op_number_line,
    0x50: Handlers.op_persid,
    0x51: Handlers.op_binpersid,
    0x52: Handlers.op_reduce,
    0x53: Handlers.op_text_line,
    0x54: Handlers.op_counted_text,
    0x55: Handlers.op_counted_text,
    0x56: Handlers.op_text_line,
    0x61: Handlers.op_append,
    0x62: Handlers.op_build,
    0x63: Handlers.op_global,
    0x64: Handlers.op_mark_dict,
    0x67: Handlers.op_get,
    0x69: Handlers.op_inst,
    0x6C: Handlers.op_mark_list,
    0x6F: Handlers.op_obj,
    0x70: Handlers.op_put,
    0x73: Handlers.op_setitem,
    0x74: Handlers.op_mark_tuple,
    0x80: Handlers.op_proto,
    0x81: Handlers.op_newobj,
    0x82: Handlers.op_ext,
    0x83: Handlers.op_ext,
    0x84: Handlers.op_ext,
    0x8A: Handlers.op_counted_number,
    0x8B: Handlers.op_counted_number,
    0x8D: Handlers.op_counted_text,
    0x8E: Handlers.op_counted_bytes,
    0x90: Handlers.op_additems,
    0x91: Handlers.op_mark_set,
    0x92: Handlers.op_newobj_ex,
    0x93: Handlers.op_stack_global,
    0x95: Handlers.op_frame,
    0x96: Handlers.op_counted_bytes,
    0x98: Handlers.op_readonly,
}
