"""What is to be said against the packages of a project: pure functions from the evidence to remarks of one rule each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from posixpath import dirname
from urllib.parse import urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion

from heliotrope.core.findings import Location, Rule
from heliotrope.core.predicates.dependencies import DependenciesPredicate, DependencyFile, Package, PackageIndex
from heliotrope.core.text import counted, printable, shorten
from heliotrope.supply.rules import (
    DEPENDENCIES_UNDECLARED,
    DEPENDENCY_EXTRA_INDEX,
    DEPENDENCY_MUTABLE_SOURCE,
    DEPENDENCY_UNENCRYPTED_SOURCE,
    DEPENDENCY_UNPINNED,
    DEPENDENCY_WITHOUT_HASH,
    LOCK_OUT_OF_STEP,
    LOCKS_DISAGREE,
)

__all__ = ["Remark", "judge"]

MAX_REMARKS = 100
"""Remarks of one rule told one by one; the rest is told in one more."""

_SHOWN = 5
"""Places and names shown of many."""

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_PLAIN = frozenset({"http", "ftp", "git", "svn", "rsync"})
"""Schemes without encryption. git:// is git's own, without any."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One finding to be: a rule, what it is about, and where."""

    rule: Rule
    key: str
    """What stays the same from run to run: path and name, never a line."""
    message: str
    locations: tuple[Location, ...]
    count: int = 1


def judge(predicate: DependenciesPredicate) -> tuple[Remark, ...]:
    """All remarks, rule by rule."""
    context = _Context(predicate)
    found: list[Remark] = []
    for rule in (_undeclared, _unpinned, _without_hash, _mutable, _unencrypted, _extra_index, _out_of_step, _disagree):
        found += _bounded(list(rule(context)))
    return tuple(found)


class _Context:
    def __init__(self, predicate: DependenciesPredicate) -> None:
        self.predicate = predicate
        self.files = predicate.files
        self._by_path = {file.path: file for file in predicate.files}

    def reached(self, file: DependencyFile) -> list[DependencyFile]:
        """The file and all that it includes, constraints too."""
        seen: dict[str, DependencyFile] = {}
        waiting = [file.path]
        while waiting:
            path = waiting.pop()
            reached = self._by_path.get(path)
            if reached is not None and path not in seen:
                seen[path] = reached
                waiting += [*reached.includes, *reached.constraints]
        return list(seen.values())

    def held_by_hashes(self, file: DependencyFile) -> bool:
        """Whether whoever installs from the file refuses bytes without a known digest: then where they come from matters less."""
        packages = [package for reached in self.reached(file) if reached.role == "pins" for package in reached.packages]
        return bool(packages) and all(package.hashes or package.source.kind == "path" for package in packages)

    def pins(self, folder: str) -> list[DependencyFile]:
        return [file for file in self.files if file.role == "pins" and dirname(file.path) == folder]


def _bounded(remarks: list[Remark]) -> list[Remark]:
    if len(remarks) <= MAX_REMARKS:
        return remarks
    rest = remarks[MAX_REMARKS:]
    places = tuple(place for remark in rest[:_SHOWN] for place in remark.locations[:1])
    count = sum(remark.count for remark in rest)
    more = Remark(rest[0].rule, "more", f"{count} more: {rest[0].message}, …", places, count)
    return [*remarks[:MAX_REMARKS], more]


def _undeclared(context: _Context) -> Iterator[Remark]:
    speaking = [
        file for file in context.files if file.packages or file.format not in {"pyproject", "conda-environment"}
    ]
    if context.predicate.python_code and not speaking:
        remarks = [f" ({remark})" for file in context.files for remark in file.remarks][:1]
        message = "there is Python code, and no file says which packages it needs" + "".join(remarks)
        yield Remark(DEPENDENCIES_UNDECLARED, "project", message, ())


