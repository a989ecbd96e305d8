"""Changes to malicious and ordinary files: by structure (callee, text, memo, opcodes, lengths, splices, fields) and blind."""

import pickletools
import random
import struct
from dataclasses import dataclass

__all__ = ["Mutator", "tokens"]

NAMES = (
    ("posix", "system"), ("os", "system"), ("builtins", "exec"), ("builtins", "eval"), ("builtins", "getattr"),
    ("builtins", "__import__"), ("subprocess", "getoutput"), ("functools", "partial"), ("collections", "OrderedDict"),
    ("collections", "defaultdict"), ("operator", "attrgetter"), ("operator", "methodcaller"), ("pickle", "loads"),
    ("importlib", "import_module"), ("_codecs", "encode"), ("copyreg", "_reconstructor"), ("builtins", "dict"),
    ("builtins", "list"), ("builtins", "str"), ("types", "SimpleNamespace"), ("builtins", "map"), ("random", "_os.system"),
    ("torch._utils", "_rebuild_tensor_v2"), ("torch.storage", "_load_from_bytes"), ("numpy", "dtype"), ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"), ("sklearn.tree._tree", "Tree"), ("planted", "x"), ("commands", "getoutput"),
    ("__builtin__", "eval"), ("runpy", "run_path"), ("io", "open"), ("pathlib", "PosixPath"), ("uuid", "UUID"),
)  # fmt: skip
TEXTS = (
    "touch canary", "open('canary','w')", "canary", "planted.py", "system", "os", "posix", "builtins", "exec", "__setstate__",
    "__class__", "__reduce_ex__", "", "latin1", "rot13", "x" * 300, "append", "w", "\ud800", "a\nb", "modul\u00e9",
)  # fmt: skip
_NO_ARGUMENT = b"(.0123NQRabdelost)]}\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98"
_ZIP_RECORDS = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08")


@dataclass(frozen=True, slots=True)
class Token:
    """One opcode with its argument's bytes."""

    code: int
    data: bytes


def tokens(data: bytes) -> list[Token]:
    """The opcodes of the first stream; what does not parse is one token of its own."""
    starts: list[int] = []
    try:
        for _, _, position in pickletools.genops(data):
            starts.append(position)
    except Exception:
        pass
    if not starts:
        return []
    ends = [*starts[1:], starts[-1] + 1]
    found = [Token(data[begin], data[begin + 1 : end]) for begin, end in zip(starts, ends, strict=True)]
    rest = data[ends[-1] :]
    return [*found, Token(rest[0], rest[1:])] if rest else found


def joined(parts: list[Token]) -> bytes:
    return b"".join(bytes([part.code]) + part.data for part in parts)


