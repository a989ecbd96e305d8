"""Conditions on the arguments of calls: some functions are harmless only in the way frameworks call them."""

from collections.abc import Callable
from typing import Protocol

from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.state import State
from heliotrope.scan.policy import Entry

__all__ = ["CONDITIONS", "misuse", "misused_state"]

_CONSTANT_KINDS = frozenset({op.OPAQUE, op.STR, op.BYTES})
CONDITIONS = frozenset({"constants", "getattr", "codec", "nested-torch", "callee-first", "class-first", "partial"})
"""Shapes of functions that may do anything when somebody else chooses their arguments."""

_UNFOLLOWED = "with arguments that cannot be followed"


class _Use(Protocol):
    @property
    def entry(self) -> Entry: ...
    @property
    def full_name(self) -> str: ...


class _Judge(Protocol):
    """What a condition may ask the judge, and where it leaves what is to be inspected further."""

    inline_arrays: bool
    nested: list[tuple[int, int]]

    def use_of(self, tag: int) -> _Use | None: ...
    def made_of(self, tag: int) -> _Use | None: ...
    def attribute(self, tag: int, name: str) -> Entry: ...
    @property
    def codecs(self) -> frozenset[str]: ...


def misuse(judge: _Judge, machine: State, entry: Entry, items: list[int] | None, use: str) -> str:
    """Why a call of an allowed global is not the call it is allowed for; empty when it is."""
    if use not in entry.uses:
        return "in a way its framework never does"
    if not entry.shape:
        return ""
    if items is None:
        return _UNFOLLOWED
    return _SHAPES[entry.shape](judge, machine, items)


def _constants(_judge: _Judge, _machine: State, items: list[int]) -> str:
    constant = len(items) == 1 and items[0] & op.KIND_MASK in _CONSTANT_KINDS
    return "" if constant else "with something else than one constant"


def _known_globals(judge: _Judge, _machine: State, items: list[int]) -> str:
    """The callee may call what it is handed, so that must be allowed with any arguments."""
    for item in items:
        if item & op.KIND_MASK == op.UNRESOLVED:
            return _UNFOLLOWED
        used = judge.use_of(item)
        if used is not None and (used.entry.kind != "allowed" or used.entry.shape in CONDITIONS):
            return f"with {used.full_name}"
    return ""


def _partial(judge: _Judge, _machine: State, items: list[int]) -> str:
    """It calls nothing while loading, but whoever gets it may, with arguments that the file chose."""
    used = judge.use_of(items[0]) if items else None
    if used is None:
        return _UNFOLLOWED
    entry = used.entry
    bound = entry.kind == "allowed" and ("bind" in entry.uses or ("call" in entry.uses and not entry.shape))
    return "" if bound else f"with {used.full_name}"


def misused_state(judge: _Judge, machine: State, entry: Entry, state: int) -> str:
    """Why the state that an allowed object gets is not one it is allowed to get; empty when it is.

    The state of a partial function replaces the function that it was made with. A state in two parts sets attributes of
    any name, its class among them; only classes with slots need that.
    """
    items = machine.items(state) if state & op.KIND_MASK == op.TUPLE else None
    if entry.shape == "partial":
        return _partial(judge, machine, items) if items else _UNFOLLOWED
    in_slots = items is not None and len(items) == 2 and _is_mapping(judge, items[1])
    return "in slots, which it does not have" if in_slots and "slots" not in entry.uses else ""


def _is_mapping(judge: _Judge, tag: int) -> bool:
    made = judge.made_of(tag)
    return tag & op.KIND_MASK == op.DICT or (made is not None and "items" in made.entry.uses)


def _class_first(judge: _Judge, machine: State, items: list[int]) -> str:
    used = judge.use_of(items[0]) if items else None
    if used is None:
        return _UNFOLLOWED
    if "new" not in used.entry.uses:
        return f"to make a {used.full_name}"
    return _known_globals(judge, machine, items[1:])


def _callee_first(judge: _Judge, machine: State, items: list[int]) -> str:
    used = judge.use_of(items[0]) if items else None
    if used is None:
        return _UNFOLLOWED
    if "call" not in used.entry.uses or used.entry.shape:
        return f"to call {used.full_name}"
    return _known_globals(judge, machine, items[1:])


def _getattr(judge: _Judge, machine: State, items: list[int]) -> str:
    """Picklers reach nested names so; what may be reached is listed by its dotted name."""
    used = judge.use_of(items[0]) if items else None
    name = machine.text(items[1]) if len(items) == 2 else None
    if used is None or name is None:
        return _UNFOLLOWED
    if judge.attribute(items[0], name).kind == "allowed":
        return ""
    return f"to reach {name!r} of {used.full_name}"


def _codec(judge: _Judge, machine: State, items: list[int]) -> str:
    if len(items) != 2 or items[0] & op.KIND_MASK != op.STR:
        return _UNFOLLOWED
    name = machine.text(items[1])
    return "" if name in judge.codecs else f"with the codec {name!r}"


def _nested_torch(judge: _Judge, machine: State, items: list[int]) -> str:
    if len(items) != 1 or items[0] & op.KIND_MASK != op.BYTES:
        return _UNFOLLOWED
    judge.nested.append(machine.bytes_at(items[0]))
    return ""


def _inline_array(judge: _Judge, _machine: State, _items: list[int]) -> str:
    judge.inline_arrays = True
    return ""


def _dtype(_judge: _Judge, _machine: State, _items: list[int]) -> str:
    return ""  # any call; the shape says that the judge follows what it returns


_SHAPES: dict[str, Callable[[_Judge, State, list[int]], str]] = {
    "constants": _constants,
    "known-globals": _known_globals,
    "partial": _partial,
    "class-first": _class_first,
    "callee-first": _callee_first,
    "getattr": _getattr,
    "codec": _codec,
    "nested-torch": _nested_torch,
    "inline-array": _inline_array,
    "dtype": _dtype,
}