def _together(rule: Rule, file: DependencyFile, packages: list[Package], what: str) -> Iterator[Remark]:
    """One remark for a file: a hundred of the same kind would hide the others."""
    if packages:
        names = _listed(package.name for package in packages)
        message = f"{printable(file.path)}: {counted(len(packages), 'package')} {what}: {names}"
        places = tuple(Location(path=file.path, line=package.line) for package in packages[:_SHOWN])
        yield Remark(rule, file.path, message, places, len(packages))


def _listed(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _SHOWN} more" if len(distinct) > _SHOWN else ""
    return ", ".join(shorten(printable(name), 60) for name in distinct[:_SHOWN]) + more


def _unpinned(context: _Context) -> Iterator[Remark]:
    for file in context.files:
        if file.role != "pins":
            continue
        bounds = {
            package.name
            for reached in context.reached(file)
            if reached.role == "limits"
            for package in reached.packages
            if package.version is not None or (package.source.fixed and package.source.kind != "index")
        }
        loose = [
            package
            for package in file.packages
            if package.version is None and package.source.kind == "index" and package.name not in bounds
        ]
        yield from _together(DEPENDENCY_UNPINNED, file, loose, "not pinned to one version")


def _without_hash(context: _Context) -> Iterator[Remark]:
    for file in context.files:
        if file.role != "pins" or file.format == "conda-environment":  # which cannot hold digests
            continue
        bare = [
            package
            for package in file.packages
            if not package.hashes and package.version is not None and _is_fetched(package)
        ]
        yield from _together(DEPENDENCY_WITHOUT_HASH, file, bare, "pinned without a digest")


def _is_fetched(package: Package) -> bool:
    return package.source.kind == "index" or (package.ecosystem == "conda" and package.source.kind == "url")


def _mutable(context: _Context) -> Iterator[Remark]:
    for file in context.files:
        if file.role in {"installed", "limits"}:
            continue
        for package in file.packages:
            source = package.source
            if source.kind not in {"vcs", "url"} or source.fixed or package.hashes or package.ecosystem == "conda":
                continue
            if file.role == "declares" and _is_locked(context, file, package):
                continue
            asked = f" at {shorten(printable(source.revision), 60)}" if source.revision else ""
            what = f"{source.vcs}{asked}, which can move" if source.kind == "vcs" else "a URL without a digest"
            yield _about(DEPENDENCY_MUTABLE_SOURCE, file, package, f"comes from {what}")


def _is_locked(context: _Context, file: DependencyFile, package: Package) -> bool:
    """Whether a lock file beside it fixes what is only named here."""
    locked = (other for pins in context.pins(dirname(file.path)) for other in pins.packages)
    return any(other.name == package.name and other.source.fixed for other in locked)


def _about(rule: Rule, file: DependencyFile, package: Package, what: str) -> Remark:
    message = f"{printable(file.path)}: {printable(package.name)} {what}"
    place = Location(path=file.path, line=package.line)
    return Remark(rule, f"{file.path}\n{package.name}", message, (place,))


def _unencrypted(context: _Context) -> Iterator[Remark]:
    for file in context.files:
        if file.role == "installed":
            continue
        held = context.held_by_hashes(file)
        for package in file.packages:
            source = package.source
            if source.kind != "index" and not package.hashes and not source.fixed and _is_plain(source.address):
                address = shorten(printable(source.address or ""), 120)
                yield _about(
                    DEPENDENCY_UNENCRYPTED_SOURCE, file, package, f"is fetched without encryption from {address}"
                )
        for index in file.indexes:
            unsafe = index.kind == "trusted-host" and not _is_local_host(index.address)
            if not held and (unsafe or _is_plain(index.address)):
                what = "certificates are not checked of" if unsafe else "packages are fetched without encryption from"
                yield _about_index(DEPENDENCY_UNENCRYPTED_SOURCE, file, index, what)


