"""Dense storage of HDF5 files: the fractal heaps and B-trees of version 2 that keep many links or large attributes.

Source: the HDF5 File Format Specification, version 3.0 (The HDF Group).
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from heliotrope.scan.frameworks.hdf5_reader import Broken, Hdf5Reader
from heliotrope.scan.interface import LimitReachedError

__all__ = ["dense_objects"]

_NODE_OVERHEAD = 10
_MAX_DEPTH = 20
_LINK_NAMES, _LINK_ORDER, _ATTRIBUTE_NAMES, _ATTRIBUTE_ORDER = 5, 6, 8, 9
_HUGE_INDIRECT = 1


def dense_objects(reader: Hdf5Reader, heap: int, tree: int, limit: int) -> Iterator[tuple[bytes, int, int]]:
    """Content, message flags and address of each object that a tree of links or attributes lists."""
    store = _Heap(reader, heap)
    for kind, record in _records(reader, tree):
        flags = 0
        if kind == _LINK_NAMES:
            identifier = record[4:]
        elif kind == _LINK_ORDER:
            identifier = record[8:]
        elif kind in (_ATTRIBUTE_NAMES, _ATTRIBUTE_ORDER):
            identifier, flags = record[:8], record[8]
        else:
            raise Broken(f"a tree of kind {kind} lists the members")
        data, address = store.fetch(identifier, limit)
        yield data, flags, address


def _bytes_for(value: int) -> int:
    """Bytes in which the library writes numbers up to a value."""
    return max(value.bit_length() - 1, 0) // 8 + 1


def _records(reader: Hdf5Reader, address: int) -> Iterator[tuple[int, bytes]]:
    """Records of a B-tree of version 2, with the tree's kind."""
    reader.step()
    head = reader.read(address, 16 + reader.offset_size + 2)
    if head[:4] != b"BTHD" or head[4] != 0:
        raise Broken("there is no BTHD where one should be")
    kind, node_size, record = head[5], reader.number(head, 6, 4), reader.number(head, 10, 2)
    depth = reader.number(head, 12, 2)
    root, count = reader.offset(head, 16), reader.number(head, 16 + reader.offset_size, 2)
    if not record or depth > _MAX_DEPTH or node_size < _NODE_OVERHEAD + record:
        raise Broken("a tree's header is not understood")
    if root == reader.undefined:
        return
    levels = _levels(reader, node_size, record, depth)
    count_size = _bytes_for(levels[0][0])
    pending, seen = [(root, count, depth)], set[int]()
    while pending:
        at, count, level = pending.pop()
        if at in seen:
            raise Broken("a tree's nodes form a loop")
        seen.add(at)
        reader.step()
        node = reader.read(at, node_size)
        if node[:4] != (b"BTIN" if level else b"BTLF") or node[5] != kind or 6 + count * record > node_size:
            raise Broken("a tree's node is not understood")
        for index in range(count):
            reader.step()
            yield kind, node[6 + index * record : 6 + (index + 1) * record]
        if level:
            total = levels[level - 1][1] if level > 1 else 0
            step = reader.offset_size + count_size + total
            for index in range(count + 1):
                pointer = 6 + count * record + index * step
                below = reader.number(node, pointer + reader.offset_size, count_size)
                pending.append((reader.offset(node, pointer), below, level - 1))


def _levels(reader: Hdf5Reader, node_size: int, record: int, depth: int) -> list[tuple[int, int]]:
    """For each level, how many records a node holds, and in how many bytes the number of those below it is written."""
    most = (node_size - _NODE_OVERHEAD) // record
    count_size = _bytes_for(most)
    levels, total, total_size = [(most, 0)], most, 0
    for _ in range(depth):
        pointer = reader.offset_size + count_size + total_size
        most = (node_size - _NODE_OVERHEAD - pointer) // (record + pointer)
        if most < 1:
            raise Broken("a tree's nodes hold nothing")
        total = (most + 1) * total + most
        total_size = _bytes_for(total)
        levels.append((most, total_size))
    return levels


@dataclass(frozen=True, slots=True)
class _Block:
    offset: int
    """In the heap's own space."""
    size: int
    address: int


