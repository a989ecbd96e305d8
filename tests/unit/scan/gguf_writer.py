"""Writes GGUF files value by value, so that tests can say what no converter would."""

import struct
from typing import Any

__all__ = ["F32", "Q4_0", "Gguf"]

F32, Q4_0 = 0, 2
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class Gguf:
    """A file of one version and byte order."""

    def __init__(self, *, version: int = 3, big: bool = False, alignment: int = 32) -> None:
        self.version = version
        self.order = ">" if big else "<"
        self.alignment = alignment

    def number(self, kind: str, value: Any) -> bytes:
        return struct.pack(self.order + kind, value)

    def count(self, value: int) -> bytes:
        return self.number("I" if self.version == 1 else "Q", value)

    def text(self, value: str | bytes) -> bytes:
        data = value.encode() if isinstance(value, str) else value
        return self.count(len(data)) + data

    def value(self, value: Any) -> bytes:
        """A type and a value: text, a list, a whole number, or (type, number)."""
        if isinstance(value, (str, bytes)):
            return self.number("I", 8) + self.text(value)
        if isinstance(value, tuple):
            return self.number("I", value[0]) + self.number(_NUMBERS[value[0]], value[1])
        if isinstance(value, list):
            items = [self.value(item) for item in value]
            kind = items[0][:4] if items else self.number("I", 4)
            return self.number("I", 9) + kind + self.count(len(items)) + b"".join(item[4:] for item in items)
        return self.number("I", 4) + self.number("I", value)

    def file(
        self,
        pairs: list[tuple[str, Any]] | None = None,
        tensors: list[tuple[str, list[int], int, int]] | None = None,
        data: bytes = b"",
    ) -> bytes:
        """Metadata, tensors as (name, shape, type, offset), and the bytes behind the header."""
        pairs, tensors = pairs or [], tensors or []
        head = b"GGUF" + self.number("I", self.version) + self.count(len(tensors)) + self.count(len(pairs))
        head += b"".join(self.text(key) + self.value(value) for key, value in pairs)
        for name, shape, kind, offset in tensors:
            head += self.text(name) + self.number("I", len(shape)) + b"".join(self.count(side) for side in shape)
            head += self.number("I", kind) + self.number("Q", offset)
        return head + bytes(-len(head) % self.alignment if tensors else 0) + data
