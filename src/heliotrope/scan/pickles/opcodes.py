"""The pickle opcodes, protocols 0 to 5, as the machine needs them. Source: the documentation in CPython's pickletools."""

from typing import Final

__all__ = [
    "BYTES",
    "DICT",
    "FIXED_PUSHES",
    "GLOBAL",
    "INSTANCE",
    "KIND_BITS",
    "KIND_MASK",
    "LIST",
    "OPAQUE",
    "PERSISTENT",
    "RESULT",
    "SET",
    "STARTS",
    "STR",
    "TUPLE",
    "UNRESOLVED",
    "USED",
]

OPAQUE: Final = 0
"""A constant that is neither text nor bytes: number, None, truth value. Of long numbers and those written as text, the
payload is one more than the offset of the opcode."""
STR: Final = 1
"""Text; the payload is the offset of its opcode."""
BYTES: Final = 2
"""Bytes; the payload is the offset of their opcode."""
GLOBAL: Final = 3
"""Something imported; the payload is its number in the judge's list."""
RESULT: Final = 4
"""What a call returned; the payload is the number of the callee."""
INSTANCE: Final = 5
"""An object of a class; the payload is the number of the class."""
TUPLE: Final = 6
"""A tuple; the payload is a serial number, 0 for the empty one."""
LIST: Final = 7
"""The payload is how many items it has at least: those it had when it came onto the stack, and what was appended there."""
DICT: Final = 8
SET: Final = 9
PERSISTENT: Final = 10
"""What the loading program makes of a persistent id."""
UNRESOLVED: Final = 11
"""The result of a computed import, a computed call or an extension code."""

USED: Final = 12
"""An INSTANCE or RESULT that was put aside or given its state: setting its state once more may run what the first one set."""

KIND_BITS: Final = 4
KIND_MASK: Final = 15

FIXED_PUSHES: Final[dict[int, tuple[int, int]]] = {
    ord("N"): (1, OPAQUE),
    0x88: (1, OPAQUE),  # NEWTRUE
    0x89: (1, OPAQUE),  # NEWFALSE
    ord("J"): (5, OPAQUE),  # BININT
    ord("K"): (2, OPAQUE),  # BININT1
    ord("M"): (3, OPAQUE),  # BININT2
    ord("G"): (9, OPAQUE),  # BINFLOAT
    ord("]"): (1, LIST),
    ord("}"): (1, DICT),
    ord(")"): (1, TUPLE),
    0x8F: (1, SET),  # EMPTY_SET
    0x97: (1, OPAQUE),  # NEXT_BUFFER: an out-of-band buffer
}
"""Opcode to (length with argument, tag): those that only push a constant."""

STARTS: Final = (
    frozenset(b"(NIJKMLFGSTUVXBCcP])}") | {0x80, 0x82, 0x83, 0x84} | set(range(0x88, 0x90)) | {0x95, 0x96, 0x97}
)
"""Opcodes a stream can begin with: all others need something on the stack."""
