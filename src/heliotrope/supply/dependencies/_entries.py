"""What the lock files of different tools have in common: entries that are read one by one, each with its line."""

from collections.abc import Callable, Sequence
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageHash, PackageSource
from heliotrope.supply.dependencies.interface import (
    MAX_PACKAGES,
    MAX_TEXT,
    Problem,
    distinct,
    hash_of,
    normalised,
    purl_of,
    quoted,
    too_many,
)

__all__ = ["file_hashes", "locked_package", "marker_text", "read_entries", "required_text", "with_relations"]


def read_entries(
    entries: Sequence[dict[str, Any]],
    lines: Sequence[int | None],
    read: Callable[[dict[str, Any], int | None], Package],
) -> tuple[list[Package], list[Problem]]:
    """Read each entry; one that cannot be understood is a problem of its own and does not hide the others."""
    if len(entries) > MAX_PACKAGES:
        raise too_many(len(entries))
    packages: list[Package] = []
    problems: list[Problem] = []
    for entry, line in zip(entries, lines, strict=True):
        try:
            packages.append(read(entry, line))
        except InputError as error:
            problems.append(Problem(error.message, line))
    return packages, problems


def required_text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise InputError(f"{key}: a text is expected, got {quoted(str(value))}")
    return value


def marker_text(value: object) -> str | None:
    return value[:MAX_TEXT] if isinstance(value, str) and value else None


def file_hashes(files: object, key: str = "hash") -> tuple[PackageHash, ...]:
    """The digests of a list of files, each a table with `algorithm:value`."""
    if not isinstance(files, list):
        return ()
    return distinct(hash_of(item.get(key)) for item in files if isinstance(item, dict))


def locked_package(
    name: object,
    version: str | None,
    *,
    source: PackageSource,
    line: int | None,
    hashes: tuple[PackageHash, ...] = (),
    marker: str | None = None,
    extras: tuple[str, ...] = (),
    groups: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
) -> Package:
    """An exactly versioned package of PyPI's kind; direct or transitive is settled later."""
    key = normalised(name)
    if version is not None and len(version) > MAX_TEXT:
        raise InputError(f"a version of {len(version)} characters")
    return Package(
        name=key,
        ecosystem="pypi",
        version=version,
        specifier=f"=={version}" if version else "",
        marker=marker,
        extras=extras,
        groups=groups,
        source=source,
        hashes=hashes,
        requires=requires,
        line=line,
        purl=purl_of("pypi", key, version, source),
    )


def with_relations(packages: Sequence[Package], direct: frozenset[str] | None) -> tuple[Package, ...]:
    """Direct or transitive, by the names that the project itself asks for; unknown where the file does not say."""
    if direct is None:
        return tuple(packages)
    return tuple(
        package.model_copy(update={"relation": "direct" if package.name in direct else "transitive"})
        for package in packages
    )
