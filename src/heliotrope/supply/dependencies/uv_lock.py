"""uv.lock, version 1."""

from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageIndex, PackageSource
from heliotrope.supply.dependencies._direct import source_of
from heliotrope.supply.dependencies._entries import (
    file_hashes,
    locked_package,
    read_entries,
    required_text,
    with_relations,
)
from heliotrope.supply.dependencies._toml import entry_lines, read_toml, tables, text_of
from heliotrope.supply.dependencies.interface import (
    INDEX,
    Parsed,
    clean_address,
    distinct,
    is_commit,
    normalised,
    quoted,
)

__all__ = ["parse_uv_lock"]

_OWN = ("virtual", "editable", "directory")
"""Sources of the project itself and of the members of its workspace."""


def parse_uv_lock(data: bytes) -> Parsed:
    """Every package but the project's own; those that these ask for are direct."""
    document, text = read_toml(data)
    if document.get("version") != 1:
        raise InputError(f"version {quoted(str(document.get('version')))} of uv.lock is not one that is read (1)")
    entries = list(tables(document.get("package")))
    lines = entry_lines(text, "package", len(entries))
    direct: set[str] = set()
    kept: list[dict[str, Any]] = []
    kept_lines: list[int | None] = []
    for entry, line in zip(entries, lines, strict=True):
        if _is_own(entry):
            direct.update(_asked_by(entry))
        else:
            kept.append(entry)
            kept_lines.append(line)
    packages, problems = read_entries(kept, kept_lines, _package)
    registries = {package.source.address for package in packages if package.source.kind == "index"}
    owned = len(kept) < len(entries)
    return Parsed(
        role="pins",
        packages=with_relations(packages, frozenset(direct) if owned else None),
        problems=tuple(problems),
        indexes=tuple(PackageIndex(kind="index", address=address) for address in sorted(filter(None, registries))),
        requires_hashes=True,
    )


def _is_own(entry: dict[str, Any]) -> bool:
    source = entry.get("source")
    return isinstance(source, dict) and any(key in source for key in _OWN)


def _asked_by(entry: dict[str, Any]) -> set[str]:
    lists = [entry.get("dependencies")]
    for key in ("optional-dependencies", "dev-dependencies"):
        groups = entry.get(key)
        lists += list(groups.values()) if isinstance(groups, dict) else []
    return {normalised(required_text(item, "name")) for listed in lists for item in tables(listed)}


def _package(entry: dict[str, Any], line: int | None) -> Package:
    sdist = entry.get("sdist")
    files = [*tables(entry.get("wheels")), *([sdist] if isinstance(sdist, dict) else [])]
    hashes = distinct(file_hashes(files))
    required = [*tables(entry.get("dependencies"))]
    markers = entry.get("resolution-markers")
    return locked_package(
        required_text(entry, "name"),
        text_of(entry.get("version")),
        source=_source(entry.get("source"), hashed=bool(hashes)),
        line=line,
        hashes=hashes,
        marker=" or ".join(f"({item})" for item in markers if isinstance(item, str))[:2000] or None
        if isinstance(markers, list)
        else None,
        requires=tuple(_requirement(item) for item in required),
    )


def _requirement(entry: dict[str, Any]) -> str:
    name, version = normalised(required_text(entry, "name")), text_of(entry.get("version"))
    return f"{name}=={version}" if version else name


def _source(source: object, *, hashed: bool) -> PackageSource:
    if not isinstance(source, dict):
        return INDEX
    registry, git, url, path = (text_of(source.get(key)) for key in ("registry", "git", "url", "path"))
    if registry:
        return PackageSource(kind="index", address=clean_address(registry))
    if git:
        address, _, commit = git.partition("#")
        return PackageSource(
            kind="vcs",
            address=clean_address(address.partition("?")[0]),
            vcs="git",
            revision=commit or None,
            fixed=is_commit(commit),
        )
    if url:
        return source_of(url).model_copy(update={"fixed": hashed})
    if path:
        return PackageSource(kind="path", address=path[:2000], fixed=False)
    raise InputError(f"a source of an unknown kind: {quoted(', '.join(map(str, source)))}")
