"""States of numpy's arrays of objects: numpy believes that the list in a state is as long as the shape in it says.

An array's pickle calls `_reconstruct`, then sets the state (1, shape, type, order, content). The content of an array of
objects is a list, from which numpy takes as many items as the shape has places, without asking for its length: a shorter
one makes it read beyond the end. Of other types it is bytes, whose length numpy does check. Source: array_setstate and
_setlist_pkl in numpy's methods.c.
"""

import math
import re
from collections.abc import Callable
from typing import Final

from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.state import State

__all__ = ["ARRAY_CLASSES", "ArrayStates"]

ARRAY_CLASSES: Final = frozenset({"ndarray", "matrix", "recarray", "chararray", "MaskedArray", "MaskedConstant"})
"""Of numpy, those whose state is set by ndarray."""

_PEEK = 512
_MAX_PENDING = 10_000
"""Arrays made and not yet given their state: only arrays of arrays have more than one."""

_MAKERS_OF_BYTES: Final = frozenset({"_codecs.encode", "builtins.bytes"})
"""How picklers write bytes below protocol 3."""

_INTEGER: Final = (
    rb"(?:K.|M..|J.{4}|I-?\d{1,20}L?\n|L-?\d{1,20}L?\n|\x8a(?:\x00|\x01.|\x02..|\x03.{3}|\x04.{4}|\x05.{5}|\x08.{8}))"
)
_BEGIN: Final = re.compile(
    rb"(?:\x94|q.|r.{4}|p\d{1,20}\n)?(\()(?:K\x01|M\x01\0|J\x01\0\0\0|I1\n|L1L?\n)"
    rb"(?:\)|(?P<few>" + _INTEGER + rb"{1,3})(?P<size>[\x85-\x87])|\((?P<many>" + _INTEGER + rb"{0,64})t)",
    re.DOTALL,
)
"""What picklers write behind the call: perhaps a memo opcode, then a mark, the version and the shape."""


class ArrayStates:
    """What the arrays of a stream announce, until they get their state."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        """Offset of the mark at which a state begins to the number of places in its shape."""

    def made(self, machine: State, after: int) -> None:
        """An array has been made, and the opcodes go on at `after`."""
        match = _BEGIN.match(machine.peek(after, _PEEK))
        if match is None or len(self._places) >= _MAX_PENDING:
            return
        sides = _sides(match["few"] or match["many"] or b"")
        if sides is None or (match["few"] and len(sides) != match["size"][0] - 0x84):
            return
        if all(side >= 0 for side in sides):
            self._places[after + match.start(1)] = math.prod(sides)

    def problem(self, machine: State, state: int, maker: Callable[[int], str]) -> str:
        """What is wrong with the state that an array gets; empty when numpy reads nothing but what is there.

        `maker` says what an object was made by.
        """
        places = self._places.pop(machine.mark_of(state), None)
        items = machine.items(state) if state & op.KIND_MASK == op.TUPLE else None
        if items is None or len(items) < 4:
            return "that is not written as numpy writes states" if items is None else ""
        content = items[4] if len(items) > 4 else items[3]
        kind = content & op.KIND_MASK
        if kind == op.LIST:
            if places is None:
                return "whose shape cannot be told"
            length = content >> op.KIND_BITS
            return f"with {length} objects for {places} places" if length < places else ""
        if kind in (op.RESULT, op.USED):
            return "" if maker(content) in _MAKERS_OF_BYTES else f"with what {maker(content)} returned as content"
        return "with content that cannot be told" if kind in _MAYBE_LISTS else ""


_MAYBE_LISTS: Final = frozenset({op.INSTANCE, op.PERSISTENT, op.UNRESOLVED})


def _sides(opcodes: bytes) -> list[int] | None:
    """The numbers that some opcodes push; None when these are no whole opcodes."""
    sides, at = [], 0
    while at < len(opcodes):
        code = opcodes[at]
        if code in b"IL":
            end = opcodes.find(b"\n", at) + 1
            sides.append(int(opcodes[at + 1 : end].strip().rstrip(b"L")))
        else:
            begin = at + (2 if code == 0x8A else 1)
            end = begin + (opcodes[at + 1] if code == 0x8A else _WIDTHS[code])
            sides.append(int.from_bytes(opcodes[begin:end], "little", signed=code in b"J\x8a"))
        at = end
    return sides if at == len(opcodes) else None


_WIDTHS: Final = {ord("K"): 1, ord("M"): 2, ord("J"): 4}
