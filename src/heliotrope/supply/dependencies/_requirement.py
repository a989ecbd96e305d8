"""One requirement (PEP 508) as a package."""

from packaging.requirements import InvalidRequirement, Requirement

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package, PackageHash, PackageSource, Relation
from heliotrope.supply.dependencies._direct import fragment_hashes, is_direct, name_in, source_of, version_in
from heliotrope.supply.dependencies.interface import (
    INDEX,
    MAX_TEXT,
    distinct,
    normalised,
    pinned_version,
    purl_of,
    quoted,
)

__all__ = ["package_of", "requirement_of"]


def requirement_of(text: str) -> Requirement:
    """The requirement; InputError for what is none."""
    if len(text) > MAX_TEXT:
        raise InputError(f"a requirement of {len(text)} characters: {quoted(text)}")
    try:
        return Requirement(text)
    except (InvalidRequirement, RecursionError) as error:
        reason = str(error).partition("\n")[0] if isinstance(error, InvalidRequirement) else "nested too deep"
        raise InputError(f"not a requirement: {quoted(text)} ({quoted(reason)[1:-1]})") from None


def package_of(
    text: str,
    *,
    line: int | None,
    hashes: tuple[PackageHash, ...] = (),
    groups: tuple[str, ...] = (),
    relation: Relation = "direct",
) -> Package:
    """The package that a requirement asks for: a name with a specifier, or an address. InputError for anything else."""
    if is_direct(text):
        return _direct(text, line=line, hashes=hashes, groups=groups, relation=relation)
    found = requirement_of(text)
    source = source_of(found.url) if found.url else INDEX
    own = fragment_hashes(found.url) if found.url else ()
    specifier = str(found.specifier)
    version = version_in(found.url) if found.url else pinned_version(specifier)
    name = normalised(found.name)
    return Package(
        name=name,
        ecosystem="pypi",
        version=version,
        specifier=specifier,
        extras=tuple(sorted(found.extras)),
        marker=str(found.marker) if found.marker else None,
        groups=groups,
        source=_fixed_by(source, (*own, *hashes)),
        hashes=distinct((*own, *hashes)),
        relation=relation,
        line=line,
        purl=purl_of("pypi", name, version, source),
    )


def _direct(
    text: str, *, line: int | None, hashes: tuple[PackageHash, ...], groups: tuple[str, ...], relation: Relation
) -> Package:
    address, _, marker = text.partition(" ;") if " ;" in text else text.partition("; ")
    address = address.strip()
    extras: tuple[str, ...] = ()
    if address.endswith("]") and "[" in address and "#" not in address:
        address, _, listed = address[:-1].rpartition("[")
        extras = tuple(sorted(part.strip() for part in listed.split(",") if part.strip()))
    name, source = name_in(address), source_of(address)
    own = fragment_hashes(address)
    version = version_in(address)
    condition = requirement_of(f"{name} ; {marker.strip()}").marker if marker.strip() else None
    return Package(
        name=name,
        ecosystem="pypi",
        version=version,
        extras=extras,
        marker=str(condition) if condition else None,
        groups=groups,
        source=_fixed_by(source, (*own, *hashes)),
        hashes=distinct((*own, *hashes)),
        relation=relation,
        line=line,
        purl=purl_of("pypi", name, version, source),
    )


def _fixed_by(source: PackageSource, hashes: tuple[PackageHash, ...]) -> PackageSource:
    """A digest beside the address fixes what comes from there."""
    return source.model_copy(update={"fixed": True}) if hashes and source.kind == "url" else source
