"""Names, specifications and addresses of conda packages."""

import re
from urllib.parse import unquote

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageHash, PackageSource, Relation
from heliotrope.supply.dependencies.interface import MAX_TEXT, clean_address, purl_of, quoted

__all__ = ["archive_parts", "conda_name", "conda_package", "spec_package"]

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,200}")
_SPEC = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)\s*(?P<rest>.*)", re.DOTALL)
_EXACT = re.compile(r"==?\s*(?P<version>[A-Za-z0-9_.!+]+)(?:=(?P<build>[A-Za-z0-9_.]+))?")
_ARCHIVE = re.compile(r"(?P<name>[^/]+)-(?P<version>[^-/]+)-(?P<build>[^-/]+?)(?:\.conda|\.tar\.bz2)")


def conda_name(name: str) -> str:
    """The name in lower case; InputError for what is none."""
    lower = name.lower()
    if not _NAME.fullmatch(lower):
        raise InputError(f"not a name of a conda package: {quoted(name)}")
    return lower


def conda_package(
    name: str,
    version: str | None,
    *,
    build: str | None = None,
    source: PackageSource | None = None,
    subdir: str | None = None,
    marker: str | None = None,
    specifier: str | None = None,
    hashes: tuple[PackageHash, ...] = (),
    groups: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    relation: Relation = "unknown",
    line: int | None = None,
) -> Package:
    """One conda package. Its marker is the platform for which a lock file of several platforms names it."""
    if version is not None and len(version) > MAX_TEXT:
        raise InputError(f"a version of {len(version)} characters")
    key = conda_name(name)
    found = source or PackageSource(kind="index")
    return Package(
        name=key,
        ecosystem="conda",
        version=version,
        specifier=(f"={version}" if version else "") if specifier is None else specifier,
        marker=marker,
        groups=groups,
        source=found,
        hashes=hashes,
        relation=relation,
        requires=requires,
        line=line,
        purl=purl_of("conda", key, version, found, build=build, subdir=subdir),
    )


def spec_package(spec: str, *, line: int | None) -> Package:
    """A package as an environment file asks for it: name, name=1.2.*, name=1.2=build, channel::name >=1.

    One `=` asks for a prefix of the version; only `==`, or a build, means exactly one.
    """
    if len(spec) > MAX_TEXT:
        raise InputError(f"a specification of {len(spec)} characters")
    text = spec.partition("#")[0].strip()
    channel, two_colons, rest = text.partition("::")
    source = PackageSource(kind="index", address=channel.strip()) if two_colons and channel.strip() else None
    found = _SPEC.fullmatch((rest if two_colons else text).partition("[")[0].strip())
    if found is None:
        raise InputError(f"not a specification of a conda package: {quoted(spec)}")
    asked = found["rest"].strip()
    exact = _EXACT.fullmatch(asked)
    certain = exact is not None and (asked.startswith("==") or exact["build"] is not None)
    return conda_package(
        found["name"],
        exact["version"] if exact is not None and certain else None,
        build=exact["build"] if exact is not None else None,
        source=source,
        specifier=asked,
        relation="direct",
        line=line,
    )


def archive_parts(address: str) -> tuple[str, str, str, str | None]:
    """Name, version, build and platform of the address of a conda archive; InputError for another."""
    path = clean_address(address).partition("#")[0]
    folder, _, file = path.rpartition("/")
    found = _ARCHIVE.fullmatch(unquote(file))
    if found is None:
        raise InputError(f"not the address of a conda package: {quoted(address)}")
    return found["name"], found["version"], found["build"], folder.rpartition("/")[2] or None
