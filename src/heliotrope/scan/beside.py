"""What lies beside a file: some models keep their weights in files of their own, which they name."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from heliotrope.core.errors import InputError
from heliotrope.engine.files import in_hub_cache, open_regular

__all__ = ["Beside", "Folder", "Folders"]

_MAX_PARTS = 64
_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Beside:
    """A named file, as seen without opening it."""

    state: Literal["file", "missing", "leaves", "odd"]
    """`leaves`: a link leads out of the folder; `odd`: no regular file, or it cannot be looked at."""
    size: int = 0


class Folder:
    """The folder of a file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, Beside] = {}
        self._names: frozenset[str] | None = None
        self.memo: dict[str, Any] = {}
        """What was learned of the folder as a whole, by who learned it."""

    @property
    def name(self) -> str:
        return self._root.name

    @property
    def parent(self) -> "Folder":
        """The folder around it."""
        return Folder(self._root.parent)

    @property
    def names(self) -> frozenset[str]:
        """Of everything in it; nothing when it cannot be listed."""
        if self._names is None:
            try:
                self._names = frozenset(os.listdir(self._root))  # noqa: PTH208 - names are all that is wanted
            except (OSError, ValueError):
                self._names = frozenset()
        return self._names

    def read(self, relative: str, length: int, *, offset: int = 0) -> bytes | None:
        """Up to `length` bytes of a file in it, by a relative name without `..`; None when it is not there."""
        if self.look(relative).state != "file":
            return None
        try:
            with open_regular(self._root.joinpath(*relative.split("/"))) as file:
                return os.pread(file.fileno(), length, offset)
        except (InputError, OSError, ValueError):
            return None

    def look(self, relative: str) -> Beside:
        """What is there under a relative name without `..`; the answer is kept, since thousands of tensors share a file."""
        if relative not in self._seen:
            if len(self._seen) >= _KEPT:
                self._seen.clear()
            self._seen[relative] = self._looked(relative)
        return self._seen[relative]

    def _looked(self, relative: str) -> Beside:
        try:
            return self._look(relative)
        except (FileNotFoundError, NotADirectoryError):
            return Beside("missing")
        except (OSError, ValueError, RuntimeError):
            return Beside("odd")

    def _look(self, relative: str) -> Beside:
        parts = [part for part in relative.replace("\\", "/").split("/") if part not in ("", ".")]
        if not parts or len(parts) > _MAX_PARTS:
            return Beside("odd")
        root = self._root.resolve(strict=True)
        path = root.joinpath(*parts)
        status = path.stat()
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(root) and not in_hub_cache(root, target):
            return Beside("leaves")
        return Beside("file", status.st_size) if stat.S_ISREG(status.st_mode) else Beside("odd")


class Folders:
    """The folder of one file after another: files of the same folder share it."""

    def __init__(self) -> None:
        self._last: tuple[Path, Folder] | None = None

    def of(self, path: Path) -> Folder:
        """The folder in which a file lies."""
        if self._last is None or self._last[0] != path.parent:
            self._last = (path.parent, Folder(path.parent))
        return self._last[1]
