"""Every malicious file there is, under one name each, with how it is to be loaded."""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.adversary import allowlisted, by_name, containers, encodings, gadget_search
from tests.adversary.oracle import PICKLE_WAYS, WAYS
from tests.adversary.program import lit, reduce, stream

__all__ = ["BESIDE", "Variant", "names_of", "variants"]

BESIDE = gadget_search.BESIDE


@dataclass(frozen=True, slots=True)
class Variant:
    """One file."""

    name: str
    group: str
    """allowlisted, encoding, container or gadget."""
    data: bytes
    file: str = "model.pkl"
    ways: tuple[str, ...] = PICKLE_WAYS

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


@cache
def variants() -> tuple[Variant, ...]:
    """All of them; made anew, never stored."""
    return (
        *(
            Variant(name, "allowlisted", stream(made), ways=("pickle", "pypickle"))
            for name, made in allowlisted.programs().items()
        ),
        *(Variant(name, "encoding", made) for name, made in encodings.encodings().items()),
        *(Variant(name, "container", data, file, WAYS) for name, (data, file) in containers.containers().items()),
        *_gadgets(),
        *(
            Variant(name, "allowlisted", stream(made), ways=("pickle", "pypickle"))
            for name, made in by_name.programs().items()
        ),
    )


def _gadgets() -> Iterator[Variant]:
    """What the search found, called, and referred to for later."""
    for name, number in gadget_search.found():
        arguments = gadget_search.ARGUMENTS[number]
        yield Variant(f"{name} called", "gadget", stream(reduce(name, *arguments)), ways=("pickle",))
        later = reduce("collections:defaultdict", reduce("functools:partial", _named(name), *map(lit, arguments)))
        yield Variant(f"{name} called later", "gadget", stream(later), ways=("pickle",))


def _named(full: str) -> bytes:
    module, _, name = full.partition(":")
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def names_of(data: bytes) -> set[tuple[str, str]]:
    """The names that a stream imports by GLOBAL, INST or a STACK_GLOBAL right behind its texts."""
    found = set()
    parts = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(data)]
    for name, argument in parts:
        if name in ("GLOBAL", "INST"):
            module, _, attribute = str(argument).partition(" ")
            found.add((module, attribute))
    for (_, module), (_, attribute), (name, _) in zip(parts, parts[1:], parts[2:], strict=False):
        if name == "STACK_GLOBAL":
            found.add((str(module), str(attribute)))
    return found
