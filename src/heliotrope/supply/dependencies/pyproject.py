"""pyproject.toml: what a project declares, which no installer pins (PEP 621, PEP 735; Poetry's own table as well)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageIndex, PackageSource
from heliotrope.supply.dependencies._requirement import package_of
from heliotrope.supply.dependencies._toml import read_toml, text_line, text_of
from heliotrope.supply.dependencies.interface import (
    INDEX,
    MAX_PACKAGES,
    Parsed,
    Problem,
    clean_address,
    is_commit,
    normalised,
    pinned_version,
    purl_of,
    quoted,
    too_many,
)

__all__ = ["parse_pyproject"]

_CARET = re.compile(r"\^\s*(\d+(?:\.\d+)*)([A-Za-z0-9.+-]*)")
_TILDE = re.compile(r"~(?!=)\s*(\d+(?:\.\d+)*)([A-Za-z0-9.+-]*)")
_BARE = re.compile(r"\d[\w.+!-]*")


@dataclass(slots=True)
class _State:
    text: str
    packages: list[Package] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def parse_pyproject(data: bytes) -> Parsed:
    """The dependencies of the project, its extras and its groups, as far as they are written down."""
    document, text = read_toml(data)
    state = _State(text)
    project = _table(document.get("project"), "project")
    _requirements(state, project.get("dependencies"), "project.dependencies", ())
    for extra, listed in _table(project.get("optional-dependencies"), "project.optional-dependencies").items():
        _requirements(state, listed, f"project.optional-dependencies.{extra}", (extra,))
    for group, listed in _table(document.get("dependency-groups"), "dependency-groups").items():
        _requirements(state, listed, f"dependency-groups.{group}", (group,))
    dynamic = project.get("dynamic")
    if isinstance(dynamic, list) and "dependencies" in dynamic:
        state.remarks.append("its dependencies are worked out when it is built (project.dynamic)")
    tool = _table(document.get("tool"), "tool")
    _poetry(state, _table(tool.get("poetry"), "tool.poetry"))
    if len(state.packages) > MAX_PACKAGES:
        raise too_many(len(state.packages))
    return Parsed(
        role="declares",
        packages=tuple(state.packages),
        problems=tuple(state.problems),
        indexes=tuple(_indexes(tool)),
        remarks=tuple(state.remarks),
    )


def _table(value: object, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where}: a table is expected")
    return value


def _requirements(state: _State, listed: object, where: str, groups: tuple[str, ...]) -> None:
    if listed is None:
        return
    if not isinstance(listed, list):
        state.problems.append(Problem(f"{quoted(where)[1:-1]}: a list is expected"))
        return
    for item in listed:
        if isinstance(item, dict) and set(item) == {"include-group"}:
            continue  # the group is listed under its own name
        line = text_line(state.text, item) if isinstance(item, str) else None
        try:
            state.packages.append(package_of(_text(item, where), line=line, groups=groups))
        except InputError as error:
            state.problems.append(Problem(error.message, line))


def _text(item: object, where: str) -> str:
    if isinstance(item, str):
        return item
    raise InputError(f"{quoted(where)[1:-1]}: a text is expected, got {quoted(str(item))}")


def _poetry(state: _State, poetry: dict[str, Any]) -> None:
    _poetry_table(state, poetry.get("dependencies"), "tool.poetry.dependencies", ())
    _poetry_table(state, poetry.get("dev-dependencies"), "tool.poetry.dev-dependencies", ("dev",))
    for group, table in _table(poetry.get("group"), "tool.poetry.group").items():
        listed = table.get("dependencies") if isinstance(table, dict) else None
        _poetry_table(state, listed, f"tool.poetry.group.{group}", (group,))


def _poetry_table(state: _State, listed: object, where: str, groups: tuple[str, ...]) -> None:
    for name, wanted in _table(listed, where).items():
        if name.lower() == "python":
            continue
        choices = wanted if isinstance(wanted, list) else [wanted]
        for choice in choices:
            try:
                state.packages.append(_poetry_package(name, choice, groups))
            except InputError as error:
                state.problems.append(Problem(error.message))


def _poetry_package(name: str, wanted: object, groups: tuple[str, ...]) -> Package:
    table: dict[str, Any] = wanted if isinstance(wanted, dict) else {"version": wanted}
    key = normalised(name)
    source = _poetry_source(table)
    version = text_of(table.get("version"))
    if source.kind == "index" and version is None:
        raise InputError(f"{quoted(name)}: a version, or a table with one, is expected")
    specifier = pep440_of(version) if version else ""
    marker, extras = text_of(table.get("markers")), table.get("extras")
    return Package(
        name=key,
        ecosystem="pypi",
        version=pinned_version(specifier) if specifier else None,
        specifier=specifier,
        extras=tuple(sorted(str(item)[:200] for item in extras)) if isinstance(extras, list) else (),
        marker=marker[:2000] if marker else None,
        groups=("optional",) if table.get("optional") is True and not groups else groups,
        source=source,
        relation="direct",
        purl=purl_of("pypi", key, pinned_version(specifier) if specifier else None, source),
    )


def _poetry_source(table: dict[str, Any]) -> PackageSource:
    git, url, path, file = (text_of(table.get(key)) for key in ("git", "url", "path", "file"))
    if git:
        revision = next((found for key in ("rev", "tag", "branch") if (found := text_of(table.get(key)))), None)
        return PackageSource(
            kind="vcs", address=clean_address(git), vcs="git", revision=revision, fixed=is_commit(revision)
        )
    if url:
        return PackageSource(kind="url", address=clean_address(url), fixed=False)
    if path or file:
        return PackageSource(kind="path", address=(path or file or "")[:2000], fixed=False)
    return INDEX


def pep440_of(wanted: str) -> str:
    """Poetry's ^1.2, ~1.2, 1.2 and * as PEP 440 writes them; alternatives (||) have no such form and become nothing."""
    if len(wanted) > 500 or "||" in wanted or wanted.strip() in {"", "*"}:
        return ""
    parts = []
    for part in wanted.split(","):
        text = part.strip()
        caret, tilde = _CARET.fullmatch(text), _TILDE.fullmatch(text)
        if caret is not None:
            parts.append(f">={caret[1]}{caret[2]},<{_next_caret(caret[1])}")
        elif tilde is not None:
            parts.append(f">={tilde[1]}{tilde[2]},<{_next_tilde(tilde[1])}")
        else:
            parts.append(f"=={text}" if _BARE.fullmatch(text) or (text.endswith(".*") and text[0].isdigit()) else text)
    return ",".join(parts)


def _next_caret(version: str) -> str:
    """The first version that differs in its leftmost part above zero."""
    parts = [int(part[:18]) for part in version.split(".")]
    at = next((index for index, part in enumerate(parts) if part), len(parts) - 1)
    return ".".join(map(str, [*parts[:at], parts[at] + 1]))


def _next_tilde(version: str) -> str:
    parts = [int(part[:18]) for part in version.split(".")][:2]
    return ".".join(map(str, [*parts[:-1], parts[-1] + 1]))


def _indexes(tool: dict[str, Any]) -> Iterator[PackageIndex]:
    """Indexes that the tools' own tables name."""
    for name, key in (("poetry", "source"), ("pdm", "source"), ("uv", "index")):
        table = tool.get(name)
        listed = table.get(key) if isinstance(table, dict) else None
        for item in listed if isinstance(listed, list) else []:
            address = text_of(item.get("url")) if isinstance(item, dict) else None
            if address:
                yield PackageIndex(kind="index", address=clean_address(address))