class _Heap:
    """A fractal heap."""

    def __init__(self, reader: Hdf5Reader, address: int) -> None:
        self._reader = reader
        reader.step()
        o, n = reader.offset_size, reader.length_size
        head = reader.read(address, 14 + 12 * n + 3 * o + 8)
        if head[:4] != b"FRHP" or head[4] != 0:
            raise Broken("there is no FRHP where one should be")
        if reader.number(head, 7, 2):
            raise Broken("a heap of links or attributes is compressed")
        self._identifier_size = reader.number(head, 5, 2)
        most_managed = reader.number(head, 10, 4)
        self._huge_tree = reader.offset(head, 14 + n)
        at = 14 + n + o + n + o + 8 * n
        self._width = reader.number(head, at, 2)
        self._start, self._largest = reader.length(head, at + 2), reader.length(head, at + 2 + n)
        bits = reader.number(head, at + 2 + 2 * n, 2)
        self._root = reader.offset(head, at + 6 + 2 * n)
        self._root_rows = reader.number(head, at + 6 + 2 * n + o, 2)
        if not self._start or self._start & (self._start - 1) or not self._width or self._largest < self._start:
            raise Broken("a heap's header is not understood")
        self._place_size = (bits + 7) // 8
        self._extent_size = min(_bytes_for(self._largest), _bytes_for(most_managed))
        self._blocks: list[_Block] | None = None
        self._huge: dict[int, tuple[int, int]] | None = None

    def fetch(self, identifier: bytes, limit: int) -> tuple[bytes, int]:
        """An object by its identifier, and its address."""
        if not identifier or identifier[0] >> 6:
            raise Broken("an identifier of a heap is not understood")
        kind = identifier[0] >> 4 & 3
        if kind == 0:
            return self._managed(identifier, limit)
        if kind == 1:
            return self._large(identifier, limit)
        size = identifier[0] & 0xF
        extended = self._identifier_size > 17
        if extended:
            size = size << 8 | identifier[1]
        return identifier[1 + extended : 2 + extended + size], 0

    def _managed(self, identifier: bytes, limit: int) -> tuple[bytes, int]:
        place = self._reader.number(identifier, 1, self._place_size)
        size = self._reader.number(identifier, 1 + self._place_size, self._extent_size)
        if self._blocks is None:
            self._blocks = sorted(self._walk(), key=lambda block: block.offset)
        index = bisect_right(self._blocks, place, key=lambda block: block.offset) - 1
        if index < 0 or place + size > self._blocks[index].offset + self._blocks[index].size:
            raise Broken("an object lies outside its heap")
        if size > limit:
            raise LimitReachedError("max_hdf5_attribute", f"an attribute of {size} bytes")
        address = self._blocks[index].address + place - self._blocks[index].offset
        return self._reader.read(address, size), address

    def _large(self, identifier: bytes, limit: int) -> tuple[bytes, int]:
        o, n = self._reader.offset_size, self._reader.length_size
        if self._identifier_size > o + n:
            address, size = self._reader.offset(identifier, 1), self._reader.length(identifier, 1 + o)
        else:
            if self._huge is None:
                self._huge = {}
                for kind, record in _records(self._reader, self._huge_tree):
                    if kind != _HUGE_INDIRECT:
                        raise Broken("a heap's large objects are compressed")
                    key = self._reader.length(record, o + n)
                    self._huge[key] = self._reader.offset(record, 0), self._reader.length(record, o)
            width = min(self._identifier_size - 1, n)
            address, size = self._huge.get(self._reader.number(identifier, 1, width), (-1, 0))
            if address < 0:
                raise Broken("a heap has no such object")
        if size > limit:
            raise LimitReachedError("max_hdf5_attribute", f"an attribute of {size} bytes")
        return self._reader.read(address, size), address

    def _walk(self) -> Iterator[_Block]:
        if self._root == self._reader.undefined:
            return
        if not self._root_rows:
            yield _Block(0, self._start, self._root)
            return
        rows_direct = self._largest.bit_length() - self._start.bit_length() + 2
        pending, seen = [(self._root, 0, self._root_rows)], set[int]()
        while pending:
            address, offset, rows = pending.pop()
            if address in seen or rows > 64:
                raise Broken("a heap's blocks form a loop")
            seen.add(address)
            data = self._reader.read(address, 5 + self._reader.offset_size + self._place_size)
            if data[:4] != b"FHIB":
                raise Broken("there is no FHIB where one should be")
            at = address + len(data)
            for row in range(rows):
                size = self._start << max(row - 1, 0)
                for _ in range(self._width):
                    self._reader.step()
                    child = self._reader.offset(self._reader.read(at, self._reader.offset_size), 0)
                    at += self._reader.offset_size
                    if child != self._reader.undefined:
                        if row < rows_direct:
                            yield _Block(offset, size, child)
                        else:
                            inner = size.bit_length() - (self._start * self._width).bit_length() + 1
                            pending.append((child, offset, inner))
                    offset += size
