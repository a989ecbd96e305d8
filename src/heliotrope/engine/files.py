"""Listing, opening and hashing files whose owner may not wish us well.

Nothing here opens a pipe, a socket or a device, follows a link out of the named folder, or reads more than it announced.
"""

from collections.abc import Mapping
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.engine._hashing import (
    MAX_HASHED_BYTES,
    FileDigest,
    Stamp,
    VerifiedBytes,
    input_error,
    open_regular,
    read_verified,
    sha256_file,
    stamp_of,
)
from heliotrope.engine._trees import MAX_TREE_BYTES, TreeDigest, TreeFile, digest_tree, tree_digest
from heliotrope.engine._walk import (
    LINK_LEAVES,
    WalkedFile,
    WalkLimits,
    WalkProblem,
    WalkSkipped,
    in_hub_cache,
    valid_name,
    walk,
)

__all__ = [
    "LINK_LEAVES",
    "MAX_HASHED_BYTES",
    "MAX_TREE_BYTES",
    "FileDigest",
    "Stamp",
    "TreeDigest",
    "TreeFile",
    "VerifiedBytes",
    "WalkLimits",
    "WalkProblem",
    "WalkSkipped",
    "WalkedFile",
    "digest_inputs",
    "digest_tree",
    "in_hub_cache",
    "is_folder",
    "is_present",
    "open_regular",
    "read_verified",
    "sha256_file",
    "stamp_of",
    "stat_inputs",
    "tree_digest",
    "valid_name",
    "walk",
]


def is_present(path: Path) -> bool:
    """Whether anything lies at a path, be it a link to nothing; InputError when that cannot be told."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise InputError(input_error(path, error).message, hint="check the path and its permissions") from None
    return True


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False as well when that cannot be told."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # opening it as a file says why


def digest_inputs(inputs: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, tree digest of each folder. InputError names the input that is missing or unreadable."""
    digests = {}
    for name, path in inputs.items():
        try:
            digests[name] = digest_tree(path).digest if is_folder(path) else sha256_file(path).sha256
        except InputError as error:
            raise InputError(f"{printable(name)}: {error.message}", hint=error.hint) from None
    return digests


def stat_inputs(inputs: Mapping[str, Path]) -> dict[str, str]:
    """A cheap token for each input that differs when the file or anything in the folder was touched, or is gone."""
    return {name: _stat_token(path) for name, path in inputs.items()}


def _stat_token(path: Path) -> str:
    try:
        if is_folder(path):
            return sha256_hex("\n".join(map(repr, walk(path))).encode("utf-8", "surrogateescape"))
        status = path.stat()
    except (OSError, ValueError, InputError) as error:
        return f"unreadable: {type(error).__name__}"
    return ":".join(map(str, stamp_of(status)))
