"""Bytes that come through a pipe: put into a temporary file, which is bounded, and inspected there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from heliotrope.core.errors import InputError
from heliotrope.engine.workdirs import working_folder
from heliotrope.scan.inspecting import Target

__all__ = ["MAX_SPOOLED_BYTES", "spooled"]

MAX_SPOOLED_BYTES = 32 * 2**30
"""More than any single file of a published model; and never more than leaves a tenth of the disk free."""

_CHUNK = 2**20


@contextmanager
def spooled(stream: BinaryIO, shown: str, name: str = "stdin") -> Iterator[Target]:
    """The rest of a stream as a file to inspect, there as long as the context lasts. InputError when it is too long."""
    with working_folder() as folder:
        path = folder / name
        room = min(MAX_SPOOLED_BYTES, int(shutil.disk_usage(folder).free * 0.9))
        size = 0
        with path.open("wb") as file:
            while chunk := stream.read(_CHUNK):
                size += len(chunk)
                if size > room:
                    raise InputError(
                        f"{shown}: more than {room} bytes, which do not fit into {tempfile.gettempdir()}",
                        hint="write it to a file and scan that, or name a folder with more room with TMPDIR",
                    )
                file.write(chunk)
        yield Target(path, shown, named=True, size=size)
