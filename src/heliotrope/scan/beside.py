"""What lies beside a file: some models keep their weights in files of their own, which they name."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Beside", "Folder"]

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

    @property
    def asked(self) -> bool:
        """Whether what lies there may have had a part in a result."""
        return bool(self._seen)

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
        if not Path(os.path.realpath(path)).is_relative_to(root):
            return Beside("leaves")
        return Beside("file", status.st_size) if stat.S_ISREG(status.st_mode) else Beside("odd")
