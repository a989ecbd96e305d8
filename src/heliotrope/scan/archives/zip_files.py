"""Zip archives: torch's files, npz, and whatever else is packed; every member is looked at, whatever its name."""

import re
import zlib
from dataclasses import dataclass, field

from heliotrope.core.text import printable
from heliotrope.scan.archives.zip_directory import (
    Directory,
    LocalHeader,
    Member,
    NoDirectoryError,
    has_directory,
    hidden_headers,
    local_header,
    read_directory,
)
from heliotrope.scan.frameworks.archive_code import ArchiveCode
from heliotrope.scan.frameworks.skops_schema import check_schema
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.pickles.streams import credible_pickle
from heliotrope.scan.sources import InflatingSource, SliceSource

__all__ = ["ZipAnalyser"]

_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_CHECKED_BYTES = 4 * 2**20
"""Checksums are compared for members up to this size; weights are not read a second time."""

_STORAGE = re.compile(r"(?:.*/)?data/\d+")
"""Raw weights in torch's format. A few of them begin like a pickle by chance."""

_MAX_HIDDEN = 1_000


@dataclass(slots=True)
class _Contents:
    """What the members turned out to be."""

    names: list[str] = field(default_factory=list)
    formats: list[Recognised] = field(default_factory=list)


class ZipAnalyser:
    """Anything a zip reader would open, by its beginning or by its end."""

    format = "zip"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 4) == b"PK\x03\x04" or has_directory(source)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        return _Archive(source, context).analyse()


