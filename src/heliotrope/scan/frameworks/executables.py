"""Programs where models should be: by the headers of ELF, PE, Mach-O and APE, by `#!`, and by Python's own for bytecode."""

import re

from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.recognised import MODEL_EXTENSIONS

__all__ = ["ExecutableAnalyser", "program_at", "search_programs"]

_CHUNK = 2**20
_HEADER = 4096 + 64
"""Where the PE header may begin at the latest, and as much of it as is looked at."""
_ELF_TYPES = frozenset({1, 2, 3})
_ELF_MACHINES = frozenset({2, 3, 8, 20, 21, 22, 40, 43, 50, 62, 183, 243, 258})
"""Those of computers; programs for accelerators inside compiled models are no programs of the machine."""
_PE_MACHINES = frozenset({0x14C, 0x8664, 0x1C0, 0x1C4, 0xAA64, 0x5064})
_MACH_CPUS = frozenset({7, 12, 18, 0x01000007, 0x0100000C, 0x01000012})
_MAGICS = re.compile(
    rb"\x7fELF[\x01\x02][\x01\x02]\x01|MZ|\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba[\xbe\xbf]"
)
_MAX_NAMED = 20
_WEIGHTS = re.compile(
    r"(?:.*[/_.-])?(?:model|weights|optimizer|scheduler|training_args|embeddings?)(?:[-_.]\w+)*\.(?:bin|dat|data|model)",
    re.IGNORECASE,
)
"""Names under which loaders look for weights, whose extension by itself promises nothing."""


def program_at(data: bytes, at: int = 0) -> str | None:
    """The kind of program whose header stands there; None when none does."""
    head = data[at : at + 64]
    if head[:4] == b"\x7fELF":
        return "ELF" if _is_elf(head) else None
    if head[:2] == b"MZ":
        return "PE" if _is_portable(data, at) else "APE" if head[2:8] in (b"qFpD='", b'qFpD="') else None
    if head[:4] in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"):
        return "Mach-O" if _is_mach(head) else None
    if head[:3] == b"\xca\xfe\xba" and head[3:4] in (b"\xbe", b"\xbf"):
        count, cpu = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return "Mach-O" if 0 < count < 20 and cpu in _MACH_CPUS else None
    return None


def _is_elf(head: bytes) -> bool:
    order = "little" if head[5:6] == b"\x01" else "big"
    kind = int.from_bytes(head[16:18], order)  # type: ignore[arg-type]
    machine = int.from_bytes(head[18:20], order)  # type: ignore[arg-type]
    return head[4:5] in (b"\x01", b"\x02") and kind in _ELF_TYPES and machine in _ELF_MACHINES


def _is_portable(data: bytes, at: int) -> bool:
    start = at + int.from_bytes(data[at + 60 : at + 64], "little")
    return (
        start - at <= 4096
        and data[start : start + 4] == b"PE\0\0"
        and int.from_bytes(data[start + 4 : start + 6], "little") in _PE_MACHINES
    )


def _is_mach(head: bytes) -> bool:
    order = "big" if head[:1] == b"\xfe" else "little"
    cpu = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
    kind = int.from_bytes(head[12:16], order)  # type: ignore[arg-type]
    commands = int.from_bytes(head[16:20], order)  # type: ignore[arg-type]
    return cpu in _MACH_CPUS and 1 <= kind <= 12 and 0 < commands < 10_000


def search_programs(source: Source, context: Context, *, start: int = 0) -> None:
    """Name every program whose header stands anywhere in the bytes; its instructions are not looked at."""
    named, offset = 0, start
    while data := source.read(offset, _CHUNK + _HEADER):
        for match in _MAGICS.finditer(data, 0, min(_CHUNK + 16, len(data))):
            kind = program_at(data, match.start()) if match.start() < _CHUNK else None
            if kind is None:
                continue
            named += 1
            if named > _MAX_NAMED:
                return
            place = context.base + offset + match.start()
            message = f"a program ({kind}) lies inside"
            context.notes.add("embedded-executable", message, key=kind, member=context.member, offset=place)
        offset += _CHUNK


class ExecutableAnalyser:
    """Whole files that are programs. Beside a model they are not judged; under a model's name, or inside one, they are."""

    format = "executable"

    def accepts(self, source: Source, name: str) -> bool:
        head = source.read(0, _HEADER)
        if program_at(head) is not None or _is_bytecode(head):
            return True
        return head.startswith(b"#!") and _promises_model(name)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        head = source.read(0, _HEADER)
        kind = program_at(head) or ("Python bytecode" if _is_bytecode(head) else "script")
        model = _promises_model(name)
        if model or context.depth > 0 or kind == "APE":
            message = f"it is a program ({kind}), not a model"
            context.notes.add("embedded-executable", message, key=kind, member=context.member, offset=context.base)
        return Recognised("executable", supported=False, model=model)


def _is_bytecode(head: bytes) -> bool:
    """Source: importlib's magic numbers, from 3000 on since Python 3.0."""
    return (
        head[2:4] == b"\r\n" and 3000 <= int.from_bytes(head[:2], "little") < 4000 and len(head) >= 16 and head[4] < 4
    )


def _promises_model(name: str) -> bool:
    return _extension(name) in MODEL_EXTENSIONS or _WEIGHTS.fullmatch(name) is not None


def _extension(name: str) -> str:
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") else ""
