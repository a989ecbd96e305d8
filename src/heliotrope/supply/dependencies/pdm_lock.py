"""pdm.lock, lock versions 3 and 4."""

import re
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageHash, PackageSource
from heliotrope.supply.dependencies._direct import source_of
from heliotrope.supply.dependencies._entries import (
    file_hashes,
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
    is_commit,
    normalised,
    quoted,
)

__all__ = ["parse_pdm_lock"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


def parse_pdm_lock(data: bytes) -> Parsed:
    """Every package with its edges. Entries of one package with different extras are one package."""
    document, text = read_toml(data)
    metadata = document.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    version = str(known.get("lock_version", known.get("lock-version", "")))
    if version.partition(".")[0] not in {"3", "4"}:
        raise InputError(f"lock_version {quoted(version)} of pdm.lock is not one that is read (3 and 4)")
    apart = known.get("files")
    listed: dict[str, Any] = apart if isinstance(apart, dict) else {}

    def read(entry: dict[str, Any], line: int | None) -> Package:
        return _package(entry, line, listed)

    entries = list(tables(document.get("package")))
    packages, problems = read_entries(entries, entry_lines(text, "package", len(entries)), read)
    return Parsed(role="pins", packages=_merged(packages), problems=tuple(problems), requires_hashes=True)


def _package(entry: dict[str, Any], line: int | None, listed: dict[str, Any]) -> Package:
    name, version = required_text(entry, "name"), text_of(entry.get("version"))
    hashes = file_hashes(entry.get("files")) or _apart(listed, name, version)
    groups = entry.get("groups")
    named = {group for group in groups if isinstance(group, str)} if isinstance(groups, list) else set()
    extras = entry.get("extras")
    return locked_package(
        name,
        version,
        source=_source(entry, hashed=bool(hashes)),
        line=line,
        hashes=hashes,
        marker=marker_text(entry.get("marker")),
        extras=tuple(sorted(item for item in extras if isinstance(item, str))) if isinstance(extras, list) else (),
        groups=() if "default" in named else tuple(sorted(named)),
        requires=_requires(entry.get("dependencies"), name),
    )


def _requires(listed: object, name: str) -> tuple[str, ...]:
    """The names of requirements; an entry with extras also names its own package, which is no edge."""
    if not isinstance(listed, list):
        return ()
    found = (_NAME.match(item) for item in listed if isinstance(item, str))
    names = {normalised(match[0].rstrip("._-")) for match in found if match is not None}
    return tuple(sorted(names - {normalised(name)}))


def _apart(listed: dict[str, Any], name: str, version: str | None) -> tuple[PackageHash, ...]:
    """Digests in the metadata at the end (version 3), under `name version`."""
    return file_hashes(listed.get(f"{name} {version}"))


def _merged(packages: list[Package]) -> tuple[Package, ...]:
    merged: dict[tuple[str, str | None, str | None], Package] = {}
    for package in packages:
        key = (package.name, package.version, package.marker)
        known = merged.get(key)
        if known is None:
            merged[key] = package
            continue
        both_optional = bool(known.groups) and bool(package.groups)
        merged[key] = known.model_copy(
            update={
                "extras": tuple(sorted({*known.extras, *package.extras})),
                "requires": tuple(sorted({*known.requires, *package.requires})),
                "groups": tuple(sorted({*known.groups, *package.groups})) if both_optional else (),
                "hashes": known.hashes or package.hashes,
            }
        )
    return tuple(merged.values())


def _source(entry: dict[str, Any], *, hashed: bool) -> PackageSource:
    git, url, path = (text_of(entry.get(key)) for key in ("git", "url", "path"))
    if git:
        commit = text_of(entry.get("revision")) or text_of(entry.get("ref"))
        return PackageSource(
            kind="vcs", address=clean_address(git), vcs="git", revision=commit, fixed=is_commit(commit)
        )
    if url:
        return source_of(url).model_copy(update={"fixed": hashed})
    return PackageSource(kind="path", address=path[:2000], fixed=False) if path else INDEX
