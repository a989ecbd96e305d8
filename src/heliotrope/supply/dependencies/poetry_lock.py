"""poetry.lock, lock versions 1 and 2."""

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

__all__ = ["parse_poetry_lock"]


def parse_poetry_lock(data: bytes) -> Parsed:
    """Every package with its edges. Which are direct stands in pyproject.toml alone."""
    document, text = read_toml(data)
    metadata = document.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    version = str(known.get("lock-version", "1.0"))
    if version.partition(".")[0] not in {"1", "2"}:
        raise InputError(f"lock-version {quoted(version)} of poetry.lock is not one that is read (1 and 2)")
    apart = known.get("files") if isinstance(known.get("files"), dict) else known.get("hashes")
    listed: dict[str, Any] = apart if isinstance(apart, dict) else {}

    def read(entry: dict[str, Any], line: int | None) -> Package:
        return _package(entry, line, listed)

    entries = list(tables(document.get("package")))
    packages, problems = read_entries(entries, entry_lines(text, "package", len(entries)), read)
    return Parsed(role="pins", packages=tuple(packages), problems=tuple(problems), requires_hashes=True)


def _package(entry: dict[str, Any], line: int | None, listed: dict[str, Any]) -> Package:
    name = required_text(entry, "name")
    hashes = file_hashes(entry.get("files")) or _apart(listed.get(name))
    dependencies = entry.get("dependencies")
    groups = entry.get("groups")
    category = text_of(entry.get("category"))
    named = [group for group in groups if isinstance(group, str)] if isinstance(groups, list) else []
    named = named or ([category] if category else [])
    return locked_package(
        name,
        text_of(entry.get("version")),
        source=_source(entry.get("source"), hashed=bool(hashes)),
        line=line,
        hashes=hashes,
        marker=_marker(entry.get("markers")),
        groups=() if "main" in named else tuple(sorted(named)),
        requires=tuple(sorted(normalised(key) for key in dependencies)) if isinstance(dependencies, dict) else (),
    )


def _apart(value: object) -> tuple[PackageHash, ...]:
    """Digests in the metadata at the end: tables (version 1.1), or bare SHA-256 digests (1.0)."""
    if not isinstance(value, list):
        return ()
    return file_hashes([item if isinstance(item, dict) else {"hash": f"sha256:{item}"} for item in value])


def _marker(value: object) -> str | None:
    if isinstance(value, dict):
        return " or ".join(f"({item})" for item in value.values() if isinstance(item, str))[:2000] or None
    return marker_text(value)


def _source(source: object, *, hashed: bool) -> PackageSource:
    if not isinstance(source, dict):
        return INDEX
    kind, address = text_of(source.get("type")) or "legacy", text_of(source.get("url")) or ""
    if kind == "git":
        commit = text_of(source.get("resolved_reference")) or text_of(source.get("reference"))
        return PackageSource(
            kind="vcs", address=clean_address(address), vcs="git", revision=commit, fixed=is_commit(commit)
        )
    if kind == "url":
        return source_of(address).model_copy(update={"fixed": hashed})
    if kind in {"directory", "file"}:
        return PackageSource(kind="path", address=address[:2000], fixed=False)
    if kind in {"legacy", "pypi"}:
        return PackageSource(kind="index", address=clean_address(address) or None)
    raise InputError(f"a source of an unknown kind: {quoted(kind)}")
