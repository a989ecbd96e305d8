"""The packages of a bill of materials: one component for each version, and what it depends on."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from heliotrope.core.predicates.dependencies import DependenciesPredicate, DependencyFile, Package, PackageHash
from heliotrope.report._bom_parts import Basis, basis, digests, properties, text, without_empty

__all__ = ["PackageGraph", "package_graph"]

_WITH_EDGES = frozenset({"uv-lock", "poetry-lock", "pdm-lock", "conda-lock", "installed", "pylock"})
"""Formats that say what a package depends on. In pylock.toml that is optional."""

_MAX_PLACES = 10


@dataclass(slots=True)
class _Entry:
    """One version of a package, as all files together speak of it."""

    packages: list[tuple[DependencyFile, Package]] = field(default_factory=list)
    requires: set[str] = field(default_factory=set)
    """References."""
    has_edges: bool = False


@dataclass(frozen=True, slots=True)
class PackageGraph:
    """Components, the edges between them by reference, what the project itself asks for, and whose edges nobody knows."""

    components: tuple[dict[str, Any], ...]
    edges: dict[str, tuple[str, ...]]
    direct: tuple[str, ...]
    without_edges: tuple[str, ...]


def package_graph(predicate: DependenciesPredicate | None) -> PackageGraph:
    """The graph of all packages that are pinned or installed; what is only declared stands without a version."""
    entries: dict[str, _Entry] = defaultdict(_Entry)
    files = predicate.files if predicate is not None else ()
    for file in _counting(files):
        for package in file.packages:
            entries[package.purl].packages.append((file, package))
    for file in _counting(files):
        _connect(file, entries)
    asked = _asked(files)
    direct = sorted(ref for ref, entry in entries.items() if _is_direct(entry, asked))
    return PackageGraph(
        components=tuple(_component(ref, entries[ref]) for ref in sorted(entries)),
        edges={ref: tuple(sorted(entries[ref].requires)) for ref in sorted(entries)},
        direct=tuple(direct or _roots(entries)),
        without_edges=tuple(sorted(ref for ref, entry in entries.items() if not entry.has_edges)),
    )


def _counting(files: Iterable[DependencyFile]) -> list[DependencyFile]:
    """Files whose packages are there. A declaration adds only what no other file fixes, a bound adds nothing."""
    fixed = {
        (package.ecosystem, package.name)
        for file in files
        if file.role in {"pins", "installed"}
        for package in file.packages
    }
    counting = []
    for file in files:
        if file.role == "declares":
            loose = tuple(package for package in file.packages if (package.ecosystem, package.name) not in fixed)
            counting.append(file.model_copy(update={"packages": loose}))
        elif file.role != "limits":
            counting.append(file)
    return counting


def _connect(file: DependencyFile, entries: dict[str, _Entry]) -> None:
    by_name: dict[str, list[Package]] = defaultdict(list)
    for package in file.packages:
        by_name[package.name].append(package)
    for package in file.packages:
        entry = entries[package.purl]
        entry.has_edges = entry.has_edges or (
            file.format in _WITH_EDGES and (file.format != "pylock" or bool(package.requires))
        )
        for wanted in package.requires:
            name, _, version = wanted.partition("==")
            found = [other for other in by_name.get(name, ()) if not version or other.version == version]
            entry.requires.update(
                other.purl for other in _of_its_platform(package, found) if other.purl != package.purl
            )


def _of_its_platform(package: Package, found: list[Package]) -> list[Package]:
    """Of conda packages that are there for several platforms, those of the platform that the package is for."""
    same = [other for other in found if other.marker == package.marker]
    return same if package.ecosystem == "conda" and same else found


def _asked(files: Iterable[DependencyFile]) -> set[tuple[str, str]]:
    """What declarations ask for."""
    return {(package.ecosystem, package.name) for file in files if file.role == "declares" for package in file.packages}


def _is_direct(entry: _Entry, asked: set[tuple[str, str]]) -> bool:
    return any(
        (package.relation == "direct" and file.role != "installed") or (package.ecosystem, package.name) in asked
        for file, package in entry.packages
    )


def _roots(entries: dict[str, _Entry]) -> list[str]:
    """Without a word on what is direct: what nothing else asks for."""
    required = {ref for entry in entries.values() for ref in entry.requires}
    return sorted(entries.keys() - required)


def _component(ref: str, entry: _Entry) -> dict[str, Any]:
    packages = [package for _, package in entry.packages]
    first = next((package for package in packages if package.source.kind != "index"), packages[0])
    hashes = {(item.algorithm, item.value): item for package in packages for item in package.hashes}
    observed = any(file.role == "installed" for file, _ in entry.packages)
    fields: dict[str, Basis] = {"version": "observed" if observed else "declared", "purl": "derived"}
    licence = next((package for package in packages if package.licence), None)
    if licence is not None:
        fields["licenses"] = "declared"
    single, references = _digests_of([hashes[key] for key in sorted(hashes)], first)
    if single or references:
        fields["hashes"] = "declared"
    return without_empty(
        {
            "type": "library",
            "bom-ref": ref,
            "name": text(first.name),
            "version": text(first.version) if first.version else None,
            "scope": "optional" if all(package.groups for package in packages) else "required",
            "hashes": single,
            "licenses": _licences(licence),
            "purl": first.purl,
            "externalReferences": [*references, *_source_references(first)],
            "properties": properties([*_facts(entry, packages), *basis(fields)]),
        }
    )


def _digests_of(hashes: list[PackageHash], package: Package) -> tuple[list[dict[str, str]], list[dict[str, Any]]]:
    """One digest is the component's own; several belong to the files that an installer may choose from."""
    found = digests(hashes)
    if len(found) < 2:
        return found, []
    comment = "Any of these files is accepted by an installer."
    return [], [{"type": "distribution", "url": package.purl, "hashes": found, "comment": comment}]


def _source_references(package: Package) -> list[dict[str, Any]]:
    if package.source.kind != "vcs":
        return []
    at = f" at {package.source.revision}" if package.source.revision else ""
    return [{"type": "vcs", "url": package.purl, "comment": text(f"{package.source.address}{at}")}]


def _licences(package: Package | None) -> list[dict[str, Any]]:
    if package is None or package.licence is None:
        return []
    if package.licence_is_spdx:
        return [{"expression": text(package.licence), "acknowledgement": "declared"}]
    return [{"license": {"name": text(package.licence), "acknowledgement": "declared"}}]


def _facts(entry: _Entry, packages: list[Package]) -> list[tuple[str, str | None]]:
    places = [
        f"{file.path}:{package.line}" if package.line else file.path for file, package in entry.packages[:_MAX_PLACES]
    ]
    specifiers = sorted({package.specifier for package in packages if package.specifier and not package.version})
    markers = sorted({package.marker for package in packages if package.marker})
    groups = sorted({group for package in packages for group in package.groups})
    record = next((package.record_sha256 for package in packages if package.record_sha256), None)
    source = next((package.source for package in packages if package.source.address), None)
    return [
        *(("named-in", place) for place in places),
        *(("specifier", specifier) for specifier in specifiers),
        *(("marker", marker) for marker in markers),
        *(("group", group) for group in groups),
        ("source", f"{source.kind}: {source.address}" if source is not None else None),
        ("record-sha256", record),
    ]
