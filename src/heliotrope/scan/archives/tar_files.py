"""Tar archives: every member is looked at, whatever its name; so is what stands behind the end that readers see."""

import posixpath
from dataclasses import replace

from heliotrope.core.text import printable
from heliotrope.scan.archives.names import Names, exact, is_odd, leaves, link_leaves
from heliotrope.scan.archives.tar_headers import BLOCK, DATA_TYPES, LINK_TYPES, Header, is_tar
from heliotrope.scan.archives.tar_sparse import SparseSource, old_sparse, pax_sparse
from heliotrope.scan.archives.tar_walk import Walk, next_header
from heliotrope.scan.archives.torch_tar import TORCH_MEMBERS, analyse_torch_member
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.sources import SliceSource

__all__ = ["TarAnalyser"]

_SPECIAL = {ord("3"): "a character device", ord("4"): "a block device", ord("6"): "a pipe"}
_SPARSE, _SYMBOLIC = ord("S"), ord("2")
_FIRST_OF_TORCH = TORCH_MEMBERS | {"sys_info"}
_MAX_TORCH_MEMBERS = 8
_MAX_HOPS = 8
_MAX_RESTARTS = 1_000
"""Archives one after another in one file."""


class TarAnalyser:
    """Anything a tar reader would open."""

    format = "tar"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return is_tar(source)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        return _Archive(source, context).analyse()


