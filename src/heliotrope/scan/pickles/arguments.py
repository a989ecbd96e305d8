"""Conditions on the arguments of calls: some functions are harmless only in the way frameworks call them."""

import re
from collections.abc import Callable
from typing import Protocol

from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.state import State
from heliotrope.scan.policy import Entry

__all__ = ["CONDITIONS", "misuse", "state_problem"]

_ZONE = re.compile(r"[A-Za-z][\w+-]*(/[A-Za-z][\w+-]*)*", re.ASCII)
"""Keys of time zones; others could name files elsewhere."""

_SCRIPT_CLASSES = frozenset(
    f"__torch__.torch.classes.{name}"
    for name in (
        "quantized.LinearPackedParamsBase",
        "quantized.Conv2dPackedParamsBase",
        "quantized.Conv3dPackedParamsBase",
        "quantized.EmbeddingPackedParamsBase",
        "rnn.CellParamsBase",
        "sparse.LinearPackedParamsBase",
    )
)
"""Classes of C++ whose states are tensors and numbers."""

_CONSTANT_KINDS = frozenset({op.OPAQUE, op.STR, op.BYTES})
_PLAIN_KINDS = _CONSTANT_KINDS | {op.TUPLE, op.LIST, op.DICT, op.SET}
_OBJECT_KINDS = frozenset({op.RESULT, op.INSTANCE, op.USED})
CONDITIONS = frozenset(
    {
        "constants",
        "getattr",
        "codec",
        "nested-torch",
        "callee-first",
        "class-first",
        "index-first",
        "reconstructor",
        "empty-array",
        "zone",
        "partial",
        "new-object",
        "graph-module",
        "never",
    }
)
"""Shapes of functions that may do anything when somebody else chooses their arguments."""

_UNFOLLOWED = "with arguments that cannot be followed"


