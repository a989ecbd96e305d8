"""Zip archives: torch's files, npz, and whatever else is packed; every member is looked at, whatever its name."""

import re
from bisect import bisect
from dataclasses import dataclass, field
from typing import Final

from heliotrope.core.text import printable
from heliotrope.scan.archives.names import Names, is_odd, leaves, link_leaves
from heliotrope.scan.archives.tar_walk import lies_in_member
from heliotrope.scan.archives.zip_directory import (
    Directory,
    LocalHeader,
    Member,
    NoDirectoryError,
    archive_extent,
    end_records,
    hidden_headers,
    local_header,
    read_directories,
)
from heliotrope.scan.archives.zip_members import (
    ENCRYPTED,
    STORED,
    differences,
    member_end,
    names_of,
    opened,
    unreadable_flags,
    unsound,
)
from heliotrope.scan.frameworks.archive_code import ArchiveCode
from heliotrope.scan.frameworks.keras_files import KerasArchive
from heliotrope.scan.frameworks.skops_schema import check_schema
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.pickles.streams import credible_pickle
from heliotrope.scan.sources import SliceSource
from heliotrope.scan.unpacking import PACKINGS, UnpackedSource, packing_of

__all__ = ["ZipAnalyser"]

_BEGINNING = 262
_FILES = (b"PK\x03\x04", b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"GGUF")
"""What files begin with that weights do not: four random bytes are one of these once in a thousand million."""
_STORAGE = re.compile(r"(?:.*/)?data/\d+")
"""Raw weights in torch's format. A few of them begin like a pickle by chance."""

