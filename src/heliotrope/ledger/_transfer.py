"""The file a whole ledger travels in: frames of a header line and the bytes it announces.

    heliotrope-ledger-export/1
    ledger {"blobs":true,"head":"2:…","id":"…"}
    content <sha256> <size>        ⏎ bytes ⏎      canonical JSON, before the first event that names it
    event <sequence> <sha256> <size>  ⏎ bytes ⏎   the hashed bytes: kind, keys, time and content id are in them
    blob <sha256> <size>           ⏎ bytes ⏎      after all events
    end <sha256 of every byte before this line>

A content that retention removed has no frame. Neither side holds more than one frame in memory.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from heliotrope.core.errors import LedgerError
from heliotrope.core.records import Record, Sha256
from heliotrope.core.text import printable
from heliotrope.ledger.blobs import MAX_BLOB_BYTES
from heliotrope.ledger.interface import MAX_CONTENT_BYTES

__all__ = ["MAX_EVENT_BYTES", "MAX_HEADER_BYTES", "Frame", "FrameReader", "FrameWriter", "Heading"]

MAGIC = b"heliotrope-ledger-export/1\n"
MAX_HEADER_BYTES = 1024
"""Of one header line. The longest names an id, a head and two numbers."""
MAX_EVENT_BYTES = 64 * 2**20
"""Bytes of one event: 10,000 keys of 512 bytes, each of them written as an escape of six, and then some."""
_LIMITS = {"content": MAX_CONTENT_BYTES, "event": MAX_EVENT_BYTES, "blob": MAX_BLOB_BYTES}
_NUMBER = r"(0|[1-9][0-9]{0,15})"
_HEADER = re.compile(rf"(content|blob) ([0-9a-f]{{64}}) {_NUMBER}|event {_NUMBER} ([0-9a-f]{{64}}) {_NUMBER}")


class Heading(Record):
    """Which ledger it is, and how far it goes."""

    id: str
    head: str
    blobs: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """One content, event or blob as it was written."""

    kind: str
    digest: Sha256
    """Of a content or blob; of an event its hash in the chain."""
    body: bytes
    offset: int
    """Where its header begins, in bytes."""
    sequence: int = 0


class FrameWriter:
    """Writes frames, and at the end the digest of all of them."""

    def __init__(self, file: BinaryIO, heading: Heading) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        document = json.dumps(heading.document(), sort_keys=True, separators=(",", ":"))
        self._write(MAGIC + f"ledger {document}\n".encode())

    def content(self, digest: Sha256, body: bytes) -> None:
        self._frame(f"content {digest} {len(body)}", body)

    def event(self, sequence: int, digest: Sha256, body: bytes) -> None:
        self._frame(f"event {sequence} {digest} {len(body)}", body)

    def blob(self, digest: Sha256, body: bytes) -> None:
        self._frame(f"blob {digest} {len(body)}", body)

    def finish(self) -> str:
        """Write the last line; the digest in it."""
        digest = self._digest.hexdigest()
        self._file.write(f"end {digest}\n".encode())
        return digest

    def _frame(self, header: str, body: bytes) -> None:
        self._write(f"{header}\n".encode())
        self._write(body)
        self._write(b"\n")

    def _write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


class FrameReader:
    """Reads a file that nobody vouches for. Whatever is wrong is a LedgerError that names the place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._offset = 0
        self._frames = 0
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._file: BinaryIO = os.fdopen(descriptor, "rb")
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._file.close()
                raise LedgerError(
                    f"{printable(str(path))} is no regular file", hint="name a file that helio ledger export wrote"
                )
        except OSError as error:
            raise self._failed(error) from None

    def heading(self) -> Heading:
        """Read the first two lines."""
        if self._bytes(len(MAGIC), "its first line") != MAGIC:
            raise self.wrong(0, "it does not begin as an export of a ledger")
        offset = self._offset
        name, _, document = self._line().partition(" ")
        try:
            heading = Heading.model_validate_json(document)
        except ValidationError:
            heading = None
        if name != "ledger" or heading is None:
            raise self.wrong(offset, "its second line names no ledger")
        return heading

    def frames(self) -> Iterator[Frame]:
        """Read frame by frame; ends when the last line holds and nothing follows it."""
        while True:
            offset = self._offset
            before = self._digest.hexdigest()
            line = self._line()
            match = _HEADER.fullmatch(line)
            if match is None:
                self._finish(line, before, offset)
                return
            kind = match[1] or "event"
            digest, size, sequence = (match[2], match[3], 0) if match[1] else (match[5], match[6], int(match[4]))
            if int(size) > _LIMITS[kind]:
                raise self.wrong(offset, f"a {kind} of {size} bytes; at most {_LIMITS[kind]} are possible")
            self._frames += 1
            body = self._bytes(int(size), f"a {kind} of {size} bytes")
            if self._bytes(1, f"the end of a {kind}") != b"\n":
                raise self.wrong(offset, f"a {kind} does not end where its header says")
            yield Frame(kind, digest, body, offset, sequence)

    def close(self) -> None:
        self._file.close()

    def wrong(self, offset: int, what: str) -> LedgerError:
        """The error for something that cannot be in an export."""
        return LedgerError(
            f"{printable(str(self._path))} cannot be imported: at byte {offset}, {what}",
            hint="nothing was imported; export the ledger anew, and compare the digests of the files",
        )

    def _finish(self, line: str, before: str, offset: int) -> None:
        name, _, digest = line.partition(" ")
        if name != "end" or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise self.wrong(offset, f"a line that is none of an export: {printable(line)[:80]!r}")
        if digest != before:
            raise self.wrong(offset, "the digest of all before is another: the file was changed")
        if self._file.read(1):
            raise self.wrong(self._offset, "something follows the end")

    def _line(self) -> str:
        offset = self._offset
        data = self._read_line()
        if not data:
            raise self.wrong(offset, f"the file ends, after {self._frames} frames: it was cut off")
        if not data.endswith(b"\n"):
            raise self.wrong(offset, "a line that is longer than any of an export, or cut off")
        try:
            return data[:-1].decode("ascii")
        except UnicodeDecodeError:
            raise self.wrong(offset, "a line that is no ASCII") from None

    def _read_line(self) -> bytes:
        try:
            data = self._file.readline(MAX_HEADER_BYTES)
        except OSError as error:
            raise self._failed(error) from None
        self._offset += len(data)
        self._digest.update(data)
        return data

    def _bytes(self, size: int, what: str) -> bytes:
        offset = self._offset
        try:
            data = self._file.read(size)
        except OSError as error:
            raise self._failed(error) from None
        if len(data) != size:
            raise self.wrong(offset, f"the file ends within {what}: it was cut off")
        self._offset += size
        self._digest.update(data)
        return data

    def _failed(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"{printable(str(self._path))} cannot be read: {error.strerror}", hint="check the path and its permissions"
        )
