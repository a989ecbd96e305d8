"""HDF5 files read by position: superblock, object headers, heaps and trees, without its library and without any plug-in.

Source: the HDF5 File Format Specification, version 3.0 (The HDF Group). Checksums are ignored: a reader that is stricter sees less.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from heliotrope.scan.interface import LimitReachedError, Source

__all__ = ["Broken", "Hdf5Reader", "Message"]

_WINDOW = 16 * 1024
_MAX_BLOCK = 64 * 2**20
"""Bytes read in one piece, of a header's chunk or a heap's data segment."""
_COUNTED = 4096
"""Bytes of a block that count as one structure, so that a large one is not read again and again."""
_CONTINUATION = 0x10
_SHARED = 0x02


class Broken(Exception):  # noqa: N818 - says what is wrong with the file, not with the program
    """The bytes are not what the format prescribes at this place, or are of a kind that is not understood."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an object's header."""

    kind: int
    flags: int
    data: bytes
    offset: int

    @property
    def shared(self) -> bool:
        """Whether the content is elsewhere and `data` says where."""
        return bool(self.flags & _SHARED)


class Hdf5Reader:
    """Reads the structures of one file. All raise Broken for what cannot be followed."""

    def __init__(self, source: Source, start: int, max_steps: int) -> None:
        self._source = source
        self._max_steps = max_steps
        self._left = max_steps
        self._buffer = b""
        self._buffer_at = 0
        self._collection: tuple[int, dict[int, tuple[int, int]]] = -1, {}
        """The global heap that was read last, since values that belong together lie together."""
        self.base = start
        self.offset_size = self.length_size = 8
        self.end = 0
        """Where the file says that it ends."""
        self.root = 0
        self.several_files = False
        self.extension: int | None = None
        self._superblock(start)
        self.undefined = (1 << 8 * self.offset_size) - 1

    # bytes

    def step(self, count: int = 1) -> None:
        """Count structures. Raises LimitReachedError when there are too many."""
        self._left -= count
        if self._left < 0:
            raise LimitReachedError("max_hdf5_steps", f"more than {self._max_steps} structures")

    def read(self, address: int, length: int) -> bytes:
        """Exactly that many bytes."""
        if length > _MAX_BLOCK:
            raise Broken(f"a block of {length} bytes is announced")
        self.step(length // _COUNTED)
        at = self.base + address
        index = at - self._buffer_at
        if index < 0 or index + length > len(self._buffer):
            self._buffer = self._source.read(at, max(_WINDOW, length))
            self._buffer_at, index = at, 0
        data = self._buffer[index : index + length]
        if len(data) < length:
            raise Broken("a structure lies beyond the end of the file")
        return data

    def number(self, data: bytes, at: int, size: int) -> int:
        if at < 0 or at + size > len(data):
            raise Broken("a structure is cut short")
        return int.from_bytes(data[at : at + size], "little")

    def offset(self, data: bytes, at: int) -> int:
        return self.number(data, at, self.offset_size)

    def length(self, data: bytes, at: int) -> int:
        return self.number(data, at, self.length_size)

    def _expect(self, data: bytes, signature: bytes, versions: tuple[int, ...] = (0, 1)) -> None:
        if data[:4] != signature or data[4] not in versions:
            raise Broken(f"there is no {signature.decode()} where one should be")

    # the superblock

    def _superblock(self, start: int) -> None:
        self.base = 0
        head = self.read(start, 16)
        version = head[8]
        if version in (0, 1):
            self.offset_size, self.length_size = head[13], head[14]
            fields = start + (24 if version == 0 else 28)
        elif version in (2, 3):
            self.offset_size, self.length_size = head[9], head[10]
            fields = start + 12
        else:
            raise Broken(f"version {version} of its superblock is not known")
        if self.offset_size not in (2, 4, 8) or self.length_size not in (2, 4, 8):
            raise Broken("its sizes of addresses are not known")
        data = self.read(fields, 6 * self.offset_size)
        base, second, end, fourth = (self.offset(data, index * self.offset_size) for index in range(4))
        undefined = (1 << 8 * self.offset_size) - 1
        if version < 2:
            self.several_files = fourth != undefined
            self.root = self.offset(data, 5 * self.offset_size)
        else:
            self.root = fourth
            self.extension = None if second == undefined else second
        # Readers take the place where the superblock was found when it differs from the base address that it states.
        self.base = start
        self.end = start + (end - base if end >= base else end)

    # object headers

    def messages(self, address: int) -> Iterator[Message]:
        """The messages of the object at an address, those in continuation blocks too."""
        self.step()
        if self.read(address, 4) == b"OHDR":
            yield from self._second_version(address)
        else:
            yield from self._first_version(address)

    def _first_version(self, address: int) -> Iterator[Message]:
        head = self.read(address, 16)
        if head[0] != 1:
            raise Broken("there is no object header where one should be")
        yield from self._blocks([(address + 16, self.number(head, 8, 4))], prefix=8, guards=0)

    def _second_version(self, address: int) -> Iterator[Message]:
        head = self.read(address, 6)
        flags = head[5]
        if head[4] != 2:
            raise Broken(f"version {head[4]} of an object header is not known")
        at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = self.number(self.read(at, width), 0, width)
        yield from self._blocks([(at + width, size)], prefix=6 if flags & 0x04 else 4, guards=4)

    def _blocks(self, blocks: list[tuple[int, int]], *, prefix: int, guards: int) -> Iterator[Message]:
        seen: set[int] = set()
        first = True
        for address, size in blocks:  # grows while it is walked
            if address in seen:
                raise Broken("blocks of an object header form a loop")
            seen.add(address)
            data = self.read(address, size)
            at, end = 0, size
            if guards and not first:
                if data[:4] != b"OCHK":
                    raise Broken("there is no continuation of an object header where one should be")
                at, end = 4, size - guards
            first = False
            while at + prefix <= end:
                self.step()
                if guards:
                    kind, length, flags = data[at], self.number(data, at + 1, 2), data[at + 3]
                else:
                    kind, length, flags = self.number(data, at, 2), self.number(data, at + 2, 2), data[at + 4]
                body = data[at + prefix : at + prefix + length]
                if at + prefix + length > end:
                    raise Broken("a message reaches beyond its object header")
                if kind == _CONTINUATION:
                    blocks.append((self.offset(body, 0), self.length(body, self.offset_size)))
                elif kind:
                    yield Message(kind, flags, body, self.base + address + at + prefix)
                at += prefix + length

    # heaps

    def local_heap(self, address: int) -> bytes:
        """The data segment of a local heap: names, each ended by a zero."""
        self.step()
        head = self.read(address, 8 + 2 * self.length_size + self.offset_size)
        self._expect(head, b"HEAP")
        return self.read(self.offset(head, 8 + 2 * self.length_size), self.length(head, 8))

    def global_object(self, address: int, index: int, limit: int) -> bytes:
        """An object of a global heap, as values of no fixed length are stored."""
        if self._collection[0] != address:
            places = {found: (at, size) for found, at, size in self.global_objects(address)}
            self._collection = address, places
        if index not in self._collection[1]:
            raise Broken("a global heap has no such object")
        at, size = self._collection[1][index]
        if size > limit:
            raise LimitReachedError("max_hdf5_attribute", f"a value of {size} bytes")
        self.step()
        return self.read(at, size)

    def global_objects(self, address: int) -> Iterator[tuple[int, int, int]]:
        """Index, address and size of each object in a collection."""
        head_size = 8 + self.length_size
        head = self.read(address, head_size)
        self._expect(head, b"GCOL", (1,))
        at, end = address + head_size, address + self.length(head, 8)
        while at + head_size <= end:
            self.step()
            item = self.read(at, head_size)
            index, size = self.number(item, 0, 2), self.length(item, 8)
            if index == 0:
                return
            yield index, at + head_size, size
            at += head_size + (size + 7) // 8 * 8

    # old groups

    def symbols(self, tree: int, heap: int) -> Iterator[tuple[bytes, int, bytes | None]]:
        """Name and address of each member of an old group; for a soft link its value, too."""
        names = self.local_heap(heap)
        entry = 2 * self.offset_size + 24
        for node in self._leaves(tree):
            head = self.read(node, 8)
            self._expect(head, b"SNOD", (1,))
            for index in range(self.number(head, 6, 2)):
                self.step()
                data = self.read(node + 8 + index * entry, entry)
                name = _text_at(names, self.offset(data, 0))
                cache = self.number(data, 2 * self.offset_size, 4)
                target = self.number(data, 2 * self.offset_size + 8, 4) if cache == 2 else None
                yield name, self.offset(data, self.offset_size), None if target is None else _text_at(names, target)

    def _leaves(self, tree: int) -> Iterator[int]:
        """Symbol table nodes below a B-tree of version 1."""
        pending, seen = [tree], set[int]()
        while pending:
            address = pending.pop()
            if address in seen:
                raise Broken("a tree's nodes form a loop")
            seen.add(address)
            self.step()
            head = self.read(address, 8 + 2 * self.offset_size)
            if head[:4] != b"TREE" or head[4] != 0:
                raise Broken("there is no TREE where one should be")
            level, used = head[5], self.number(head, 6, 2)
            step = self.length_size + self.offset_size
            data = self.read(address + len(head), self.length_size + used * step)
            children = [self.offset(data, self.length_size + index * step) for index in range(used)]
            if level == 0:
                yield from children
            else:
                pending += reversed(children)


def _text_at(data: bytes, at: int) -> bytes:
    if at > len(data):
        raise Broken("a name lies outside its heap")
    stop = data.find(b"\0", at)
    return data[at : stop if stop >= 0 else len(data)]