class Mutator:
    """Draws changed files from seeds; the same number gives the same files."""

    def __init__(self, seeds: list[bytes], seed: int) -> None:
        self._random = random.Random(seed)
        self._seeds = seeds
        self._tokens = [tokens(data) for data in seeds]
        self._streams = [number for number, parts in enumerate(self._tokens) if len(parts) > 2]

    def draw(self) -> tuple[int, bytes]:
        """The number of the seed and the changed file."""
        chance = self._random
        number = chance.randrange(len(self._seeds))
        parts = self._tokens[number]
        if len(parts) > 2 and chance.random() < 0.75:
            changed = list(parts)
            for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
                changed = self._structural(changed)
            data = joined(changed)
        else:
            data = self._seeds[number]
            for _ in range(chance.choice((1, 1, 2, 3, 6))):
                data = self._fields(data) if chance.random() < 0.4 else self._blind(data)
        return number, data

    def _structural(self, parts: list[Token]) -> list[Token]:
        chance = self._random
        kind = chance.randrange(12)
        place = chance.randrange(len(parts))
        part = parts[place]
        if kind == 0:  # callee
            places = [at for at, item in enumerate(parts) if item.code in b"ci"]
            if places:
                at = chance.choice(places)
                module, name = chance.choice(NAMES)
                return [*parts[:at], Token(parts[at].code, f"{module}\n{name}\n".encode()), *parts[at + 1 :]]
        elif kind == 1:  # text
            places = [at for at, item in enumerate(parts) if item.code in (0x58, 0x8C)]
            if places:
                at = chance.choice(places)
                text = chance.choice([*TEXTS, *(item for pair in NAMES for item in pair)]).encode(
                    "utf-8", "surrogatepass"
                )
                data = (
                    struct.pack("<I", len(text)) + text
                    if parts[at].code == 0x58 or len(text) > 255
                    else bytes([len(text)]) + text
                )
                code = 0x58 if parts[at].code == 0x58 or len(text) > 255 else 0x8C
                return [*parts[:at], Token(code, data), *parts[at + 1 :]]
        elif kind == 2:  # memo
            places = [at for at, item in enumerate(parts) if item.code in b"qhrjpg"]
            if places:
                at = chance.choice(places)
                index = chance.choice((0, 1, 2, 3, 5, 17, 255, chance.randrange(256)))
                data = {1: bytes([index]), 4: struct.pack("<I", index)}.get(len(parts[at].data), b"%d\n" % index)
                if parts[at].code in b"pg":
                    data = b"%d\n" % index
                elif parts[at].code in b"qh":
                    data = bytes([index])
                else:
                    data = struct.pack("<I", index)
                return [*parts[:at], Token(parts[at].code, data), *parts[at + 1 :]]
        elif kind == 3:  # an opcode for another without argument
            if part.data == b"":
                return [*parts[:place], Token(chance.choice(_NO_ARGUMENT), b""), *parts[place + 1 :]]
        elif kind == 4:  # one more
            return [*parts[:place], Token(chance.choice(_NO_ARGUMENT), b""), *parts[place:]]
        elif kind == 5:  # one less
            return parts[:place] + parts[place + 1 :] or parts
        elif kind == 6:  # twice
            end = min(len(parts), place + chance.randrange(1, 6))
            return parts[:end] + parts[place:end] + parts[end:]
        elif kind == 7:  # splice
            other = self._tokens[chance.choice(self._streams)]
            if chance.random() < 0.5:
                return parts[:place] + other[chance.randrange(len(other)) :]
            begin = chance.randrange(len(other))
            return parts[:place] + other[begin : begin + chance.randrange(1, 12)] + parts[place:]
        elif kind == 8:  # a length that is wrong
            if part.code in (0x58, 0x42, 0x54, 0x8C, 0x43, 0x55, 0x95, 0x8D, 0x8E, 0x96):
                width = {0x58: 4, 0x42: 4, 0x54: 4, 0x8C: 1, 0x43: 1, 0x55: 1}.get(part.code, 8)
                size = int.from_bytes(part.data[:width], "little") + chance.choice((-1, 1, 2, 100, 2**20))
                changed = (size % 256**width).to_bytes(width, "little") + part.data[width:]
                return [*parts[:place], Token(part.code, changed), *parts[place + 1 :]]
        elif kind == 9:  # two change places
            at = chance.randrange(len(parts))
            changed_parts = list(parts)
            changed_parts[place], changed_parts[at] = changed_parts[at], changed_parts[place]
            return changed_parts
        elif kind == 10:  # protocol, or an import with a memo around it
            if parts[0].code == 0x80:
                return [Token(0x80, bytes([chance.randrange(7)])), *parts[1:]]
        else:  # an import in the middle
            module, name = chance.choice(NAMES)
            return [*parts[:place], Token(ord("c"), f"{module}\n{name}\n".encode()), *parts[place:]]
        return parts

    def _fields(self, data: bytes) -> bytes:
        """A field of a container: of a zip record, of a header, or a number somewhere."""
        chance = self._random
        places = [at for record in _ZIP_RECORDS for at in _found(data, record)]
        base, width = (chance.choice(places), 30) if places and chance.random() < 0.8 else (0, min(len(data), 128))
        at = min(base + chance.randrange(max(width, 1)), max(len(data) - 2, 0))
        size = chance.choice((1, 2, 4))
        value = chance.choice((0, 1, 8, 0xFF, 0xFFFF, 0x7FFFFFFF, chance.randrange(2**16)))
        return data[:at] + (value % 256**size).to_bytes(size, "little") + data[at + size :]

    def _blind(self, data: bytes) -> bytes:
        chance = self._random
        at, size = chance.randrange(len(data) + 1), chance.randrange(1, 24)
        kind = chance.randrange(6)
        if kind == 0:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        if kind == 1:
            return data[:at] + data[at + size :] or data
        if kind == 2:
            return data[:at] + data[at : at + size] + data[at:]
        if kind == 3:
            return data[:at] + chance.randbytes(chance.randrange(1, 9)) + data[at:]
        if kind == 4:
            return data[:at] or data
        if not data or at >= len(data):
            return data + b"\0" * size
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _found(data: bytes, record: bytes) -> list[int]:
    places, at = [], data.find(record)
    while at >= 0 and len(places) < 50:
        places.append(at)
        at = data.find(record, at + 1)
    return places
