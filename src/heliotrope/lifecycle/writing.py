"""Writing a file whole or not at all, wherever the run is stopped."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: Path, text: str | bytes, *, follow: bool = False) -> None:
    """Put text or bytes in place in one step; what lay there stays until then. Raises OSError.

    Without `follow`, whatever has the name is replaced: the folder may be part of what is examined, and a link in it lead
    anywhere. With it, for a path that a person named, a link goes on naming its file, a pipe or a device is written to, and
    so is a file in a folder that takes no new ones.
    """
    data = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
    mode = _mode(path) if follow else None
    if mode is not None and not stat.S_ISREG(mode):
        path.write_bytes(data)
        return
    final = Path(os.path.realpath(path)) if follow else path
    temporary = final.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except PermissionError:
        if mode is None:
            raise
        path.write_bytes(data)
        return
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if mode is not None:
                os.fchmod(descriptor, stat.S_IMODE(mode))
            os.fsync(descriptor)
        temporary.replace(final)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
