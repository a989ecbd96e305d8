"""Direct references: packages named by version control, URL or path instead of by an index."""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import PackageHash, PackageSource
from heliotrope.supply.dependencies.interface import (
    MAX_TEXT,
    clean_address,
    distinct,
    hash_of,
    is_commit,
    normalised,
    quoted,
)

__all__ = ["fragment_hashes", "is_direct", "name_in", "source_of", "version_in"]

_VCS = frozenset({"git", "hg", "svn", "bzr"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|[^:])")
_NAMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}[ ]?(?:\[[^\]]{0,500}\])?[ ]{0,20}@")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")


def is_direct(text: str) -> bool:
    """Whether a requirement is an address or a path rather than a name."""
    if _NAMED.match(text):
        return False  # name @ address, which PEP 508 covers
    if _SCHEME.match(text) or text.startswith((".", "/", "~")):
        return True
    head = text.partition("[")[0].partition(";")[0].strip()
    return "/" in head or "\\" in head or head.lower().endswith(_ARCHIVES)


def source_of(address: str) -> PackageSource:
    """Where an address leads; the fragment (egg, digests) is not part of it. InputError for what is none."""
    if len(address) > MAX_TEXT or any(char < " " for char in address):
        raise InputError(f"not an address: {quoted(address)}")
    try:
        scheme = urlsplit(address).scheme.lower()
    except ValueError:
        raise InputError(f"not an address: {quoted(address)}") from None
    vcs, plus, _ = scheme.partition("+")
    if plus and vcs in _VCS:
        return _vcs_source(vcs, address[len(vcs) + 1 :])
    if not _SCHEME.match(address) or scheme == "file":
        return PackageSource(kind="path", address=address.partition("#")[0], fixed=False)
    if scheme in {"http", "https", "ftp"}:
        hashed = bool(fragment_hashes(address))
        return PackageSource(kind="url", address=clean_address(address.partition("#")[0]), fixed=hashed)
    raise InputError(f"an address of an unknown kind: {quoted(address)}")


def _vcs_source(vcs: str, address: str) -> PackageSource:
    base = clean_address(address.partition("#")[0])
    path_at = base.rfind("/") + 1
    head, at, revision = base[path_at:].rpartition("@")
    if at:
        base = base[:path_at] + head
    numbered = vcs in {"svn", "bzr"} and revision.isdigit()
    return PackageSource(
        kind="vcs",
        address=base,
        vcs=vcs,
        revision=revision if at and revision else None,
        fixed=bool(at) and (is_commit(revision) or numbered),
    )


def _fragment(address: str) -> dict[str, str]:
    fragment = address.partition("#")[2].partition(" ")[0]
    try:
        return dict(parse_qsl(fragment, max_num_fields=20))
    except ValueError:
        return {}


def fragment_hashes(address: str) -> tuple[PackageHash, ...]:
    """Digests in the fragment, as in `#sha256=…`."""
    return distinct(hash_of(f"{key}:{value}") for key, value in _fragment(address).items())


def name_in(address: str) -> str:
    """The package's name: from #egg=, from the file name of a wheel or source archive, else the last part of the path."""
    egg = _fragment(address).get("egg", "").partition("[")[0].partition("==")[0]
    if egg:
        return normalised(egg)
    file = _file_name(address)
    archive = _archive(file)
    if archive is not None:
        return archive[0]
    stem = file.rpartition("@")[0] or file
    for suffix in (".git", *_ARCHIVES):
        stem = stem.removesuffix(suffix)
    return normalised(stem.strip(". ") or "unnamed")


def version_in(address: str) -> str | None:
    """The version in the file name of a wheel or source archive."""
    archive = _archive(_file_name(address))
    return archive[1] if archive else None


def _file_name(address: str) -> str:
    path = address.partition("#")[0].partition("?")[0].rstrip("/")
    return unquote(path.replace("\\", "/").rpartition("/")[2])


def _archive(file: str) -> tuple[str, str] | None:
    try:
        if file.endswith(".whl"):
            found = parse_wheel_filename(file)
            return str(found[0]), str(found[1])
        if file.endswith((".tar.gz", ".zip")):
            name, version = parse_sdist_filename(file)
            return str(name), str(version)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return None
