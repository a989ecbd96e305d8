"""HDF5 files: every object that is reachable is visited; attributes and links are judged, values are passed over.

Keras' legacy models keep their configuration in an attribute, PyTables and pandas keep pickles in attributes and in values of no
fixed length. Nothing but this reader is needed, so that the verdict does not depend on what is installed.
"""

from dataclasses import dataclass, field

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.hdf5_dense import dense_objects
from heliotrope.scan.frameworks.hdf5_messages import (
    Attribute,
    Layout,
    Link,
    attribute,
    count_of,
    external_files,
    filters,
    layout,
    link,
    type_of,
)
from heliotrope.scan.frameworks.hdf5_reader import Broken, Hdf5Reader, Message
from heliotrope.scan.frameworks.hdf5_signature import may_be_hdf5, superblock_offset
from heliotrope.scan.frameworks.keras_config import check_config_text
from heliotrope.scan.frameworks.keras_text import speaks_of_classes
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.pickles.streams import credible_pickle, looks_like_pickle, search_pickles
from heliotrope.scan.sources import BytesSource, SliceSource
from heliotrope.scan.unpacking import UnpackedSource

__all__ = ["Hdf5Analyser"]

_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT = 1, 2, 3, 6, 7, 8
_PIPELINE, _ATTRIBUTE, _SHARED_TABLE, _SYMBOLS, _DRIVER, _ATTRIBUTE_INFO = 11, 12, 15, 17, 20, 21
_PLAIN_MESSAGES = frozenset({4, 5, 10, 13, 14, 18, 19, 22, 23})
"""Fill values, comments, times and counts: nothing that a reader acts on."""

_BUILT_IN = frozenset({1, 2, 3, 4, 5, 6})
_USUAL_PLUGINS = frozenset({305, 307, 32000, 32001, 32004, 32008, 32013, 32015, 32026})
"""LZO, bzip2, LZF, Blosc, LZ4, bitshuffle, zfp, Zstandard and Blosc2: what h5py, PyTables and their plug-in packages bring."""

_PICKLE_WORDS = frozenset({b"pickle", b"pickled", b"object", b"objectatom"})
"""Values of the attributes by which PyTables and hickle say that a dataset's values are pickles."""

_BOMB_BYTES, _BOMB_RATIO = 4 * 2**30, 1000
"""What Keras refuses since its answer to CVE-2026-0897: more than 4 GiB announced, and 1,000 times what is stored."""

_HELD = 64 * 2**20
"""A deflated member up to this size is held in memory, because reading goes back and forth."""
_CHUNK = 2**20
"""Also how far a deflated member of another name is looked at for a beginning: it would be inflated for nothing."""
_TRY, _LONG_TRY = 20, 20_000
"""Structures that a look at a value for a pickle counts as, and bytes of it up to which it counts for more."""
_SHOWN = 120


@dataclass(slots=True)
class _Object:
    """What the header of one object says."""

    path: str
    count: int = 1
    item: int = 0
    layout: Layout | None = None
    external: bool = False
    variable: bool = False
    """Its values have no fixed length."""
    pickled: bool = False
    chunk_filters: list[int] = field(default_factory=list)


class Hdf5Analyser:
    """Files of HDF5, whoever wrote them."""

    format = "hdf5"

    def accepts(self, source: Source, name: str) -> bool:
        return may_be_hdf5(b"", name.lower(), source)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        if isinstance(source, UnpackedSource) and source.size <= _HELD:
            source = BytesSource(source.read(0, source.size))
        return Recognised("keras-h5" if _File(source, context).analyse() else "hdf5")