_MAX_HIDDEN = 1_000
_MAX_LINK = 4_096
"""Bytes of where a symbolic link points; systems allow as many."""


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
        if source.read(0, 4) == b"PK\x03\x04":
            return True
        extent = archive_extent(source)
        # The end of a tar archive may be a member that is a zip file; it is inspected as that member.
        return extent is not None and not (extent[0] > 0 and lies_in_member(source, *extent))

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
        self._spans: list[tuple[int, int]] = []
        """Of the bytes that are accounted for."""
        self._keras = KerasArchive(context)
        self._behind_model = source.read(4, 4) == b"TFL3"
        """TensorFlow Lite's models have their labels in an archive behind them."""
        self._code = ArchiveCode(())

    def analyse(self) -> Recognised:
        try:
            directories = self._directories()
        except LimitReachedError as error:
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member)
            return Recognised("zip")
        self._torch = any(member.name.endswith("data.pkl") for item in directories for member in item.members)
        self._code = ArchiveCode(member.name for item in directories for member in item.members)
        for number, directory in enumerate(directories):
            seen = {member for earlier in directories[:number] for member in earlier.members}
            self._listed(directory, [member for member in directory.members if member not in seen])
        self._hidden(listed=any(directory.members for directory in directories))
        return self._outcome()

    # the directory as a whole

    def _directories(self) -> list[Directory]:
        """All that some reader finds; from more than one, readers would see different archives."""
        ends = end_records(self._source)
        found: list[Directory] = []
        if not ends:
            self._incomplete("the archive is damaged: the directory at the end is missing")
            return []
        try:
            found = read_directories(self._source, ends[0], self._context.limits)
        except NoDirectoryError as error:
            self._incomplete(f"the archive is damaged: {error}")
        spans = [span for item in found for span in self._rough_spans(item)] if len(ends) > 1 else []
        for end in ends[1:]:
            if not any(begin <= end < behind for begin, behind in spans):
                found += self._from_another(end)
        if len(found) > 1:
            places = ", ".join(str(item.offset) for item in found)
            self._note(
                "zip-disagreement", f"readers would find different directories, at {places}", "directories", None
            )
        return found

    def _rough_spans(self, directory: Directory) -> list[tuple[int, int]]:
        """Of members with their headers; an end record in there belongs to a member."""
        spans = []
        for member in directory.members:
            header = local_header(self._source, member.header)
            data = member.header if header is None else header.data
            spans.append((member.header, data + member.packed))
        return spans

    def _from_another(self, end: int) -> list[Directory]:
        try:
            return [item for item in read_directories(self._source, end, self._context.limits) if item.members]
        except NoDirectoryError:
            return []

    def _listed(self, directory: Directory, members: list[Member]) -> None:
        """Inspect the members that a directory lists and no earlier one does."""
        if directory.ambiguous:
            self._note(
                "zip-disagreement", "the records at the end contradict each other", "end records", directory.offset
            )
        if directory.damaged:
            self._incomplete("the archive is damaged: other bytes stand in its directory")
        self._check_names(members)
        spans = sorted(self._member(member) for member in sorted(members, key=lambda member: member.header))
        self._check_spans(spans, directory)
        self._spans += spans
        self._spans.append((directory.offset, directory.record + 22))

    def _check_names(self, members: list[Member]) -> None:
        names = Names()
        for member in members:
            shown = printable(member.name)
            problem = names.problem(member.name)
            if problem == "duplicate":
                self._note("zip-duplicate-member", f"two members are named {shown}", shown, member.header)
            elif problem == "similar":
                message = f"{shown} differs from another name in case or composition only"
                self._note("archive-similar-names", message, shown, member.header)
            if leaves(member.name):
                self._note("zip-unsafe-name", f"a member is named {shown}", shown, member.header)
            elif is_odd(member.name):
                self._note("archive-odd-name", f"a member is named {shown}", shown, member.header)

    def _check_spans(self, spans: list[tuple[int, int]], directory: Directory) -> None:
        reached = first = min([begin for begin, _ in spans], default=directory.offset)
        for begin, end in [*spans, (directory.offset, directory.offset)]:
            if begin < reached and begin < directory.offset:
                self._note("zip-disagreement", "members share bytes", "shared bytes", begin)
            elif begin > reached:
                self._note("zip-gap", f"{begin - reached} bytes belong to no member", "gap", reached)
            reached = max(reached, end)
        if first > 0 and spans and not self._behind_model:
            self._note("zip-prefix", f"{first} bytes stand before the archive", "prefix", 0)
        if reached > directory.offset:
            self._incomplete("members reach into the directory or beyond the file")
        if directory.end < self._source.size:
            rest = self._source.size - directory.end
            self._note("zip-prefix", f"{rest} bytes follow the archive", "suffix", directory.end)

    def _hidden(self, *, listed: bool) -> None:
        found = 0
        spans = sorted(self._spans)
        for offset in hidden_headers(self._source, spans):
            header = local_header(self._source, offset)
            if header is None or header.method > 99 or not header.raw_name:
                continue
            found += 1
            if found > _MAX_HIDDEN:
                self._incomplete(f"more than {_MAX_HIDDEN} hidden members")
                return
            member = header.member(offset)
            if listed:
                shown = printable(member.name)
                self._note("zip-hidden-member", f"{shown} is not in the directory", shown, offset)
            place = bisect(spans, (offset, offset))
            behind = spans[place][0] if place < len(spans) else self._source.size
            self._contents_of(member, header, packed=[member.packed or behind - header.data], listed=False)

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
        end, agreed = member_end(self._source, member, header)
        differing = [*differences(member, header), *([] if agreed else ["what follows its data"])]
        if member.method == STORED and member.packed != member.size and not member.flags & ENCRYPTED:
            differing.append("size, which is not what is stored")
        for difference in differing:
            self._note(
                "zip-disagreement", f"{shown}: local header and directory differ in {difference}", shown, member.header
            )
        flagged = unreadable_flags(member, header)
        if flagged:
            self._note("zip-encrypted", f"{shown} is marked as encrypted", shown, member.header)
            self._incomplete(flagged, member)
        sizes = [member.packed, *([header.packed] if "packed size" in differing else [])]
        self._contents_of(member, header, packed=sizes)
        self._contents.names += names_of(member, header)[1:]
        return member.header, end

    def _contents_of(self, member: Member, header: LocalHeader, *, packed: list[int], listed: bool = True) -> None:
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
                for size in packed:
                    self._inspect(member, header, method, size, listed=listed)
        except LimitReachedError as error:
            place = self._context.inside(member.name).member
            self._context.notes.incomplete(error.reason, limit=error.limit, member=place)
        except UnreadableError as error:
            self._incomplete(str(error), member)

    def _inspect(self, member: Member, header: LocalHeader, method: int, packed: int, *, listed: bool) -> None:
        context = self._context.inside(member.name)
        source = opened(SliceSource(self._source, header.data, packed), method, member.size or header.size, context)
        if source is None:
            name = _METHOD_NAMES.get(method, "")
            reason = f"a member is packed by method {method}{name}, which is not supported; pack it again by deflate"
            self._context.notes.incomplete(reason, member=context.member, unsupported=True)
            return
        whole = self._is_whole(member, source, packed, listed=listed)
        weights = (self._torch and _STORAGE.fullmatch(member.name)) or self._code.is_weights(member.name)
        if source.size == 0 or (weights and not self._is_trap(source)):
            return
        if member.link:
            self._link(member, source)
        if member.name == "schema.json" or header.raw_name == b"schema.json":
            self._skops |= self._schema(source, member)
        names = dict.fromkeys((member.name, header.raw_name.decode("utf-8", "surrogateescape")))
        for name in names:
            self._code.inspect(source, name, context)
        if not any(self._keras.take(name, source) for name in names):
            recognised = self._context.nested(source, member.name, context)
            if recognised is not None:
                self._contents.formats.append(recognised)
        if whole and unsound(source, member) and not self._torch_without_sums(member):
            shown = printable(member.name)
            self._note("zip-bad-checksum", f"the checksum of {shown} does not match", shown, member.header)
            self._incomplete("a member's checksum does not match", member)

    def _is_whole(self, member: Member, source: Source, packed: int, *, listed: bool) -> bool:
        """Whether all is there that the directory announces, and no more."""
        if not isinstance(source, UnpackedSource):
            if source.size < packed:
                self._incomplete("a member is cut short", member)
            return source.size == member.size
        if source.trouble:
            place = self._context.inside(member.name).member
            self._context.notes.incomplete(source.trouble, limit=source.limit, member=place)
            return False
        shown = printable(member.name)
        if source.left and listed:
            message = f"{shown}: {source.left} bytes stand behind its compressed data"
            self._note("zip-disagreement", message, shown, member.header)
        if source.size != member.size and listed:
            message = f"{shown} unpacks to {source.size} bytes, the directory says {member.size}"
            self._note("zip-disagreement", message, shown, member.header)
            if source.size < member.size:
                self._incomplete("a member is shorter than the directory says", member)
        return source.size == member.size

    def _link(self, member: Member, source: Source) -> None:
        target = source.read(0, _MAX_LINK).decode("utf-8", "surrogateescape")
        if link_leaves(member.name, target, symbolic=True):
            shown = printable(member.name)
            self._note("zip-unsafe-link", f"{shown} is a link to {printable(target)}", shown, member.header)

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
        """Whether what is named as weights begins as something that loaders open."""
        head = source.read(0, _BEGINNING)
        packing = packing_of(head)
        return (
            head.startswith(_FILES)
            or head[257:262] == b"ustar"
            or (packing is not None and PACKINGS[packing].certain)
            or credible_pickle(source, self._context)
        )

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
        if self._keras.is_model(names):
            return Recognised("keras")
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


_METHOD_NAMES: Final = {
    1: " (shrink)", 6: " (implode)", 9: " (deflate64)", 10: " (PKWARE DCL)", 94: " (mp3)", 96: " (jpeg)",
    97: " (wavpack)", 98: " (PPMd)", 99: " (AES encryption)",
}  # fmt: skip
"""Of APPNOTE.TXT, section 4.4.5."""
