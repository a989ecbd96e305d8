"""Evidence of which packages a project declares, locks and has installed, and where they come from."""

from typing import Literal

from heliotrope.core.records import Record, Sha256

__all__ = [
    "DEPENDENCIES_PREDICATE",
    "DependenciesPredicate",
    "DependencyFile",
    "DependencyFormat",
    "DependencyProblem",
    "Ecosystem",
    "FileRole",
    "IndexKind",
    "Package",
    "PackageHash",
    "PackageIndex",
    "PackageSource",
    "Relation",
    "SourceKind",
]

DEPENDENCIES_PREDICATE = "urn:heliotrope:predicate:dependencies:v1"

DependencyFormat = Literal[
    "requirements",
    "constraints",
    "pylock",
    "uv-lock",
    "poetry-lock",
    "pdm-lock",
    "pipfile-lock",
    "conda-environment",
    "conda-lock",
    "conda-explicit",
    "pyproject",
    "installed",
]
FileRole = Literal["declares", "pins", "limits", "installed"]
"""declares: what is wanted; pins: exactly what is to be installed; limits: bounds for others; installed: what is there."""
Ecosystem = Literal["pypi", "conda"]
SourceKind = Literal["index", "vcs", "url", "path"]
Relation = Literal["direct", "transitive", "unknown"]
IndexKind = Literal["index", "extra-index", "find-links", "trusted-host", "channel"]


class PackageHash(Record):
    """A digest that whoever installs the package holds it against."""

    algorithm: str
    """As in sha256."""
    value: str
    """Lower-case hexadecimal."""


class PackageSource(Record):
    """Where a package is fetched from. Addresses are kept without user names and passwords."""

    kind: SourceKind
    address: str | None = None
    """URL or path; null for an index that the file does not name."""
    vcs: str | None = None
    """As in git."""
    revision: str | None = None
    """What is asked for: a commit, tag or branch."""
    fixed: bool = True
    """Whether the same bytes come every time as far as the address tells: a full commit, a digest in the URL, an index."""


class Package(Record):
    """One package as one file speaks of it."""

    name: str
    """Normalised (PEP 503); conda names in lower case."""
    ecosystem: Ecosystem
    version: str | None = None
    """Exactly one version, as far as the file fixes it."""
    specifier: str = ""
    """What is asked for, as in >=2,<3; PEP 440, or conda's own notation."""
    extras: tuple[str, ...] = ()
    marker: str | None = None
    """The environments it is meant for (PEP 508)."""
    groups: tuple[str, ...] = ()
    """Optional parts it belongs to: extras, dependency groups, categories. Empty: needed always."""
    source: PackageSource
    hashes: tuple[PackageHash, ...] = ()
    relation: Relation = "unknown"
    requires: tuple[str, ...] = ()
    """What it depends on: name, or name==version where the file has several versions of one name."""
    licence: str | None = None
    """As its own metadata say: an SPDX expression where licence_is_spdx, else free text."""
    licence_is_spdx: bool = False
    record_sha256: Sha256 | None = None
    """Of the list of installed files with their digests (RECORD), for a package of an environment."""
    line: int | None = None
    purl: str
    """Package URL."""


class PackageIndex(Record):
    """An index, a page of links or a host that a file tells the installer to use."""

    kind: IndexKind
    address: str
    line: int | None = None


class DependencyProblem(Record):
    """What could not be read, and why."""

    path: str
    reason: str
    line: int | None = None


class DependencyFile(Record):
    """A file (or an environment) that speaks of packages."""

    path: str
    format: DependencyFormat
    role: FileRole
    sha256: Sha256 | None
    """Of the bytes that were read; null for an environment, which is a folder."""
    packages: tuple[Package, ...] = ()
    indexes: tuple[PackageIndex, ...] = ()
    includes: tuple[str, ...] = ()
    """Files it takes in as requirements, relative to the project."""
    constraints: tuple[str, ...] = ()
    """Files that bound its versions, relative to the project."""
    requires_hashes: bool = False
    """Whether an installer refuses what has no hash here."""
    remarks: tuple[str, ...] = ()
    """What the file leaves to others, as dependencies worked out by a build."""


class DependenciesPredicate(Record):
    """All that the files of a project say of packages."""

    files: tuple[DependencyFile, ...]
    problems: tuple[DependencyProblem, ...]
    python_code: bool
    """Whether there is a Python module, a notebook or a setup script: something that could have dependencies."""
