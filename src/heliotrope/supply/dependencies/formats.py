"""Which format a file has, by its name, else by its content."""

import re
from collections.abc import Mapping

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import DependencyFormat
from heliotrope.supply.dependencies.conda import (
    parse_conda_environment,
    parse_conda_explicit,
    parse_conda_lock,
    speaks_of_conda,
)
from heliotrope.supply.dependencies.interface import Parsed, Parser
from heliotrope.supply.dependencies.pdm_lock import parse_pdm_lock
from heliotrope.supply.dependencies.pipfile_lock import parse_pipfile_lock
from heliotrope.supply.dependencies.poetry_lock import parse_poetry_lock
from heliotrope.supply.dependencies.pylock import parse_pylock
from heliotrope.supply.dependencies.pyproject import parse_pyproject
from heliotrope.supply.dependencies.requirements import parse_constraints, parse_declarations, parse_requirements
from heliotrope.supply.dependencies.uv_lock import parse_uv_lock

__all__ = ["PARSERS", "format_by_name", "is_dependency_file", "may_include", "parse_file"]

PARSERS: Mapping[DependencyFormat, Parser] = {
    "requirements": parse_requirements,
    "constraints": parse_constraints,
    "pylock": parse_pylock,
    "uv-lock": parse_uv_lock,
    "poetry-lock": parse_poetry_lock,
    "pdm-lock": parse_pdm_lock,
    "pipfile-lock": parse_pipfile_lock,
    "conda-environment": parse_conda_environment,
    "conda-lock": parse_conda_lock,
    "conda-explicit": parse_conda_explicit,
    "pyproject": parse_pyproject,
}

_PATTERNS: tuple[tuple[str, DependencyFormat], ...] = (
    (r"pylock(\.[^.]+)?\.toml", "pylock"),
    (r"uv\.lock", "uv-lock"),
    (r"poetry\.lock", "poetry-lock"),
    (r"pdm\.lock", "pdm-lock"),
    (r"pipfile\.lock", "pipfile-lock"),
    (r"pyproject\.toml", "pyproject"),
    (r"(environment|conda)\.ya?ml", "conda-environment"),
    (r"(.+\.)?conda-lock\.ya?ml", "conda-lock"),
    (r"conda-[a-z0-9-]+\.lock", "conda-explicit"),
    (r"([^/]+[._-])?constraints([._-][^/]*)?\.txt", "constraints"),
    (r"([^/]+[._-])?requirements?([._-][^/]*)?\.(txt|in)", "requirements"),
)
"""Of names in lower case; the first one that fits."""

_NAMES = tuple((re.compile(pattern), form) for pattern, form in _PATTERNS)


def format_by_name(name: str) -> DependencyFormat | None:
    """The format that a file of this name has, or None."""
    lower = name.lower()
    return next((form for pattern, form in _NAMES if pattern.fullmatch(lower)), None)


def is_dependency_file(name: str) -> bool:
    return format_by_name(name) is not None


def may_include(name: str) -> bool:
    """Whether a file of this name can take in others; one whose name says nothing may."""
    return format_by_name(name) in {None, "requirements", "constraints", "conda-environment"}


def parse_file(name: str, data: bytes, *, constraint: bool = False) -> tuple[DependencyFormat, Parsed]:
    """Read a file by its format; InputError when it cannot be read or its format is not known.

    With `constraint`, a file that has the form of requirements bounds versions and asks for nothing.
    """
    form = format_by_name(name) or _by_content(name, data)
    if form in {"requirements", "constraints"} and speaks_of_conda(data):
        form = "conda-explicit"
    if form == "requirements" and constraint:
        form = "constraints"
    if form == "requirements" and name.lower().endswith(".in"):
        return form, parse_declarations(data)
    return form, PARSERS[form](data)


def _by_content(name: str, data: bytes) -> DependencyFormat:
    """For files that somebody named: what their suffix and their first lines say."""
    suffix = name.lower().rpartition(".")[2]
    if suffix in {"txt", "in", "pip"}:
        return "requirements"
    head = data[:4000]
    if speaks_of_conda(data):
        return "conda-explicit"
    if suffix in {"yml", "yaml"}:
        return "conda-lock" if re.search(rb"^package:", data, re.MULTILINE) else "conda-environment"
    if suffix == "toml":
        return "pylock" if re.search(rb"^lock-version\s*=", head, re.MULTILINE) else "pyproject"
    raise InputError("its format is not known", hint="name a requirements or lock file, or a virtual environment")