def _is_plain(address: str | None) -> bool:
    if not address:
        return False
    try:
        parts = urlsplit(address)
        return parts.scheme.lower() in _PLAIN and not _is_local_host(parts.hostname or "")
    except ValueError:
        return False


def _is_local_host(host: str) -> bool:
    name = host.strip("[]").lower()
    name = name if name == "::1" else name.partition(":")[0]
    return name in _LOCAL or name.endswith(".localhost")


def _about_index(rule: Rule, file: DependencyFile, index: PackageIndex, what: str) -> Remark:
    message = f"{printable(file.path)}: {what} {shorten(printable(index.address), 120)}"
    return Remark(rule, f"{file.path}\n{index.address}", message, (Location(path=file.path, line=index.line),))


def _extra_index(context: _Context) -> Iterator[Remark]:
    for file in context.files:
        extra = [index for index in file.indexes if index.kind == "extra-index"]
        if extra and not context.held_by_hashes(file):
            for index in extra:
                yield _about_index(
                    DEPENDENCY_EXTRA_INDEX, file, index, "packages may come from a second index as well:"
                )


def _out_of_step(context: _Context) -> Iterator[Remark]:
    for file in context.files:
        if file.role != "declares":
            continue
        for lock in context.pins(dirname(file.path)):
            if _locks(file, lock):
                wrong = [
                    reason
                    for package in file.packages
                    if not package.groups and package.source.kind == "index" and (reason := _mismatch(package, lock))
                ]
                if wrong:
                    message = f"{printable(lock.path)} does not fit {printable(file.path)}: {_listed(wrong)}"
                    places = (Location(path=lock.path), Location(path=file.path))
                    yield Remark(LOCK_OUT_OF_STEP, f"{file.path}\n{lock.path}", message, places, len(wrong))


def _locks(declaring: DependencyFile, lock: DependencyFile) -> bool:
    """Whether a file that pins was worked out from one that declares."""
    if declaring.format == "pyproject":
        return lock.format in {"uv-lock", "poetry-lock", "pdm-lock", "pylock"}
    return lock.format == "requirements" and lock.path == f"{declaring.path.removesuffix('.in')}.txt"


def _mismatch(package: Package, lock: DependencyFile) -> str | None:
    locked = [other for other in lock.packages if other.name == package.name]
    if not locked:
        return None if package.marker else f"{package.name} is missing"
    if not package.specifier or any(other.version is None or other.source.kind != "index" for other in locked):
        return None
    try:
        wanted = SpecifierSet(package.specifier)
        fits = any(wanted.contains(other.version or "", prereleases=True) for other in locked)
    except (InvalidSpecifier, InvalidVersion):
        return None
    return None if fits else f"{package.name} {locked[0].version} is not {package.specifier}"


def _disagree(context: _Context) -> Iterator[Remark]:
    """Files of different formats in one folder: of one format there may be several on purpose, one for each platform."""
    folders: dict[str, list[DependencyFile]] = defaultdict(list)
    for file in context.files:
        if file.role == "pins":
            folders[dirname(file.path)].append(file)
    for files in folders.values():
        for first, second in combinations(files, 2):
            if first.format != second.format:
                yield from _difference(first, second)


def _difference(first: DependencyFile, second: DependencyFile) -> Iterator[Remark]:
    left, right = _versions(first), _versions(second)
    apart = [
        f"{key[1]} {min(left[key])} and {min(right[key])}"
        for key in sorted(left.keys() & right.keys())
        if left[key].isdisjoint(right[key])
    ]
    if apart:
        message = f"{printable(first.path)} and {printable(second.path)} pin different versions: {_listed(apart)}"
        places = (Location(path=first.path), Location(path=second.path))
        yield Remark(LOCKS_DISAGREE, f"{first.path}\n{second.path}", message, places, len(apart))


def _versions(file: DependencyFile) -> dict[tuple[str, str], set[str]]:
    versions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for package in file.packages:
        if package.version is not None:
            versions[package.ecosystem, package.name].add(package.version)
    return versions
