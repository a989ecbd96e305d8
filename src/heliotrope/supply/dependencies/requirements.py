"""requirements.txt and constraints files, as pip reads them (pip's "Requirements File Format")."""

import shlex
from dataclasses import dataclass, field
from typing import Literal

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import IndexKind, Package, PackageHash, PackageIndex, Relation
from heliotrope.supply.dependencies._lines import decoded, logical_lines
from heliotrope.supply.dependencies._requirement import package_of
from heliotrope.supply.dependencies.interface import (
    MAX_PACKAGES,
    MAX_PROBLEMS,
    MAX_TEXT,
    Include,
    Parsed,
    Problem,
    clean_address,
    distinct,
    hash_of,
    quoted,
    require_size,
    too_many,
)

__all__ = ["parse_constraints", "parse_declarations", "parse_requirements"]

_MAX_LINE = 64_000
"""Characters of one joined line: a requirement with 500 digests has 40,000."""

_INDEXES: dict[str, IndexKind] = {
    "-i": "index",
    "--index-url": "index",
    "--pypi-url": "index",
    "--extra-index-url": "extra-index",
    "-f": "find-links",
    "--find-links": "find-links",
    "--trusted-host": "trusted-host",
}
_INCLUDES = {"-r": False, "--requirement": False, "-c": True, "--constraint": True}
_EDITABLE = frozenset({"-e", "--editable"})
_WITH_VALUE = frozenset(
    {"--no-binary", "--only-binary", "--use-feature", "--progress-bar", "--global-option", "--install-option"}
    | {"--config-setting", "--config-settings", "-C", "--hash", "--python-version", "--platform", "--abi"}
    | {"--implementation", "--uploaded-prior-to"}
)
_FLAGS = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes", "--no-deps", "--all-releases"})
_OF_A_REQUIREMENT = frozenset(
    {"--hash", "--global-option", "--install-option", "--config-setting", "--config-settings", "-C"}
)
_SHORT = ("-r", "-c", "-i", "-f", "-e", "-C")


@dataclass(slots=True)
class _State:
    packages: list[Package] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    indexes: list[PackageIndex] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    requires_hashes: bool = False


def parse_requirements(data: bytes) -> Parsed:
    """What is to be installed."""
    return _parse(data, "pins")


def parse_declarations(data: bytes) -> Parsed:
    """What is wanted, from which another program works out what is to be installed (requirements.in)."""
    return _parse(data, "declares")


def parse_constraints(data: bytes) -> Parsed:
    """Bounds for what others ask for."""
    return _parse(data, "limits")


def _parse(data: bytes, role: Literal["pins", "declares", "limits"]) -> Parsed:
    require_size(data)
    state = _State()
    for number, line in logical_lines(decoded(data)):
        try:
            _line(state, number, line, "direct" if role == "declares" else "unknown")
        except InputError as error:
            state.problems.append(Problem(error.message, number))
        _require_bounds(state)
    return Parsed(
        role=role,
        packages=tuple(state.packages),
        problems=tuple(state.problems),
        indexes=tuple(state.indexes),
        includes=tuple(state.includes),
        requires_hashes=state.requires_hashes,
    )


def _line(state: _State, number: int, line: str, relation: Relation) -> None:
    if len(line) > _MAX_LINE:
        raise InputError(f"a line of {len(line)} characters, more than the limit of {_MAX_LINE}")
    words = line.split(" ")
    count = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    text = " ".join(words[:count]).strip()
    options = _options(" ".join(words[count:]))
    editable = [value for name, value in options if name in _EDITABLE]
    if text or editable:
        hashes = distinct(_hash(value) for name, value in options if name == "--hash")
        state.packages.append(package_of(text or editable[0], line=number, hashes=hashes, relation=relation))
        return
    for name, value in options:
        if name in _OF_A_REQUIREMENT:
            raise InputError(f"{name} without a requirement before it")
        if name in _INCLUDES:
            state.includes.append(Include(value, number, constraint=_INCLUDES[name]))
        elif name in _INDEXES:
            state.indexes.append(PackageIndex(kind=_INDEXES[name], address=clean_address(value), line=number))
        elif name == "--require-hashes":
            state.requires_hashes = True


def _require_bounds(state: _State) -> None:
    if len(state.packages) + len(state.includes) + len(state.indexes) > MAX_PACKAGES:
        raise too_many(MAX_PACKAGES + 1)
    if len(state.problems) > MAX_PROBLEMS:
        raise InputError(f"more than {MAX_PROBLEMS} lines cannot be read, the first in line {state.problems[0].line}")


def _options(text: str) -> list[tuple[str, str]]:
    """(name, value) pairs; InputError for an option that requirement files do not have."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"options that cannot be read: {quoted(text)} ({str(error).lower()})") from None
    found: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("--") and word[:2] in _SHORT and len(word) > 2:
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if name in _FLAGS and not equals:
            found.append((name, ""))
            continue
        if name not in _WITH_VALUE and name not in _INDEXES and name not in _INCLUDES and name not in _EDITABLE:
            raise InputError(f"an option that requirement files do not have: {quoted(word)}")
        taken = value if equals else next(rest, "")
        if not taken or len(taken) > MAX_TEXT:
            raise InputError(f"{name} needs a value")
        found.append((name, taken))
    return found


def _hash(value: str) -> PackageHash:
    found = hash_of(value)
    if found is None:
        raise InputError(f"not a digest: {quoted(value)}")
    return found
