"""Writing the tensors of a clean file as safetensors, without loading it and without holding them in memory.

Source of the format: the README of the safetensors library: eight bytes of length, a JSON header, the tensors.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heliotrope.core.text import printable
from heliotrope.engine.files import open_regular, stamp_of
from heliotrope.scan.converting.containers import read_value
from heliotrope.scan.converting.tensors import SIZES, CannotConvertError, Tensor, elements
from heliotrope.scan.converting.values import Made
from heliotrope.scan.interface import LimitReachedError, UnreadableError
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.sources import FileSource

__all__ = ["Converted", "convert_clean", "largest"]

_MAX_GROWTH = 4
"""Tensors may take this many times the bytes of the file (a view that repeats elements takes more than its storage),"""
_GRACE_BYTES = 256 * 2**20
"""or this many, whichever is more."""
_MAX_DEPTH = 32
_MAX_TENSORS = 1_000_000
_MAX_STEPS = 1_000_000
"""Values looked at; a container that others share is looked at under each of its names."""
_MAX_METADATA = 1000
_MAX_TEXT = 10_000
"""Characters of one value that becomes metadata."""
_CHUNK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Converted:
    """What was written."""

    sha256: str
    """Of the file that was converted."""
    tensors: int
    size: int
    """Bytes of the new file."""
    shared: tuple[str, ...]
    """Tensors that lay in the bytes of another one, and now have bytes of their own."""
    left_out: tuple[str, ...]
    """What else the file holds, by name."""


def convert_clean(
    path: Path,
    output: Path,
    format_: str,
    sha256: str,
    *,
    progress: Callable[[float, float, str], None] | None = None,
) -> Converted:
    """Write the tensors of a file of that digest, which was found clean and must not have changed since; whole or not at all."""
    limits = ScanLimits()
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        source = FileSource(file.fileno(), status.st_size)
        try:
            value = read_value(source, format_, limits)
            named = _named(value)
            size = _write(named, output, largest(status.st_size), progress)
        except (LimitReachedError, UnreadableError) as error:
            raise CannotConvertError(f"{printable(str(path))}: {printable(str(error))}") from None
        if _digest(source) != sha256 or stamp_of(os.fstat(file.fileno())) != stamp_of(status):
            output.unlink(missing_ok=True)
            raise CannotConvertError(f"{printable(str(path))}: changed while it was read", hint="run again")
    return Converted(sha256, len(named.tensors), size, named.shared(), tuple(named.left_out))


def largest(size: int) -> int:
    """Bytes that the tensors of a file of that size may take."""
    return max(_MAX_GROWTH * size, _GRACE_BYTES)


class _Named:
    """Tensors by the path of their keys."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.metadata: dict[str, str] = {}
        self.left_out: list[str] = []
        self._steps = 0

    def add(self, name: str, value: Any, depth: int = 0) -> None:
        self._steps += 1
        if depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            raise CannotConvertError(f"its containers lie more than {_MAX_DEPTH} deep, or hold each other too often")
        if isinstance(value, Tensor):
            self._tensor(name or "tensor", value)
        elif isinstance(value, dict):
            for key, item in value.items():
                self.add(f"{name}.{key}" if name else str(key), item, depth + 1)
        elif isinstance(value, list | tuple) and any(_holds_tensors(item) for item in value):
            for number, item in enumerate(value):
                self.add(f"{name}.{number}" if name else str(number), item, depth + 1)
        elif isinstance(value, Made):
            self._made(name, value, depth)
        elif len(self.metadata) < _MAX_METADATA and _is_plain(value):
            self.metadata[name or "value"] = value if isinstance(value, str) else json.dumps(value)
        else:
            self.left_out.append(printable(name)[:200])

    def _tensor(self, name: str, tensor: Tensor) -> None:
        if name in self.tensors or name == "__metadata__":
            raise CannotConvertError(f"two tensors would be named {printable(name)}")
        if len(self.tensors) >= _MAX_TENSORS:
            raise CannotConvertError(f"more than {_MAX_TENSORS} tensors")
        tensor.check(printable(name))
        self.tensors[name] = tensor

    def _made(self, name: str, made: Made, depth: int) -> None:
        """A module of torch gives what its state_dict() would; of other objects, tensors must not be lost unsaid."""
        state = made.state
        if isinstance(state, dict) and "_parameters" in state and "_modules" in state:
            temporary = state.get("_non_persistent_buffers_set") or ()
            buffers = {key: item for key, item in (state.get("_buffers") or {}).items() if key not in temporary}
            for part in (state["_parameters"], buffers, state["_modules"]):
                self.add(name, {key: item for key, item in (part or {}).items() if item is not None}, depth)
            return
        if _holds_tensors(made):
            raise CannotConvertError(
                f"{printable(name) or 'the file'} is an object of {printable(made.callee)} that holds tensors",
                hint="save its tensors alone, as in torch.save(model.state_dict(), ...)",
            )
        self.left_out.append(f"{printable(name)[:200]} ({printable(made.callee)[:100]})")

    def shared(self) -> tuple[str, ...]:
        """Names of tensors whose bytes overlap those of one before."""
        seen: dict[int, list[tuple[int, int]]] = {}
        found = []
        for name, tensor in self.tensors.items():
            if not tensor.count or tensor.interleaved:
                continue
            span = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True)) + 1
            begin, end = tensor.start, tensor.start + span * SIZES[tensor.dtype]
            spans = seen.setdefault(id(tensor.source), [])
            if len(spans) < _MAX_METADATA and any(begin < other_end and other < end for other, other_end in spans):
                found.append(printable(name))
            spans.append((begin, end))
        return tuple(found)


