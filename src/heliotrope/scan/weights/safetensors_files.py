"""safetensors files: the header is checked as strictly as the format's own library does, and in one more respect, keys.

Source: the format's description in the safetensors repository.
"""

import json
import math
from typing import Any

from heliotrope.scan.interface import Context, Recognised, Source

__all__ = ["SafetensorsAnalyser"]

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
_PLAUSIBLE_LENGTH = 2**40
_MAX_DIMENSIONS = 64
_MAX_INTEGER = 2**52
"""Larger sizes exist in no file, and the result's JSON could not hold them."""


class _HeaderError(Exception):
    pass


class SafetensorsAnalyser:
    """Tensors without code."""

    format = "safetensors"

    def accepts(self, source: Source, name: str) -> bool:
        head = source.read(0, 9)
        if len(head) < 9:
            return False
        length = int.from_bytes(head[:8], "little")
        if head[8:] == b"{" and length < _PLAUSIBLE_LENGTH:
            return True
        return name.endswith(".safetensors") and 0 < length <= source.size - 8

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        length = int.from_bytes(source.read(0, 8), "little")
        try:
            header = _header(source, length, context)
        except _HeaderError as error:
            context.notes.add("safetensors-invalid-header", f"the header {error}", member=context.member, offset=8)
            context.notes.incomplete(f"the header {error}", member=context.member)
            return Recognised("safetensors")
        if header is not None:
            _Layout(source.size - 8 - length, 8 + length, context).check(header)
        return Recognised("safetensors")


def _header(source: Source, length: int, context: Context) -> dict[str, Any] | None:
    limit = context.limits.max_safetensors_header
    if length > source.size - 8:
        context.notes.add(
            "safetensors-out-of-bounds",
            "the header reaches beyond the end of the file",
            key="header",
            member=context.member,
        )
        context.notes.incomplete("the header reaches beyond the end of the file", member=context.member)
        return None
    if length > limit:
        reason = f"the header has {length} bytes, more than the limit of {limit}"
        context.notes.incomplete(reason, limit="max_safetensors_header", member=context.member)
        return None
    header = _parsed(source.read(8, length), context)
    if not isinstance(header, dict):
        raise _HeaderError("is no JSON object")
    return header


def _parsed(data: bytes, context: Context) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    message = f"the header names {key!r} twice"
                    context.notes.add("safetensors-duplicate-key", message, key=key, member=context.member, offset=8)
                seen.add(key)
        return found

    if not data.startswith(b"{"):
        raise _HeaderError("does not begin with {")
    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=unique, parse_int=_integer)
    except UnicodeDecodeError:
        raise _HeaderError("is not UTF-8") from None
    except RecursionError:
        raise _HeaderError("is nested too deeply") from None
    except ValueError:
        raise _HeaderError("is no JSON") from None


def _integer(digits: str) -> int:
    """Very long numbers take very long to convert, and none is a size."""
    return int(digits) if len(digits) < 20 else _MAX_INTEGER


class _Layout:
    """Checks that the tensors fill the data section, once each."""

    def __init__(self, size: int, start: int, context: Context) -> None:
        self._size = size
        self._start = start
        self._context = context

    def check(self, header: dict[str, Any]) -> None:
        spans = []
        for name, value in header.items():
            if name == "__metadata__":
                self._metadata(value)
                continue
            try:
                spans.append((*self._span(value), name))
            except _HeaderError as error:
                self._note("safetensors-invalid-header", f"tensor {name!r} {error}", name)
        self._contiguous(sorted(spans))

    def _metadata(self, value: Any) -> None:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self._note(
                "safetensors-invalid-header", "__metadata__ maps something else than text to text", "__metadata__"
            )

    def _span(self, value: Any) -> tuple[int, int]:
        if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
            raise _HeaderError("has other keys than dtype, shape and data_offsets")
        begin, end = _integers(value["data_offsets"], 2) or (0, -1)
        shape = _integers(value["shape"], None)
        bits = _BITS.get(value["dtype"]) if isinstance(value["dtype"], str) else None
        if bits is None:
            raise _HeaderError("has an unknown dtype")
        if shape is None or end < begin:
            raise _HeaderError("has a shape or offsets that are no sizes")
        if math.prod(shape) * bits != 8 * (end - begin):
            message = f"{value['dtype']} of shape {list(shape)} does not fit {end - begin} bytes"
            self._note("safetensors-size-mismatch", message, message, begin)
        return begin, end

    def _contiguous(self, spans: list[tuple[int, int, str]]) -> None:
        reached = 0
        for begin, end, name in spans:
            if begin < reached:
                self._note("safetensors-overlap", f"tensor {name!r} shares bytes with another", name, begin)
            elif begin > reached:
                self._note(
                    "safetensors-gap", f"{begin - reached} bytes before {name!r} belong to no tensor", name, reached
                )
            if end > self._size:
                self._note("safetensors-out-of-bounds", f"tensor {name!r} ends beyond the file", name, begin)
                self._context.notes.incomplete("the file ends before its last tensor", member=self._context.member)
            reached = max(reached, end)
        if reached < self._size:
            message = f"{self._size - reached} bytes follow the last tensor"
            self._note("safetensors-trailing-data", message, "trailing", reached)

    def _note(self, rule: str, message: str, key: str, offset: int = 0) -> None:
        member = self._context.member
        self._context.notes.add(rule, message, key=key, member=member, offset=self._start + offset)


def _integers(value: Any, length: int | None) -> tuple[int, ...] | None:
    """The sizes in a list; None when it holds anything else."""
    if not isinstance(value, list) or len(value) > _MAX_DIMENSIONS or (length is not None and len(value) != length):
        return None
    if not all(type(item) is int and 0 <= item < _MAX_INTEGER for item in value):
        return None
    return tuple(value)