class _Archive:
    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._contents = _Contents()
        self._torch = False
        self._skops = False
        self._code = ArchiveCode(())

    def analyse(self) -> Recognised:
        try:
            directory = read_directory(self._source, self._context.limits)
        except NoDirectoryError as error:
            self._incomplete(f"the archive is damaged: {error}")
            directory = Directory((), self._source.size, self._source.size)
        except LimitReachedError as error:
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member)
            return Recognised("zip")
        self._torch = any(member.name.endswith("data.pkl") for member in directory.members)
        self._code = ArchiveCode(member.name for member in directory.members)
        self._check_names(directory)
        spans = sorted(self._member(member) for member in directory.members)
        self._check_spans(spans, directory)
        self._hidden(spans, directory)
        return self._outcome()

    # the directory as a whole

    def _check_names(self, directory: Directory) -> None:
        if directory.ambiguous:
            self._note(
                "zip-disagreement", "the records at the end contradict each other", "end records", directory.offset
            )
        seen: set[bytes] = set()
        for member in directory.members:
            shown = printable(member.name)
            if member.raw_name in seen:
                self._note("zip-duplicate-member", f"two members are named {shown}", shown, member.header)
            seen.add(member.raw_name)
            parts = member.name.replace("\\", "/").split("/")
            if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in member.name:
                self._note("zip-unsafe-name", f"a member is named {shown}", shown, member.header)

    def _check_spans(self, spans: list[tuple[int, int]], directory: Directory) -> None:
        reached = 0
        for begin, end in spans:
            if begin < reached:
                self._note("zip-disagreement", "members share bytes", "shared bytes", begin)
            reached = max(reached, end)
        first = min([begin for begin, _ in spans], default=directory.offset)
        if first > 0 and spans:
            self._note("zip-prefix", f"{first} bytes stand before the archive", "prefix", 0)
        if reached > directory.offset:
            self._incomplete("members reach into the directory or beyond the file")
        if directory.end < self._source.size:
            rest = self._source.size - directory.end
            self._note("zip-prefix", f"{rest} bytes follow the archive", "suffix", directory.end)

    def _hidden(self, spans: list[tuple[int, int]], directory: Directory) -> None:
        found = 0
        for offset in hidden_headers(self._source, spans, directory.offset):
            header = local_header(self._source, offset)
            if header is None or header.method > 99 or not header.raw_name:
                continue
            found += 1
            if found > _MAX_HIDDEN:
                self._incomplete(f"more than {_MAX_HIDDEN} hidden members")
                return
            member = header.member(offset)
            if directory.members:
                shown = printable(member.name)
                self._note("zip-hidden-member", f"{shown} is not in the directory", shown, offset)
            room = directory.offset - header.data
            self._contents_of(member, header, packed=member.packed or room)

    # one member

    def _member(self, member: Member) -> tuple[int, int]:
        """Inspect it; the bytes it takes."""
        header = local_header(self._source, member.header)
        shown = printable(member.name)
        if header is None:
            self._note(
                "zip-disagreement", f"{shown} has no local header where the directory says", shown, member.header
            )
            self._incomplete("a member has no local header", member)
            return member.header, member.header
        for difference in _differences(member, header):
            self._note(
                "zip-disagreement", f"{shown}: local header and directory differ in {difference}", shown, member.header
            )
        if (member.flags | header.flags) & _ENCRYPTED:
            self._note("zip-encrypted", f"{shown} is marked as encrypted", shown, member.header)
            self._incomplete("a member is marked as encrypted, which some loaders ignore", member)
        self._contents_of(member, header, packed=member.packed)
        if header.raw_name != member.raw_name:
            self._contents.names.append(header.raw_name.decode("utf-8", "surrogateescape"))
        return member.header, header.data + member.packed

    def _contents_of(self, member: Member, header: LocalHeader, *, packed: int) -> None:
        self._contents.names.append(member.name)
        self._context.budget.members -= 1
        if self._context.budget.members < 0:
            limit = self._context.limits.max_members
            self._context.notes.incomplete(
                f"more than {limit} members", limit="max_members", member=self._context.member
            )
            return
        try:
            for method in dict.fromkeys((member.method, header.method)):
                self._inspect(member, header, method, packed)
        except LimitReachedError as error:
            place = self._context.inside(member.name).member
            self._context.notes.incomplete(error.reason, limit=error.limit, member=place)
        except UnreadableError as error:
            self._incomplete(str(error), member)

    def _inspect(self, member: Member, header: LocalHeader, method: int, packed: int) -> None:
        source: Source = SliceSource(self._source, header.data, packed)
        if method == _DEFLATED:
            size = member.size or header.size or self._context.limits.max_inflated_bytes
            source = InflatingSource(source, size, limits=self._context.limits, budget=self._context.budget)
        elif method != _STORED:
            self._incomplete(f"a member is packed by method {method}, which is not supported", member)
            return
        elif source.size < packed:
            self._incomplete("a member is cut short", member)
        weights = (self._torch and _STORAGE.fullmatch(member.name)) or self._code.is_weights(member.name)
        if source.size == 0 or (weights and not self._is_trap(source)):
            return
        if member.name == "schema.json" or header.raw_name == b"schema.json":
            self._skops |= self._schema(source, member)
        context = self._context.inside(member.name)
        for name in dict.fromkeys((member.name, header.raw_name.decode("utf-8", "surrogateescape"))):
            self._code.inspect(source, name, context)
        recognised = self._context.nested(source, member.name, context)
        if recognised is not None:
            self._contents.formats.append(recognised)
        self._check_sum(member, source)

    def _schema(self, source: Source, member: Member) -> bool:
        """Judge what may be the schema of a skops file; whether it is one."""
        limit = self._context.limits.max_skops_schema
        text = source.read(0, limit + 1)
        if len(text) > limit:
            reason = f"the schema has more than {limit} bytes"
            place = self._context.inside(member.name).member
            self._context.notes.incomplete(reason, limit="max_skops_schema", member=place)
            return False
        return check_schema(text, self._context)

    def _is_trap(self, source: Source) -> bool:
        return credible_pickle(source, self._context)

    def _check_sum(self, member: Member, source: Source) -> None:
        if member.size > _CHECKED_BYTES:
            return
        data = source.read(0, member.size)
        if len(data) < member.size:
            self._incomplete("a member is shorter than the directory says", member)
        elif zlib.crc32(data) != member.crc and not self._torch_without_sums(member):
            shown = printable(member.name)
            self._note("zip-bad-checksum", f"the checksum of {shown} does not match", shown, member.header)
            self._incomplete("a member's checksum does not match", member)

    def _torch_without_sums(self, member: Member) -> bool:
        """Torch writes 0 for all checksums when told not to compute them."""
        return self._torch and member.crc == 0

    # the outcome

    def _outcome(self) -> Recognised:
        names = {name.rpartition("/")[2] for name in self._contents.names}
        formats = self._contents.formats
        if self._code.format is not None:
            return Recognised(self._code.format)
        if "data.pkl" in names and ("version" in names or "byteorder" in names or "constants.pkl" in names):
            return Recognised("torch-zip")
        if self._skops:
            return Recognised("skops")
        if {"config.json", "metadata.json"} <= names:
            return Recognised("keras", supported=False)
        files = [name for name in self._contents.names if not name.endswith("/")]
        if files and all(name.endswith(".npy") for name in files):
            return Recognised("npz")
        models = any(item.model for item in formats)
        return Recognised("zip", supported=models, model=models)

    def _note(self, rule: str, message: str, key: str, offset: int | None) -> None:
        self._context.notes.add(rule, message, key=key, member=self._context.member, offset=offset)

    def _incomplete(self, reason: str, member: Member | None = None) -> None:
        place = self._context.member if member is None else self._context.inside(member.name).member
        self._context.notes.incomplete(reason, member=place)


def _differences(member: Member, header: LocalHeader) -> list[str]:
    """In what the two accounts of a member differ. Zero sizes stand for 'behind the data' where the flag says so."""
    found = []
    if member.raw_name != header.raw_name:
        found.append(f"name ({printable(header.raw_name.decode('utf-8', 'replace'))})")
    if member.method != header.method:
        found.append("method")
    if (member.flags ^ header.flags) & _ENCRYPTED:
        found.append("encryption")
    follow = header.flags & _SIZES_FOLLOW
    for label, central, local in (
        ("packed size", member.packed, header.packed),
        ("size", member.size, header.size),
        ("checksum", member.crc, header.crc),
    ):
        if central != local and not (follow and local == 0):
            found.append(label)
    return found
