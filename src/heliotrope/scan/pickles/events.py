"""What a pickle does, as records: bytes in, events out.

This is the boundary behind which the machine can be replaced. An engine in another language implements `Observer`'s calls
(see `state`), with the queries of `State` for the values behind tags; when it gives the records of `events()` for the same
bytes, verdicts do not change. The differential tests hold these records against both of Python's unpicklers:

- Every import, call, state, item, or persistent id that one of them comes to before it stops is among the records, in order.
- A stream that one of them reads to its STOP gives exactly its events, but for: APPENDS, SETITEMS and ADDITEMS without
  items, which count although nothing is called (`pickle._Unpickler` calls `extend` with nothing); INST and OBJ without
  arguments, which only make the object when the callee is a class; READONLY_BUFFER on an object.
- From a dispute on (an opcode reaches beyond its frame), unpicklers read different programs, of which one is recorded.
- Behind an error of theirs there may be further records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from heliotrope.scan.interface import Source
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.machine import Machine
from heliotrope.scan.pickles.state import State, StreamEnd
from heliotrope.scan.policy import shipped_policy
from heliotrope.scan.sources import BytesSource

__all__ = ["Event", "EventKind", "Value", "ValueKind", "events"]

ValueKind = Literal[
    "constant",
    "text",
    "bytes",
    "global",
    "result",
    "instance",
    "tuple",
    "list",
    "dict",
    "set",
    "persistent",
    "unresolved",
]
EventKind = Literal[
    "import", "computed-import", "extension", "call", "build", "fill", "persistent-id", "defect", "dispute"
]

_KINDS: Final[dict[int, ValueKind]] = {
    op.OPAQUE: "constant",
    op.STR: "text",
    op.BYTES: "bytes",
    op.GLOBAL: "global",
    op.RESULT: "result",
    op.INSTANCE: "instance",
    op.TUPLE: "tuple",
    op.LIST: "list",
    op.DICT: "dict",
    op.SET: "set",
    op.PERSISTENT: "persistent",
    op.UNRESOLVED: "unresolved",
}
_NAMED: Final = frozenset({op.GLOBAL, op.RESULT, op.INSTANCE})


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value without making it."""

    kind: ValueKind
    text: str | None = None
    """Of text, what it says (None when longer than any name); of what was imported, called or made, its global."""
    items: tuple["Value", ...] | None = None
    """Of a tuple, its items; None when they are not known any more."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a stream does."""

    kind: EventKind
    offset: int
    """Of its opcode."""
    module: str = ""
    """Of an import, as written."""
    name: str = ""
    protocol: int = 0
    """In force at an import; below 3, the names of Python 2 are mapped."""
    resolved: tuple[str, str] = ("", "")
    """What Python 3 imports."""
    target: Value | None = None
    """What is called, is given its state or items; of a persistent id, the id."""
    arguments: Value | None = None
    """Of a call, its arguments; of a build, the state."""
    use: str = ""
    """Of a call, call or new; of a fill, append, items, add or buffer; of an extension, the code; of a defect or dispute, why."""


def events(
    data: bytes | Source, *, start: int = 0, limits: ScanLimits | None = None
) -> tuple[tuple[Event, ...], StreamEnd]:
    """All that the stream at `start` does up to its STOP, its first error or a limit, and how it ended. Never raises."""
    limits = limits or ScanLimits()
    source = BytesSource(data) if isinstance(data, bytes) else data
    recorder = _Recorder()
    end = Machine(source, recorder, limits, Budget.of(limits)).run(start)
    return tuple(recorder.seen), end


class _Recorder:
    """An observer that judges nothing."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._names: list[str] = []

    def imported(self, module: str, name: str, *, protocol: int, offset: int) -> int:
        resolved = shipped_policy().python3_name(module, name) if protocol < 3 else (module, name)
        number = self._numbers.setdefault((module, name), len(self._numbers))
        if number == len(self._names):
            self._names.append(f"{module}.{name}")
        self.seen.append(Event("import", offset, module, name, protocol, resolved))
        return number << op.KIND_BITS | op.GLOBAL

    def computed_name(self, offset: int) -> int:
        self.seen.append(Event("computed-import", offset))
        return op.UNRESOLVED

    def extension(self, code: int, offset: int) -> int:
        self.seen.append(Event("extension", offset, use=str(code)))
        return op.UNRESOLVED

    def called(self, machine: State, callee: int, arguments: int, *, use: str, offset: int) -> int:
        target, given = self._value(machine, callee), self._value(machine, arguments)
        self.seen.append(Event("call", offset, target=target, arguments=given, use=use))
        if callee & op.KIND_MASK != op.GLOBAL:
            return op.UNRESOLVED
        return callee >> op.KIND_BITS << op.KIND_BITS | (op.INSTANCE if use == "new" else op.RESULT)

    def built(self, machine: State, target: int, state: int, *, offset: int) -> int:
        value, given = self._value(machine, target), self._value(machine, state)
        self.seen.append(Event("build", offset, target=value, arguments=given))
        return target

    def filled(self, target: int, *, use: str, offset: int) -> None:
        kind = target & op.KIND_MASK
        value = Value(_KINDS[kind], self._names[target >> op.KIND_BITS] if kind in _NAMED else None)
        self.seen.append(Event("fill", offset, target=value, use=use))

    def recalled(self, tag: int) -> int:
        return tag

    def persistent(self, machine: State, identifier: int, *, offset: int) -> int:
        self.seen.append(Event("persistent-id", offset, target=self._value(machine, identifier)))
        return op.PERSISTENT

    def defect(self, reason: str, offset: int) -> None:
        self.seen.append(Event("defect", offset, use=reason))

    def disputed(self, reason: str, offset: int) -> None:
        self.seen.append(Event("dispute", offset, use=reason))

    def _value(self, machine: State, tag: int, *, deep: bool = True) -> Value:
        kind = tag & op.KIND_MASK
        if kind == op.STR:
            return Value("text", machine.text(tag))
        if kind in _NAMED:
            return Value(_KINDS[kind], self._names[tag >> op.KIND_BITS])
        if kind != op.TUPLE or not deep:
            return Value(_KINDS[kind])
        return Value("tuple", items=tuple(self._items(machine, tag)) if machine.items(tag) is not None else None)

    def _items(self, machine: State, tag: int) -> Iterator[Value]:
        for item in machine.items(tag) or ():
            yield self._value(machine, item, deep=False)
