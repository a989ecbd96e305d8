"""Blobs on their way from a check to the blob store: files named by their digest in the run's own folder."""

import hashlib
from pathlib import Path

from heliotrope.core.evidence import Blob

__all__ = ["stage", "staged_path"]


def staged_path(workdir: Path, sha256: str) -> Path:
    return workdir / "blobs" / sha256


def stage(workdir: Path, data: bytes, media_type: str) -> Blob:
    """Write the bytes under their digest."""
    digest = hashlib.sha256(data).hexdigest()
    path = staged_path(workdir, digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return Blob(sha256=digest, size=len(data), media_type=media_type)
