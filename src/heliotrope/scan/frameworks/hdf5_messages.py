"""Messages of HDF5 objects: attributes, links, layouts and filters, as far as they say what a reader will do.

Source: the HDF5 File Format Specification, version 3.0 (The HDF Group).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from heliotrope.scan.frameworks.hdf5_reader import Broken, Hdf5Reader
from heliotrope.scan.interface import LimitReachedError

__all__ = ["Attribute", "Layout", "Link", "Type", "attribute", "count_of", "external_files", "filters", "layout", "link", "type_of"]  # fmt: skip

_FIXED, _STRING, _OPAQUE, _REFERENCE, _VARIABLE = 0, 3, 5, 7, 9
_DATATYPE = 3
_COMMITTED = 2
_MAX_FILTERS = 32
_MAX_NESTING = 8


@dataclass(frozen=True, slots=True)
class Type:
    """A datatype, as far as values of bytes or text go."""

    kind: int
    bits: int
    size: int
    base: "Type | None" = None

    @property
    def bytes_like(self) -> bool:
        """Text, opaque bytes, or single bytes."""
        return self.kind in (_STRING, _OPAQUE) or (self.kind == _FIXED and self.size == 1)

    @property
    def variable(self) -> bool:
        """Values of no fixed length that are text or bytes."""
        return self.kind == _VARIABLE and self.base is not None and (self.bits & 0xF == 1 or self.base.bytes_like)

    @property
    def external_reference(self) -> bool:
        """References of the newer kind, which may name another file."""
        return self.kind == _REFERENCE and self.bits & 0xF >= 2


@dataclass(frozen=True, slots=True)
class Attribute:
    """A named value; `values` are its elements when they are text or bytes."""

    name: str
    type: Type
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A member of a group."""

    kind: Literal["hard", "soft", "external", "custom"]
    name: str
    address: int = 0
    target: str = ""
    """Path in the file, or the file's name and the path in it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a dataset's values are."""

    kind: Literal["compact", "contiguous", "chunked", "virtual", "unknown"]
    address: int = 0
    size: int = 0
    data: bytes = b""


def type_of(reader: Hdf5Reader, data: bytes, *, shared: bool, depth: int = 0) -> Type:
    """A datatype message."""
    if shared:
        data = _committed(reader, data)
    if len(data) < 8 or depth > _MAX_NESTING:
        raise Broken("a datatype is not understood")
    kind, bits, size = data[0] & 0xF, int.from_bytes(data[1:4], "little"), reader.number(data, 4, 4)
    base = type_of(reader, data[8:], shared=False, depth=depth + 1) if kind == _VARIABLE else None
    return Type(kind, bits, size, base)


def _committed(reader: Hdf5Reader, data: bytes) -> bytes:
    """The content of a datatype that is an object of its own."""
    version, kind = data[0], data[1] if len(data) > 1 else 0
    if version not in (1, 2, 3) or (version == 3 and kind != _COMMITTED):
        raise Broken("a message is kept in a heap of shared ones")
    for message in reader.messages(reader.offset(data, 8 if version == 1 else 2)):
        if message.kind == _DATATYPE and not message.shared:
            return message.data
    raise Broken("a datatype is not where it should be")


def count_of(reader: Hdf5Reader, data: bytes) -> int:
    """How many elements a dataspace has."""
    if len(data) < 4 or data[0] not in (1, 2):
        raise Broken("a dataspace is not understood")
    if data[0] == 2 and data[3] == 2:
        return 0
    start = 8 if data[0] == 1 else 4
    return math.prod(reader.length(data, start + index * reader.length_size) for index in range(data[1]))


def attribute(reader: Hdf5Reader, data: bytes, limit: int) -> Attribute:
    """An attribute message. Raises LimitReachedError for more bytes of text than the limit."""
    version = reader.number(data, 0, 1)
    if version not in (1, 2, 3):
        raise Broken(f"version {version} of an attribute is not known")
    flags = reader.number(data, 1, 1) if version > 1 else 0
    sizes = [reader.number(data, at, 2) for at in (2, 4, 6)]
    at = 9 if version == 3 else 8
    parts = []
    for size in sizes:
        if at + size > len(data):
            raise Broken("an attribute is cut short")
        parts.append(data[at : at + size])
        at += (size + 7) // 8 * 8 if version == 1 else size
    if flags & 2:
        raise Broken("an attribute's dataspace is kept elsewhere")
    kind = type_of(reader, parts[1], shared=bool(flags & 1))
    count = count_of(reader, parts[2])
    name = parts[0].split(b"\0", 1)[0].decode("utf-8", "replace")
    return Attribute(name, kind, tuple(_values(reader, kind, count, data[at:], limit)))


