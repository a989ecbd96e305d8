"""What every parser takes and gives, the limits they share, and how a package is named and addressed."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import (
    Ecosystem,
    FileRole,
    Package,
    PackageHash,
    PackageIndex,
    PackageSource,
)
from heliotrope.core.text import printable, shorten

__all__ = [
    "INDEX",
    "MAX_BYTES",
    "MAX_HASHES",
    "MAX_PACKAGES",
    "MAX_PROBLEMS",
    "MAX_TEXT",
    "Include",
    "Parsed",
    "Parser",
    "Problem",
    "clean_address",
    "distinct",
    "hash_of",
    "is_commit",
    "normalised",
    "pinned_version",
    "purl_of",
    "quoted",
    "require_size",
    "too_many",
]

MAX_BYTES = 16 * 2**20
"""16 MiB: a lock file of 2,000 packages with all their wheels has 5."""

MAX_PACKAGES = 20_000
"""Packages of one file; the largest lock files of monorepos have some thousand."""

MAX_HASHES = 300
"""Digests kept of one package: more wheels of one version have not been published."""

MAX_TEXT = 2_000
"""Characters of one name, marker, specifier or address; longer ones are no such thing."""

MAX_PROBLEMS = 100
"""Bad lines told one by one."""

INDEX = PackageSource(kind="index")

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_CREDENTIALS = re.compile(r"//[^/\s]*@")
_HASH_SIZES = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "blake2b": 128}


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a file that could not be understood."""

    reason: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Include:
    """Another file that a file takes in, as it is written there."""

    path: str
    line: int
    constraint: bool


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one file says."""

    role: FileRole
    packages: tuple[Package, ...] = ()
    problems: tuple[Problem, ...] = ()
    indexes: tuple[PackageIndex, ...] = ()
    includes: tuple[Include, ...] = ()
    requires_hashes: bool = False
    remarks: tuple[str, ...] = ()


Parser = Callable[[bytes], Parsed]
"""From the bytes of a file; InputError when it cannot be read as a whole. The message names no file."""


def require_size(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise InputError(f"{len(data)} bytes, more than the limit of {MAX_BYTES} bytes")


def quoted(text: str) -> str:
    """Untrusted text for a reason: short, printable, and without what may be a user name and a password."""
    return repr(shorten(printable(_CREDENTIALS.sub("//", text[:400])), 80))


def normalised(name: object) -> str:
    """The name as PEP 503 writes it; InputError for what is no name of a package."""
    if not isinstance(name, str) or len(name) > MAX_TEXT or not name.isascii() or not _NAME.fullmatch(name):
        raise InputError(f"not a name of a package: {quoted(str(name))}")
    return canonicalize_name(name)


def pinned_version(specifier: str) -> str | None:
    """The one version that a PEP 440 specifier accepts, or None."""
    try:
        parts = list(SpecifierSet(specifier))
    except InvalidSpecifier:
        return None
    if len(parts) == 1 and parts[0].operator in {"==", "==="} and not parts[0].version.endswith(".*"):
        return parts[0].version
    return None


def is_commit(revision: str | None) -> bool:
    """Whether a revision is a full commit, which cannot be moved."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def hash_of(text: object) -> PackageHash | None:
    """`algorithm:hexadecimal` or `algorithm=hexadecimal`; None for what is no digest."""
    if not isinstance(text, str):
        return None
    algorithm, _, value = text.strip().replace("=", ":", 1).partition(":")
    algorithm, value = algorithm.strip().lower(), value.strip().lower()
    if _HASH_SIZES.get(algorithm) != len(value) or not _HEX.fullmatch(value):
        return None
    return PackageHash(algorithm=algorithm, value=value)


def distinct(hashes: Iterable[PackageHash | None]) -> tuple[PackageHash, ...]:
    """Without gaps and doubles, sorted, at most MAX_HASHES."""
    found = {(item.algorithm, item.value): item for item in hashes if item is not None}
    return tuple(found[key] for key in sorted(found)[:MAX_HASHES])


def clean_address(address: str) -> str:
    """A URL without user name and password, which evidence must not repeat."""
    text = address.strip()[:MAX_TEXT]
    try:
        parts = urlsplit(text)
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, parts.query, parts.fragment)) if parts.netloc else text
    except ValueError:
        return _CREDENTIALS.sub("//", text)


def purl_of(ecosystem: Ecosystem, name: str, version: str | None, source: PackageSource, **more: str | None) -> str:
    """The package URL (https://github.com/package-url/purl-spec): type, name, version, and where it is not the usual place."""
    qualifiers = {key: value for key, value in more.items() if value}
    if source.kind == "vcs" and source.address:
        revision = f"@{source.revision}" if source.revision else ""
        qualifiers["vcs_url"] = f"{source.vcs}+{source.address}{revision}"
    elif source.kind == "url" and source.address and ecosystem == "pypi":
        qualifiers["download_url"] = source.address
    at = f"@{_encoded(version)}" if version else ""
    query = "&".join(f"{key}={_encoded(qualifiers[key])}" for key in sorted(qualifiers))
    return f"pkg:{ecosystem}/{_encoded(name)}{at}{'?' + query if query else ''}"


def too_many(count: int) -> InputError:
    return InputError(f"{count} packages, more than the limit of {MAX_PACKAGES}")


def _encoded(text: str) -> str:
    return quote(text.encode("utf-8", "replace"), safe="-._~:/")