class _File:
    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._keras = False
        self._search_values = False
        self._pending: list[tuple[int, str]] = []
        self._seen: set[int] = set()

    def analyse(self) -> bool:
        """Whether it is a model of Keras."""
        start = superblock_offset(self._source) or 0
        try:
            self._reader = Hdf5Reader(self._source, start, self._context.limits.max_hdf5_steps)
            self._walk()
            if self._search_values:
                self._pickled_values()
        except Broken as error:
            self._incomplete(f"the file cannot be followed: {error}")
        except LimitReachedError as error:
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member)
        return self._keras

    def _walk(self) -> None:
        reader = self._reader
        if reader.several_files:
            self._incomplete("it is one of several files that belong together")
        if reader.end > self._source.size:
            self._incomplete(f"it should have {reader.end} bytes and has {self._source.size}")
        elif reader.end < self._source.size:
            rest = self._source.size - reader.end
            self._note("hdf5-trailing-data", f"{rest} bytes follow the file's end", "trailing", reader.end)
            search_pickles(self._source, self._context, start=reader.end)
        if reader.extension is not None:
            self._visit(reader.extension, "superblock extension")
        self._later(reader.root, "/")
        while self._pending:
            self._visit(*self._pending.pop())

    def _later(self, address: int, path: str) -> None:
        if address in self._seen:
            return
        limit = self._context.limits.max_hdf5_objects
        if len(self._seen) >= limit:
            raise LimitReachedError("max_hdf5_objects", f"more than {limit} groups and datasets")
        self._seen.add(address)
        self._pending.append((address, path[-_SHOWN:]))

    def _visit(self, address: int, path: str) -> None:
        """An object. What cannot be followed leaves the verdict open; the others are visited all the same."""
        found = _Object(path)
        try:
            for message in self._reader.messages(address):
                self._guarded(found, message)
        except Broken as error:
            self._incomplete(f"{shorten(printable(path), _SHOWN)} cannot be followed: {error}")
        self._judge_values(found)

    def _guarded(self, found: _Object, message: Message) -> None:
        try:
            self._message(found, message)
        except Broken as error:
            self._incomplete(f"{shorten(printable(found.path), _SHOWN)} cannot be followed: {error}")
        except IndexError:
            self._incomplete(f"{shorten(printable(found.path), _SHOWN)} cannot be followed: a message is cut short")

    def _message(self, found: _Object, message: Message) -> None:  # noqa: C901, PLR0912 - one branch for each kind
        reader, data = self._reader, message.data
        if message.shared and message.kind != _DATATYPE:
            raise Broken("a message is kept elsewhere")
        if message.kind == _ATTRIBUTE:
            self._attribute(found, data, message.offset)
        elif message.kind == _LINK:
            self._link(found, link(reader, data), message.offset)
        elif message.kind == _SYMBOLS:
            self._symbols(found, data, message.offset)
        elif message.kind in (_LINK_INFO, _ATTRIBUTE_INFO):
            self._dense(found, message)
        elif message.kind == _EXTERNAL:
            found.external = True
            names = ", ".join(external_files(reader, data))
            self._outside("hdf5-external-storage", f"keeps its values in {_short(names)}", found.path, message.offset)
        elif message.kind == _LAYOUT:
            found.layout = layout(reader, data)
            if found.layout.kind == "virtual":
                self._virtual(found, message.offset)
        elif message.kind == _PIPELINE:
            found.chunk_filters = filters(reader, data)
            self._filters(found, message.offset)
        elif message.kind == _DATATYPE:
            kind = type_of(reader, data, shared=message.shared)
            found.item, found.variable = kind.size, kind.variable
            if kind.external_reference:
                self._note("hdf5-reference", "holds references that may name other files", "type", message.offset)
        elif message.kind == _DATASPACE:
            found.count = count_of(reader, data)
        elif message.kind == _DRIVER:
            self._incomplete("it is one of several files that belong together")
        elif message.kind == _SHARED_TABLE:
            self._incomplete("it keeps messages in a heap of shared ones")
        elif message.kind not in _PLAIN_MESSAGES:
            self._incomplete(f"a message of kind {message.kind} is not known")

    # members of groups

    def _link(self, found: _Object, item: Link, offset: int) -> None:
        path = f"{found.path.rstrip('/')}/{item.name}"
        if item.kind == "hard":
            self._later(item.address, path)
        elif item.kind == "external":
            self._outside("hdf5-external-link", f"leads to {_short(item.target)}", path, offset)
        elif item.kind == "custom":
            self._outside("hdf5-custom-link", f"is a link of the user's own kind {item.target}", path, offset)

    def _symbols(self, found: _Object, data: bytes, offset: int) -> None:
        reader = self._reader
        for name, address, target in reader.symbols(reader.offset(data, 0), reader.offset(data, reader.offset_size)):
            if target is None:
                self._link(found, Link("hard", name.decode("utf-8", "replace"), address), offset)

    def _dense(self, found: _Object, message: Message) -> None:
        reader, data = self._reader, message.data
        order = data[1] & 1 if len(data) > 1 else 0
        at = 2 + order * (8 if message.kind == _LINK_INFO else 2)
        heap, tree = reader.offset(data, at), reader.offset(data, at + reader.offset_size)
        if reader.undefined in (heap, tree):
            return
        limit = self._context.limits.max_hdf5_attribute
        for content, flags, address in dense_objects(reader, heap, tree, limit):
            kind = _LINK if message.kind == _LINK_INFO else _ATTRIBUTE
            self._guarded(found, Message(kind, flags, content, reader.base + address))

    # values

    def _virtual(self, found: _Object, offset: int) -> None:
        reader = self._reader
        name = b"?"
        if found.layout is not None and found.layout.address != reader.undefined:
            listing = reader.global_object(
                found.layout.address, found.layout.size, self._context.limits.max_hdf5_attribute
            )
            start = 1 + reader.length_size + (listing[:1] == b"\1")
            name = listing[start : start + 4096].split(b"\0", 1)[0] or b"."
        shown = _short(name.decode("utf-8", "replace"))
        self._outside("hdf5-virtual-dataset", f"is put together from values in {shown}", found.path, offset)

    def _filters(self, found: _Object, offset: int) -> None:
        for number in found.chunk_filters:
            if number not in _BUILT_IN | _USUAL_PLUGINS:
                self._outside("hdf5-plugin-filter", f"needs the filter {number}", found.path, offset, key=str(number))

    def _judge_values(self, found: _Object) -> None:
        place = found.layout
        if place is None:
            return
        self._search_values |= found.pickled and found.variable
        announced = found.count * found.item
        stored = place.size if place.kind == "contiguous" else self._source.size
        if place.kind != "virtual" and announced > _BOMB_BYTES and announced > _BOMB_RATIO * stored:
            shown = _short(found.path)
            self._note("hdf5-size-mismatch", f"{shown} announces {announced} bytes and stores {stored}", shown, None)
        if place.kind == "compact":
            self._values(BytesSource(place.data), found.path)
        elif place.kind == "contiguous" and place.address != self._reader.undefined and not found.external:
            start = self._reader.base + place.address
            if start + place.size > self._source.size:
                self._incomplete(f"the values of {_short(found.path)} lie beyond the end of the file")
            self._values(SliceSource(self._source, start, place.size), found.path)
        elif place.kind == "unknown":
            self._incomplete(f"where the values of {_short(found.path)} are is not understood")
        elif found.pickled and place.kind == "chunked" and not found.variable:
            self._incomplete(f"the pickles in {_short(found.path)} are stored in pieces, which are not inspected")

    def _values(self, values: Source, path: str) -> None:
        if values.size > 1 and credible_pickle(values, self._context):
            self._inside(values, path)

    def _is_pickle(self, values: Source) -> bool:
        """Whether an unpickler would take the value; each try counts, since a file may hold a million of them."""
        self._reader.step(_TRY + min(values.size, _LONG_TRY) // 10)
        return looks_like_pickle(values)

    def _inside(self, values: Source, name: str) -> None:
        self._note("hdf5-pickled-object", f"{_short(name)} is a pickle", "pickle", None)
        self._context.nested(values, name, self._context.inside(printable(name)))

    def _pickled_values(self) -> None:
        """Values of no fixed length lie in heaps that are never compressed; each heap is found by its signature."""
        reader, offset = self._reader, 0
        while data := self._source.read(offset, _CHUNK + 3):
            at = data.find(b"GCOL")
            while at >= 0:
                self._heap_values(offset + at - reader.base)
                at = data.find(b"GCOL", at + 1)
            offset += _CHUNK

    def _heap_values(self, address: int) -> None:
        try:
            for index, at, size in self._reader.global_objects(address):
                values = SliceSource(self._source, self._reader.base + at, size)
                if self._is_pickle(values):
                    self._inside(values, f"value {index} at {self._reader.base + address}")
        except Broken:
            return  # four bytes that look like a heap

    # attributes

    def _attribute(self, found: _Object, data: bytes, offset: int) -> None:
        try:
            item = attribute(self._reader, data, self._context.limits.max_hdf5_attribute)
        except LimitReachedError as error:
            if error.limit != "max_hdf5_attribute":
                raise
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member, offset=offset)
            return
        if item.type.external_reference:
            self._note("hdf5-reference", "holds references that may name other files", "type", offset)
        for value in item.values:
            self._value(found, item, value.rstrip(b"\0"))

    def _value(self, found: _Object, item: Attribute, value: bytes) -> None:
        name = f"{found.path}@{item.name}"
        if value.strip().lower() in _PICKLE_WORDS:
            found.pickled = True
        if value[:1] == b"\x80" or value.endswith(b"."):
            source = BytesSource(value)
            if self._is_pickle(source):
                self._inside(source, name)
        if speaks_of_classes(value) and check_config_text(value, self._context.inside(printable(name)), legacy=True):
            self._keras |= item.name == "model_config"

    # notes

    def _outside(self, rule: str, what: str, path: str, offset: int, *, key: str = "") -> None:
        shown = _short(path)
        self._note(rule, f"{shown} {what}", key or shown, offset)

    def _note(self, rule: str, message: str, key: str, offset: int | None) -> None:
        self._context.notes.add(rule, message, key=key, member=self._context.member, offset=offset)

    def _incomplete(self, reason: str) -> None:
        self._context.notes.incomplete(reason, member=self._context.member)


def _short(text: str) -> str:
    return shorten(printable(text), _SHOWN)
