"""What a run knows after each stage, in one file, so that a run that was killed goes on where it stood."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError, SystemRefusedError
from heliotrope.core.text import printable

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray[Any, Any]]

__all__ = ["Checkpoint"]

_MAGIC = b"heliotrope.checkpoint/v1\n"
_MAX_FACTS = 1 << 22
"""Bytes of the part in JSON; a hundred stages take some kilobytes."""


class Checkpoint:
    """One file: a magic line, the length and digest of what follows, facts as JSON, arrays as npz without pickles."""

    def __init__(self, path: Path, identity: Mapping[str, str]) -> None:
        """`identity`: digests of model and data, threat, seed, preset and version; a run goes on only where all are equal."""
        self.path, self._identity = path, dict(identity)

    def load(self) -> "tuple[dict[str, Any], Arrays] | None":
        """What was kept, None where there is nothing yet. InputError where it is of another run, or damaged."""
        import numpy as np

        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        head, _, rest = raw.removeprefix(_MAGIC).partition(b"\n")
        digest, _, length = head.decode("ascii", "replace").partition(" ")
        if not raw.startswith(_MAGIC) or hashlib.sha256(rest).hexdigest() != digest or not length.isdigit():
            raise self._refused("it is damaged")
        size = int(length)
        if size > min(len(rest), _MAX_FACTS):
            raise self._refused("it is damaged")
        kept = json.loads(rest[:size])
        differing = sorted(
            key for key in {*kept["identity"], *self._identity} if kept["identity"].get(key) != self._identity.get(key)
        )
        if differing:
            raise self._refused(f"it is of another run: {', '.join(printable(key) for key in differing)} changed")
        with np.load(io.BytesIO(rest[size:]), allow_pickle=False) as arrays:
            return kept["facts"], {name: arrays[name] for name in arrays.files}

    def save(self, facts: Mapping[str, Any], arrays: "Arrays") -> None:
        """Replace the file at once: after a crash either the old or the new one is there."""
        import numpy as np

        said = json.dumps({"identity": self._identity, "facts": dict(facts)}).encode()
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        rest = said + buffer.getvalue()
        head = f"{hashlib.sha256(rest).hexdigest()} {len(said)}\n".encode()
        fresh = self.path.with_name(f"{self.path.name}.new")
        try:
            with fresh.open("wb") as file:
                file.write(_MAGIC + head + rest)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise SystemRefusedError(
                f"the state cannot be kept in {printable(str(self.path))}: {error.strerror}",
                hint="make room or name another place; the last complete state is still there",
            ) from error

    def _refused(self, reason: str) -> InputError:
        return InputError(
            f"the kept state in {printable(str(self.path))} cannot be taken up: {reason}",
            hint="go on with what it was made for, or remove it to begin anew",
        )
