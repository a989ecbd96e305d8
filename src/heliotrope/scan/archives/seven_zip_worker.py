"""Unpacks one 7z archive in a process of its own: `python -I seven_zip_worker.py ARCHIVE FOLDER BYTES MEMBERS`.

Members are written to numbered files, never under their names, which go to standard output as one JSON list. The
process has bounded memory, time and file size, no network where the system permits that, and starts no other process.
"""

import ctypes
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_MEMORY = 768 * 2**20
"""Address space; the library, its imports and a dictionary of 64 MiB fit."""
_CPU_SECONDS = 60
_NEW_NETWORK = 0x40000000
_NEW_USER = 0x10000000
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn")


class _TooMuchError(Exception):
    """More members or bytes than are allowed."""


def _confine(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        flags = _NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER
        ctypes.CDLL(None, use_errno=True).unshare(flags)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    del arguments
    if event.startswith(_FORBIDDEN):
        raise PermissionError(event)


class _Numbered:
    """One member on disk, as py7zr writes to it (its Py7zIO)."""

    def __init__(self, path: Path, owner: "_Factory") -> None:
        self._file = path.open("w+b")
        self._owner = owner
        self._size = 0

    def write(self, data: bytes | bytearray) -> int:
        self._owner.left -= len(data)
        if self._owner.left < 0:
            raise _TooMuchError
        self._size += len(data)
        return self._file.write(data)

    def read(self, size: int | None = None) -> bytes:
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def flush(self) -> None:
        self._file.flush()

    def size(self) -> int:
        return self._size

    def close(self) -> None:
        self._file.close()


class _Factory:
    """Makes the members' files (py7zr's WriterFactory)."""

    def __init__(self, folder: Path, limit: int, most: int) -> None:
        self._folder = folder
        self._most = most
        self.left = limit
        self.names: list[str] = []

    def create(self, filename: str) -> _Numbered:
        if len(self.names) >= self._most:
            raise _TooMuchError
        self.names.append(filename)
        return _Numbered(self._folder / str(len(self.names) - 1), self)


def _unpack(archive: str, folder: Path, limit: int, most: int) -> list[str]:
    import py7zr

    _confine(limit)
    sys.addaudithook(_refuse)
    factory: Any = _Factory(folder, limit, most)
    with py7zr.SevenZipFile(archive) as opened:
        opened.extractall(factory=factory)
    names: list[str] = factory.names
    return names


def main(arguments: list[str]) -> int:
    archive, folder, limit, most = arguments
    answer: dict[str, Any]
    try:
        answer = {"names": _unpack(archive, Path(folder), int(limit), int(most))}
    except _TooMuchError:
        answer = {"trouble": "limit"}
    except MemoryError:
        answer = {"trouble": "memory"}
    except Exception as error:  # noqa: BLE001 - the library fails in many ways on damaged archives
        answer = {"trouble": type(error).__name__}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
