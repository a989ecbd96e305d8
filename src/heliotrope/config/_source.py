"""Reading a configuration file into text, without trusting what lies there."""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from heliotrope.core.errors import ConfigError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable

__all__ = ["MAX_BYTES", "SourceText", "read_source", "source_of_text"]

MAX_BYTES = 2**20
"""1 MiB: a thousand models with their class names fit; what is larger was not written by a person."""

_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
"""What YAML 1.2 (section 5.1) does not allow in a file."""


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text of a file, and the digest of its bytes."""

    shown: str
    """The path as it may be printed."""
    text: str
    digest: str


def read_source(path: Path) -> SourceText:
    """Read a text file of at most 1 MiB; ConfigError for whatever is not one."""
    return _checked(_read(path, printable(str(path))), path)


def source_of_text(text: str, path: Path) -> SourceText:
    """The same for text that is not in a file yet."""
    return _checked(text.encode("utf-8", "surrogatepass"), path)


def _checked(data: bytes, path: Path) -> SourceText:
    shown = printable(str(path))
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{shown}: larger than 1 MiB", hint="is this really the configuration file?")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(
            f"{shown}:1:1: expected UTF-8, got UTF-16", hint="save the file as UTF-8 without a byte order mark"
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise ConfigError(
            f"{shown}:1:1: starts with a byte order mark", hint="save the file as UTF-8 without a byte order mark"
        )
    text = _decode(data, shown)
    unwanted = _UNWANTED.search(text)
    if unwanted is not None:
        line, column = _position(text[: unwanted.start()])
        raise ConfigError(
            f"{shown}:{line}:{column}: holds the control character U+{ord(unwanted.group()):04X}",
            hint="remove it; in a quoted text it can be written as an escape",
        )
    return SourceText(shown, text, sha256_hex(data))


def _read(path: Path, shown: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ConfigError(f"{shown}: is a folder, not a file", hint="name the file in it")
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{shown}: is a pipe, socket or device, not a file", hint="name a regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{shown}: no such file", hint="check the path; helio init writes a heliotrope.yaml"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{shown}: cannot be read: {reason}", hint="check the path and its permissions") from None


def _decode(data: bytes, shown: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode("utf-8"))
        raise ConfigError(
            f"{shown}:{line}:{column}: expected UTF-8, got the byte 0x{data[error.start]:02x}",
            hint="save the file as UTF-8",
        ) from None


def _position(before: str) -> tuple[int, int]:
    """Line and column, both from 1, of what follows."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")