class _Use(Protocol):
    @property
    def entry(self) -> Entry: ...
    @property
    def module(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def full_name(self) -> str: ...


class _Judge(Protocol):
    """What a condition may ask the judge, and where it leaves what is to be inspected further."""

    inline_arrays: bool
    nested: list[tuple[int, int]]
    follows_graphs: bool

    def use_of(self, tag: int) -> _Use | None: ...
    def made_of(self, tag: int) -> _Use | None: ...
    @property
    def codecs(self) -> set[str]: ...
    @property
    def attributes(self) -> set[str]: ...


def misuse(judge: _Judge, machine: State, entry: Entry, items: list[int] | None, use: str) -> str:
    """Why a call of an allowed global is not the call it is allowed for; empty when it is."""
    if use not in entry.uses:
        return "in a way its framework never does"
    if items is None:
        return _UNFOLLOWED
    if entry.shape in _SHAPES:
        problem = _SHAPES[entry.shape](judge, machine, items)
        if problem or entry.shape == "getattr":
            return problem
    return _objects(judge, entry, items)


def state_problem(judge: _Judge, machine: State, entry: Entry, state: int) -> str:
    """Why a state is not one that objects of an allowed global get; empty when it is.

    Methods of what the state is may be called (`state.pop`), so it must be a plain container. A pair of dictionaries is
    set attribute by attribute, which could change the object's class.
    """
    kind = state & op.KIND_MASK
    if entry.shape in _STATES:
        return _STATES[entry.shape](judge, machine, state)
    if kind == op.TUPLE:
        items = machine.items(state)
        if items is None:
            return "" if entry.tuple else "to something that cannot be followed"
        pair = len(items) == 2 and items[1] & op.KIND_MASK not in _PLAIN_KINDS - {op.DICT}
        return "attribute by attribute" if pair and not entry.slots else ""
    if kind in _PLAIN_KINDS:
        return ""
    made = judge.made_of(state)
    return "" if made is not None and made.entry.value else "to an object"


def _objects(judge: _Judge, entry: Entry, items: list[int]) -> str:
    """The callee may use what it is handed: globals must be allowed with any arguments, objects be plain values."""
    for item in items:
        kind = item & op.KIND_MASK
        if kind == op.UNRESOLVED or (kind == op.PERSISTENT and not entry.takes):
            return _UNFOLLOWED
        used = judge.use_of(item)
        if used is not None and not _free(used.entry):
            return f"with {used.full_name}"
        made = judge.made_of(item) if kind in _OBJECT_KINDS else None
        if made is not None and not made.entry.value and not (entry.takes == "any" and made.entry.kind == "allowed"):
            return f"with an object of {made.full_name}"
    return ""


def _free(entry: Entry) -> bool:
    """Whether whoever gets it may call it with any arguments."""
    return entry.kind == "allowed" and entry.shape not in CONDITIONS


def _only_made(entry: Entry) -> bool:
    """Whether the class is one that only known functions make: its constructor believes what it is given."""
    return "made" in entry.uses and not entry.uses & {"call", "new"}


def _constants(_judge: _Judge, _machine: State, items: list[int]) -> str:
    constant = len(items) == 1 and items[0] & op.KIND_MASK in _CONSTANT_KINDS
    return "" if constant else "with something else than one constant"


def _constants_only(_judge: _Judge, _machine: State, items: list[int]) -> str:
    constant = all(item & op.KIND_MASK in _CONSTANT_KINDS for item in items)
    return "" if constant else "with something else than constants"


def _sized(judge: _Judge, machine: State, items: list[int]) -> str:
    """No number, which would be a size to allocate."""
    if items and items[0] & op.KIND_MASK == op.OPAQUE:
        return "with a size"
    return _encoded(judge, machine, items[1:])


def _text(judge: _Judge, machine: State, items: list[int]) -> str:
    """A constant, or bytes in one of the encodings that picklers use."""
    return _constants_only(judge, machine, items) or _encoded(judge, machine, items[1:])


def _encoded(judge: _Judge, machine: State, items: list[int]) -> str:
    """Other encodings hide text, or need time that grows with the square of its length."""
    if not items or items[0] & op.KIND_MASK == op.OPAQUE:  # the base of a number
        return ""
    name = machine.text(items[0])
    return "" if name in judge.codecs else f"with the codec {name!r}"


def _fraction(judge: _Judge, machine: State, items: list[int]) -> str:
    """Two numbers, or text without an exponent, which stands for a power of ten of any size."""
    problem = _constants_only(judge, machine, items)
    text = machine.text(items[0]) if items and not problem else None
    if text is None:
        return problem or ("with text that is too long" if items and items[0] & op.KIND_MASK == op.STR else "")
    return "" if re.fullmatch(r"[\d/ +-]{1,4300}", text, re.ASCII) else "with something else than two numbers"


def _array(_judge: _Judge, _machine: State, items: list[int]) -> str:
    content = [item & op.KIND_MASK for item in items[1:]]
    good = len(items) <= 2 and all(kind in (op.LIST, op.BYTES, op.STR, op.TUPLE) for kind in content)
    return "" if good else "with something else than its items"


def _zone(_judge: _Judge, machine: State, items: list[int]) -> str:
    key = machine.text(items[0]) if items else ""
    if key is None or not all(item & op.KIND_MASK in _CONSTANT_KINDS for item in items):
        return _UNFOLLOWED
    return "" if _ZONE.fullmatch(key) or not items else f"with the zone {key!r}"


def _partial(judge: _Judge, _machine: State, items: list[int]) -> str:
    """It calls nothing while loading, so any function that is allowed with any arguments may be bound."""
    used = judge.use_of(items[0]) if items else None
    if used is None or not _free(used.entry) or used.entry.shape == "sized" or _only_made(used.entry):
        return _UNFOLLOWED if used is None else f"with {used.full_name}"
    return ""


def _partial_state(judge: _Judge, machine: State, state: int) -> str:
    """Its state names the function again."""
    items = machine.items(state) if state & op.KIND_MASK == op.TUPLE else None
    if items is None or len(items) != 4 or items[1] & op.KIND_MASK != op.TUPLE:
        return "to something that cannot be followed"
    return _partial(judge, machine, items[:1])


def _torch_generator_state(judge: _Judge, machine: State, state: int) -> str:
    """Two numbers and a tensor: torch crashes on anything else."""
    items = machine.items(state) if state & op.KIND_MASK == op.TUPLE else None
    if items is None or len(items) != 3 or any(item & op.KIND_MASK != op.OPAQUE for item in items[:2]):
        return "to something that its framework never writes"
    made = judge.made_of(items[2])
    known = made is not None and made.full_name.startswith("torch._utils._rebuild_tensor")
    return "" if known else "to something that its framework never writes"


def _torch_script_object_state(_judge: _Judge, machine: State, state: int) -> str:
    """What the class gets, and its name."""
    items = machine.items(state) if state & op.KIND_MASK == op.TUPLE else None
    name = machine.text(items[1]) if items is not None and len(items) == 2 else None
    return "" if name in _SCRIPT_CLASSES else "to something that its framework never writes"


def _class_first(judge: _Judge, _machine: State, items: list[int]) -> str:
    used = judge.use_of(items[0]) if items else None
    if used is None:
        return _UNFOLLOWED
    if not used.entry.uses & {"new", "made"}:
        return f"to make a {used.full_name}"
    return ""


def _index_first(judge: _Judge, machine: State, items: list[int]) -> str:
    """Calls `__new__` of the class with names of the file's choosing, so that it must be an index."""
    used = judge.use_of(items[0]) if items else None
    if used is not None and not (used.module.startswith("pandas") and used.name.endswith("Index")):
        return f"to make a {used.full_name}"
    return _class_first(judge, machine, items)


def _new_object(judge: _Judge, machine: State, items: list[int]) -> str:
    """copyreg's, which stands for NEWOBJ."""
    problem = _class_first(judge, machine, items)
    used = judge.use_of(items[0]) if items else None
    if problem or used is None:
        return problem
    return misuse(judge, machine, used.entry, items[1:], "new")


def _reconstructor(judge: _Judge, machine: State, items: list[int]) -> str:
    """copyreg's, of protocols 0 and 1: object.__new__ of a class, or that of a base class which gets one value."""
    base = judge.use_of(items[1]) if len(items) == 3 else None
    if base is not None and base.full_name == "builtins.object" and items[2] & op.KIND_MASK == op.OPAQUE:
        used = judge.use_of(items[0])
        if used is None:
            return _UNFOLLOWED
        return "" if used.entry.uses & {"new", "made"} else f"to make a {used.full_name}"
    if base is None or "call" not in base.entry.uses:
        return _UNFOLLOWED
    problem = _class_first(judge, machine, items[:1])
    if problem or base.entry.shape not in _SHAPES:
        return problem
    return _SHAPES[base.entry.shape](judge, machine, items[2:])


def _empty_array(judge: _Judge, machine: State, items: list[int]) -> str:
    """An array that waits for its state: one short side, of bytes."""
    used = judge.use_of(items[0]) if items else None
    if used is None or "made" not in used.entry.uses:
        return _UNFOLLOWED if used is None else f"to make a {used.full_name}"
    for item in items[1:]:
        kind = item & op.KIND_MASK
        if kind == op.TUPLE:
            sides = machine.items(item)
            if sides is None or len(sides) > 1 or not all(machine.is_short_number(side) for side in sides):
                return "of a shape that no pickler writes"
        elif kind == op.OPAQUE:
            return "of a shape that no pickler writes"
    return ""


def _callee_first(judge: _Judge, machine: State, items: list[int]) -> str:
    used = judge.use_of(items[0]) if items else None
    if used is None or len(items) != 4:
        return _UNFOLLOWED
    if "call" not in used.entry.uses or used.entry.shape or not used.entry.value:
        return f"to call {used.full_name}"
    made = judge.use_of(items[1])
    if made is None or not made.entry.value or "made" not in made.entry.uses:
        return "to give it another class"
    inner = machine.items(items[2]) if items[2] & op.KIND_MASK == op.TUPLE else None
    if inner is None or items[3] & op.KIND_MASK not in _PLAIN_KINDS:
        return _UNFOLLOWED
    return _objects(judge, used.entry, inner)


def _getattr(judge: _Judge, machine: State, items: list[int]) -> str:
    used = (judge.use_of(items[0]) or judge.made_of(items[0])) if items else None
    name = machine.text(items[1]) if len(items) == 2 else None
    if used is None or name is None:
        return _UNFOLLOWED
    if f"{used.full_name}.{name}" in judge.attributes:
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


def _graph_module(judge: _Judge, _machine: State, items: list[int]) -> str:
    """It runs code from its arguments; the judge's graph_called says where, and the stream is read again for it."""
    kinds = [item & op.KIND_MASK for item in items]
    return "" if kinds == [op.DICT, op.STR] and judge.follows_graphs else "with code that cannot be followed"


def _inline_array(judge: _Judge, _machine: State, _items: list[int]) -> str:
    judge.inline_arrays = True
    return ""


_SHAPES: dict[str, Callable[[_Judge, State, list[int]], str]] = {
    "constants": _constants,
    "constants-only": _constants_only,
    "sized": _sized,
    "text": _text,
    "fraction": _fraction,
    "array": _array,
    "zone": _zone,
    "partial": _partial,
    "class-first": _class_first,
    "index-first": _index_first,
    "new-object": _new_object,
    "reconstructor": _reconstructor,
    "empty-array": _empty_array,
    "callee-first": _callee_first,
    "getattr": _getattr,
    "codec": _codec,
    "nested-torch": _nested_torch,
    "graph-module": _graph_module,
    "inline-array": _inline_array,
}
"""Others say that the judge follows what a call returns, or the state of what it made: dtype, distribution."""

_STATES: dict[str, Callable[[_Judge, State, int], str]] = {
    "partial": _partial_state,
    "torch-generator": _torch_generator_state,
    "torch-script-object": _torch_script_object_state,
}
"""Shapes of objects whose state must have a form of its own."""