class _Archive:
    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._names = Names()
        self._found: list[Recognised] = []
        self._files: dict[str, Header] = {}
        self._links: list[Header] = []
        self._seen: set[int] = set()
        """Offsets of headers, so that no way leads over one twice."""
        self._torch = self._is_torch()

    def _is_torch(self) -> bool:
        """Whether it is what torch wrote at first, by the names of its members."""
        names = set()
        try:
            for header in Walk(self._source, self._context.limits):
                names.add(header.name)
                if header.name not in _FIRST_OF_TORCH or len(names) > _MAX_TORCH_MEMBERS:
                    return False
        except LimitReachedError:
            return False
        return names >= TORCH_MEMBERS

    def analyse(self) -> Recognised:
        walk = self._walk(0, hidden=False)
        for place in walk.elsewhere:
            self._walk(place, hidden=True)
        self._behind(walk)
        self._follow_links()
        if self._torch:
            return Recognised("torch-tar")
        models = any(item.model for item in self._found)
        return Recognised("tar", supported=models, model=models)

    def _walk(self, start: int, *, hidden: bool) -> Walk:
        walk = Walk(self._source, self._context.limits, start)
        for header in walk:
            if header.offset in self._seen:
                break
            self._seen.add(header.offset)
            self._context.budget.members -= 1
            if self._context.budget.members < 0:
                limit = self._context.limits.max_members
                raise LimitReachedError("max_members", f"more than {limit} members")
            if hidden:
                shown = printable(header.name)
                self._note("tar-hidden-member", f"{shown} is not seen by every reader", shown, header)
            self._member(header)
        for name, doubt, offset in walk.doubts:
            shown = printable(name)
            self._context.notes.add(
                "tar-disagreement",
                f"{shown}: readers differ in {doubt}",
                key=shown,
                member=self._context.member,
                offset=self._context.base + offset,
            )
        for trouble in (walk.flaw, walk.damage):
            if trouble:
                self._incomplete(f"the archive is damaged: {trouble}")
        return walk

    def _behind(self, walk: Walk) -> None:
        """What stands behind the end: padding, further archives that some readers go on with, or anything."""
        offset, other = walk.end, 0
        for _ in range(_MAX_RESTARTS):
            found, more = next_header(self._source, offset)
            other += more
            if found is None or found in self._seen:
                break
            offset = max(self._walk(found, hidden=True).end, found + BLOCK)
        else:
            self._incomplete(f"more than {_MAX_RESTARTS} archives one after another")
        if other and not walk.damage:
            self._context.notes.add(
                "tar-trailing-data",
                f"{other} bytes follow the archive",
                member=self._context.member,
                offset=self._context.base + walk.end,
            )

    # one member

    def _member(self, header: Header) -> None:
        self._check_name(header)
        if header.kind in LINK_TYPES:
            self._links.append(replace(header, block=b""))
            symbolic = header.kind == _SYMBOLIC
            if link_leaves(header.name, header.link, symbolic=symbolic):
                shown = printable(header.name)
                self._note("tar-unsafe-link", f"{shown} is a link to {printable(header.link)}", shown, header)
        elif header.kind in _SPECIAL:
            shown = printable(header.name)
            self._note("tar-special-file", f"{shown} is {_SPECIAL[header.kind]}", shown, header)
        elif header.kind in DATA_TYPES:
            self._files[exact(header.name)] = header if header.kind == _SPARSE else replace(header, block=b"")
            self._content(header, header.name)

    def _check_name(self, header: Header) -> None:
        shown = printable(header.name)
        folder = header.kind not in DATA_TYPES and header.kind not in LINK_TYPES
        problem = self._names.problem(header.name) if not folder else None
        if problem == "duplicate":
            self._note("tar-duplicate-member", f"two members are named {shown}", shown, header)
        elif problem == "similar":
            self._note(
                "archive-similar-names", f"{shown} differs from another name in case or composition only", shown, header
            )
        if leaves(header.name):
            self._note("tar-unsafe-name", f"a member is named {shown}", shown, header)
        elif is_odd(header.name):
            self._note("archive-odd-name", f"a member is named {shown}", shown, header)

    def _content(self, header: Header, name: str) -> None:
        context = self._context.inside(name)
        try:
            source = self._opened(header, context)
            if source.size == 0:
                return
            if self._torch and name in TORCH_MEMBERS:
                analyse_torch_member(source, name, context)
                return
            recognised = context.nested(source, name, context)
        except UnreadableError as error:
            context.notes.incomplete(str(error), member=context.member)
            return
        if recognised is not None:
            self._found.append(recognised)

    def _opened(self, header: Header, context: Context) -> Source:
        source = SliceSource(self._source, header.data, header.size)
        if source.size < header.size:
            context.notes.incomplete("a member is cut short", member=context.member)
        try:
            return self._sparse(header, context) or source
        except UnreadableError as error:
            context.notes.incomplete(str(error), member=context.member)
            return source  # as it is stored, for readers that know nothing of holes

    def _sparse(self, header: Header, context: Context) -> Source | None:
        sparse = old_sparse(self._source, header) if header.kind == _SPARSE else pax_sparse(self._source, header)
        if sparse is None:
            return None
        size, pieces, data = sparse
        stored = header.size if header.kind == _SPARSE else header.data + header.size - data
        inside = SliceSource(self._source, data, stored)
        return SparseSource(inside, pieces, size, limits=context.limits, budget=context.budget)

    def _follow_links(self) -> None:
        """What is judged by its name as well is looked at under the name of a link to it, too."""
        names = {exact(link.name): link for link in self._links}
        for link in self._links:
            target: Header | None = link
            for _ in range(_MAX_HOPS):
                if target is None or target.kind not in LINK_TYPES:
                    break
                place = _target(target)
                target = self._files.get(place) or names.get(place)
            if target is None or target.kind in LINK_TYPES:
                continue
            if posixpath.splitext(link.name)[1] != posixpath.splitext(target.name)[1]:
                self._context.budget.members -= 1
                if self._context.budget.members < 0:
                    limit = self._context.limits.max_members
                    raise LimitReachedError("max_members", f"more than {limit} members")
                self._content(target, link.name)

    def _note(self, rule: str, message: str, key: str, header: Header) -> None:
        offset = self._context.base + header.offset
        self._context.notes.add(rule, message, key=key, member=self._context.member, offset=offset)

    def _incomplete(self, reason: str) -> None:
        self._context.notes.incomplete(reason, member=self._context.member)


def _target(link: Header) -> str:
    """The name a link within the archive points at."""
    if link.kind != _SYMBOLIC:
        return exact(link.link)
    return exact(posixpath.join(posixpath.dirname(link.name), link.link))
