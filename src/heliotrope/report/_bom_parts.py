"""The small parts of a CycloneDX document: text, properties, digests, references."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from heliotrope.core.predicates.dependencies import PackageHash
from heliotrope.report._bom_facts import BomEvidence, BomFile
from heliotrope.report._text import file_uri, plain

__all__ = ["Basis", "basis", "digests", "evidence_references", "file_components", "properties", "text", "without_empty"]

MAX_NESTED = 50
"""Files listed one by one below a model or a data set; more of them are told by their digest as a whole."""

_MAX_NAME = 500

Basis = Literal["observed", "declared", "derived"]
"""observed: from the bytes; declared: by a file of the project or of a package; derived: worked out from these."""

_ALGORITHMS = {
    "md5": "MD5",
    "sha1": "SHA-1",
    "sha256": "SHA-256",
    "sha384": "SHA-384",
    "sha512": "SHA-512",
    "blake2b": "BLAKE2b-512",
}
"""Digests that CycloneDX has a name for."""


def text(value: str) -> str:
    """Untrusted text, never empty."""
    return plain(value, _MAX_NAME) or "unnamed"


def properties(pairs: Iterable[tuple[str, str | None]]) -> list[dict[str, str]]:
    """Our own properties; those without a value are left out."""
    return [{"name": f"heliotrope:{name}", "value": plain(value, 2000)} for name, value in pairs if value]


def basis(fields: Mapping[str, Basis]) -> list[tuple[str, str]]:
    """Where each field comes from, as properties."""
    return [(f"basis:{field}", fields[field]) for field in sorted(fields)]


def digests(hashes: Iterable[PackageHash]) -> list[dict[str, str]]:
    return [
        {"alg": _ALGORITHMS[item.algorithm], "content": item.value} for item in hashes if item.algorithm in _ALGORITHMS
    ]


def evidence_references(evidence: Iterable[BomEvidence]) -> list[dict[str, Any]]:
    """References to evidence by digest: an address that says what to look for in the ledger, not where it is."""
    return [
        {
            "type": item.kind,
            "url": f"urn:heliotrope:evidence:{item.digest}",
            "hashes": [{"alg": "SHA-256", "content": item.digest}],
            "comment": text(item.title),
        }
        for item in evidence
    ]


def file_components(files: tuple[BomFile, ...], owner: str) -> dict[str, Any]:
    """One file: its digest. Some files: one component each below the owner. Many: how many there are."""
    if len(files) == 1:
        return {"hashes": [{"alg": "SHA-256", "content": files[0].sha256}]}
    if not 1 < len(files) <= MAX_NESTED:
        return {}
    nested = [
        {
            "type": "file",
            "bom-ref": f"{owner}/file:{file_uri(file.path)}",
            "name": text(file.path),
            "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            "properties": properties([("size", str(file.size)), *basis({"hashes": "observed"})]),
        }
        for file in files
    ]
    return {"components": nested}


def without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """Without fields that say nothing."""
    return {key: value for key, value in document.items() if value not in (None, [], {}, "")}
