"""pylock.toml, the standard lock file (PEP 751)."""

from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageHash, PackageIndex, PackageSource
from heliotrope.supply.dependencies._direct import source_of
from heliotrope.supply.dependencies._entries import (
    locked_package,
    marker_text,
    read_entries,
    required_text,
)
from heliotrope.supply.dependencies._toml import entry_lines, read_toml, tables, text_of
from heliotrope.supply.dependencies.interface import (
    INDEX,
    Parsed,
    clean_address,
    distinct,
    hash_of,
    is_commit,
    normalised,
    quoted,
)

__all__ = ["parse_pylock"]


def parse_pylock(data: bytes) -> Parsed:
    """Every package of the lock file, with the edges it names."""
    document, text = read_toml(data)
    version = document.get("lock-version")
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise InputError(f"lock-version {quoted(str(version))} is not one that is read (1.x)")
    entries = list(tables(document.get("packages")))
    packages, problems = read_entries(entries, entry_lines(text, "packages", len(entries)), _package)
    indexes = {package.source.address for package in packages if package.source.kind == "index"}
    return Parsed(
        role="pins",
        packages=tuple(packages),
        problems=tuple(problems),
        indexes=tuple(PackageIndex(kind="index", address=address) for address in sorted(filter(None, indexes))),
        requires_hashes=True,
    )


def _package(entry: dict[str, Any], line: int | None) -> Package:
    hashes = _hashes(entry)
    return locked_package(
        required_text(entry, "name"),
        text_of(entry.get("version")),
        source=_source(entry, hashed=bool(hashes)),
        line=line,
        hashes=hashes,
        marker=marker_text(entry.get("marker")),
        requires=tuple(_requirement(item) for item in tables(entry.get("dependencies"))),
    )


def _requirement(entry: dict[str, Any]) -> str:
    name, version = normalised(required_text(entry, "name")), text_of(entry.get("version"))
    return f"{name}=={version}" if version else name


def _hashes(entry: dict[str, Any]) -> tuple[PackageHash, ...]:
    places = [entry.get("sdist"), entry.get("archive"), *tables(entry.get("wheels"))]
    tabled = [place.get("hashes") for place in places if isinstance(place, dict)]
    return distinct(
        hash_of(f"{algorithm}:{value}")
        for hashes in tabled
        if isinstance(hashes, dict)
        for algorithm, value in hashes.items()
    )


def _source(entry: dict[str, Any], *, hashed: bool) -> PackageSource:
    vcs, archive, directory = entry.get("vcs"), entry.get("archive"), entry.get("directory")
    if isinstance(vcs, dict):
        commit = text_of(vcs.get("commit-id")) or text_of(vcs.get("requested-revision"))
        address = text_of(vcs.get("url")) or text_of(vcs.get("path")) or ""
        return PackageSource(
            kind="vcs",
            address=clean_address(address),
            vcs=required_text(vcs, "type"),
            revision=commit,
            fixed=is_commit(commit),
        )
    if isinstance(archive, dict):
        address = text_of(archive.get("url")) or required_text(archive, "path")
        return source_of(address).model_copy(update={"fixed": hashed})
    if isinstance(directory, dict):
        return PackageSource(kind="path", address=required_text(directory, "path"), fixed=False)
    index = text_of(entry.get("index"))
    return PackageSource(kind="index", address=clean_address(index)) if index else INDEX