def _named(value: Any) -> _Named:
    named = _Named()
    named.add("", value)
    if not named.tensors:
        raise CannotConvertError("there are no tensors in it")
    return named


def _holds_tensors(value: Any) -> bool:
    """Whether a tensor lies in it, at any depth; containers may hold each other and themselves."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            return True
        if id(item) in seen:
            continue
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif isinstance(item, Made):
            waiting.extend((item.arguments, item.state, item.items))
        else:
            continue
        seen.add(id(item))
    return False


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Whether it can be metadata: text, or JSON of a few plain values."""
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    if value is None or isinstance(value, int | float | bool):
        return True
    if isinstance(value, list | tuple) and depth < 2 and len(value) <= _MAX_METADATA:
        return all(_is_plain(item, depth + 1) for item in value)
    return False


def _write(named: _Named, output: Path, limit: int, progress: Callable[[float, float, str], None] | None) -> int:
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **named.metadata}}
    done = 0
    # As the safetensors library orders them: the widest types first, so that all are aligned, then by name.
    ordered = sorted(named.tensors.items(), key=lambda item: (-SIZES[item[1].dtype], item[0]))
    for name, tensor in ordered:
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [done, done + tensor.size]}
        done += tensor.size
        if done > limit:
            raise CannotConvertError(f"its tensors would take more than {limit} bytes", hint="views repeat elements")
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
    text += b" " * (-len(text) % 8)
    temporary = output.with_name(f".{output.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for piece in _pieces(ordered, done, progress):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(output)
    except OSError as error:
        raise CannotConvertError(f"{printable(str(output))} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return 8 + len(text) + done


def _pieces(
    ordered: list[tuple[str, Tensor]], total: int, progress: Callable[[float, float, str], None] | None
) -> Iterator[bytes]:
    done = 0
    for name, tensor in ordered:
        for piece in elements(tensor, printable(name)):
            done += len(piece)
            if progress is not None:
                progress(done, total, printable(name))
            yield piece


def _digest(source: FileSource) -> str:
    import hashlib

    digest, offset = hashlib.sha256(), 0
    while chunk := source.read(offset, _CHUNK):
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()