def _values(reader: Hdf5Reader, kind: Type, count: int, data: bytes, limit: int) -> Iterator[bytes]:
    if kind.variable:
        step = 8 + reader.offset_size
        if count * step > len(data):
            raise Broken("an attribute is cut short")
        left = limit
        for at in range(0, count * step, step):
            address = reader.offset(data, at + 4)
            if address in (0, reader.undefined):
                continue
            value = reader.global_object(address, reader.number(data, at + 4 + reader.offset_size, 4), left)
            left -= len(value)
            if left < 0:
                raise LimitReachedError("max_hdf5_attribute", f"an attribute of more than {limit} bytes")
            yield value
    elif kind.bytes_like:
        if count * kind.size > len(data):
            raise Broken("an attribute is cut short")
        if kind.size == 1:
            yield data[:count]
        else:
            yield from (data[index * kind.size : (index + 1) * kind.size] for index in range(count))


def link(reader: Hdf5Reader, data: bytes) -> Link:
    """A link message."""
    if len(data) < 2 or data[0] != 1:
        raise Broken("a link is not understood")
    flags, at, kind = data[1], 2, 0
    if flags & 0x08:
        kind, at = reader.number(data, at, 1), at + 1
    at += 8 * bool(flags & 0x04) + bool(flags & 0x10)
    width = 1 << (flags & 3)
    size = reader.number(data, at, width)
    name = data[at + width : at + width + size].decode("utf-8", "replace")
    at += width + size
    if kind == 0:
        return Link("hard", name, reader.offset(data, at))
    length = reader.number(data, at, 2)
    value = data[at + 2 : at + 2 + length]
    if kind == 1:
        return Link("soft", name, target=value.decode("utf-8", "replace"))
    if kind == 64:
        return Link("external", name, target=value[1:].rstrip(b"\0").replace(b"\0", b":").decode("utf-8", "replace"))
    return Link("custom", name, target=str(kind))


def layout(reader: Hdf5Reader, data: bytes) -> Layout:  # noqa: PLR0911 - one return for each kind
    """A data layout message."""
    version = reader.number(data, 0, 1)
    if version in (1, 2):
        kind, at = reader.number(data, 2, 1), 8
        address = 0
        if kind in (1, 2):
            address, at = reader.offset(data, at), at + reader.offset_size
        if kind == 0:
            at += 4 * data[1]
            size = reader.number(data, at, 4)
            return Layout("compact", data=data[at + 4 : at + 4 + size])
        sides = [reader.number(data, at + 4 * index, 4) for index in range(data[1])]
        return Layout("contiguous", address, math.prod(sides)) if kind == 1 else Layout("chunked")
    if version not in (3, 4, 5):
        return Layout("unknown")
    kind = reader.number(data, 1, 1)
    if kind == 0:
        return Layout("compact", data=data[4 : 4 + reader.number(data, 2, 2)])
    if kind == 1:
        return Layout("contiguous", reader.offset(data, 2), reader.length(data, 2 + reader.offset_size))
    if kind == 2:
        return Layout("chunked")
    if kind == 3:
        return Layout("virtual", reader.offset(data, 2), reader.number(data, 2 + reader.offset_size, 4))
    return Layout("unknown")


def external_files(reader: Hdf5Reader, data: bytes) -> list[str]:
    """Names of the files in which a dataset's values lie."""
    used, heap = reader.number(data, 6, 2), reader.offset(data, 8)
    names = reader.local_heap(heap)
    step = 3 * reader.length_size
    first = 8 + reader.offset_size
    places = [reader.length(data, first + index * step) for index in range(min(used, 100))]
    return [names[place : place + 4096].split(b"\0", 1)[0].decode("utf-8", "replace") for place in places]


def filters(reader: Hdf5Reader, data: bytes) -> list[int]:
    """Numbers of the filters that a dataset's values pass through."""
    version, count = reader.number(data, 0, 1), reader.number(data, 1, 1)
    if version not in (1, 2) or count > _MAX_FILTERS:
        raise Broken("a filter pipeline is not understood")
    at, found = 8 if version == 1 else 2, []
    for _ in range(count):
        number = reader.number(data, at, 2)
        named = version == 1 or number >= 256
        name = reader.number(data, at + 2, 2) if named else 0
        at += 4 if named else 2
        values = reader.number(data, at + 2, 2)
        at += 4 + ((name + 7) // 8 * 8 if version == 1 else name) + 4 * values
        at += 4 if version == 1 and values % 2 else 0
        found.append(number)
    return found
