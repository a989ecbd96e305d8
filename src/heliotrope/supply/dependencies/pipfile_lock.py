"""Pipfile.lock, pipfile-spec 6."""

import json
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageIndex, PackageSource
from heliotrope.supply.dependencies._direct import source_of
from heliotrope.supply.dependencies._entries import locked_package, marker_text
from heliotrope.supply.dependencies._toml import text_of
from heliotrope.supply.dependencies.interface import (
    INDEX,
    MAX_PACKAGES,
    Parsed,
    Problem,
    clean_address,
    distinct,
    hash_of,
    is_commit,
    pinned_version,
    quoted,
    require_size,
    too_many,
)

__all__ = ["parse_pipfile_lock"]


def parse_pipfile_lock(data: bytes) -> Parsed:
    """The packages of all categories. The format has no edges."""
    document = _read(data)
    packages: list[Package] = []
    problems: list[Problem] = []
    lines = _key_lines(data)
    for category, entries in document.items():
        if category == "_meta":
            continue
        if not isinstance(entries, dict):
            raise InputError(f"{quoted(category)} is not a mapping of packages")
        for name, entry in entries.items():
            try:
                packages.append(_package(name, entry, category, lines.get(name)))
            except InputError as error:
                problems.append(Problem(error.message, lines.get(name)))
        if len(packages) > MAX_PACKAGES:
            raise too_many(len(packages))
    return Parsed(
        role="pins",
        packages=tuple(packages),
        problems=tuple(problems),
        indexes=tuple(_indexes(document)),
        requires_hashes=True,
    )


def _read(data: bytes) -> dict[str, Any]:
    require_size(data)
    try:
        document = json.loads(data.decode("utf-8"))
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # no half characters
    except (ValueError, RecursionError):
        raise InputError("is not JSON") from None
    if not isinstance(document, dict):
        raise InputError("is not a JSON object")
    return document


def _key_lines(data: bytes) -> dict[str, int]:
    """Where a key first stands at the start of a line, as the tool writes it."""
    lines: dict[str, int] = {}
    for number, line in enumerate(data.decode("utf-8").split("\n"), start=1):
        text = line.strip()
        if text.startswith('"') and text.endswith("{"):
            lines.setdefault(text[1:].partition('"')[0], number)
    return lines


def _package(name: str, entry: object, category: str, line: int | None) -> Package:
    if not isinstance(entry, dict):
        raise InputError(f"{quoted(name)} is not a mapping")
    hashes = entry.get("hashes")
    digests = distinct(hash_of(item) for item in hashes) if isinstance(hashes, list) else ()
    version = text_of(entry.get("version"))
    return locked_package(
        name,
        pinned_version(version) if version and len(version) < 1000 else None,
        source=_source(entry, hashed=bool(digests)),
        line=line,
        hashes=digests,
        marker=marker_text(entry.get("markers")),
        groups=() if category == "default" else (category[:200],),
    )


def _source(entry: dict[str, Any], *, hashed: bool) -> PackageSource:
    git, file, path = (text_of(entry.get(key)) for key in ("git", "file", "path"))
    if git:
        commit = text_of(entry.get("ref"))
        return PackageSource(
            kind="vcs", address=clean_address(git), vcs="git", revision=commit, fixed=is_commit(commit)
        )
    if file:
        return source_of(file).model_copy(update={"fixed": hashed})
    return PackageSource(kind="path", address=path[:2000], fixed=False) if path else INDEX


def _indexes(document: dict[str, Any]) -> list[PackageIndex]:
    meta = document.get("_meta")
    sources = meta.get("sources") if isinstance(meta, dict) else None
    found = [item for item in sources if isinstance(item, dict)] if isinstance(sources, list) else []
    addresses = [address for item in found if (address := text_of(item.get("url")))]
    return [PackageIndex(kind="index", address=clean_address(address)) for address in addresses]
