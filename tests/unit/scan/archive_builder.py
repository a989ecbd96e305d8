"""Writes archives that no archiver would, and the cases of the rules about archives."""

import gzip
import io
import stat
import tarfile
import zipfile

from tests.unit.scan.assembler import SYSTEM, text, torch_zip, zipped

__all__ = ["ARCHIVE_CASES", "PAYLOAD", "PLAIN", "block", "linked_zip", "padded", "special", "tarred"]

PLAIN = b"\x80\x02}" + text("a") + b"K\x01s."
PAYLOAD = b"\x80\x02" + SYSTEM + b"."

Content = bytes | tarfile.TarInfo


def tarred(*members: tuple[str, Content], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive of files by their content, and of whatever a TarInfo says."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def block(name: str, size: int = 0, *, kind: bytes = b"0", changes: dict[int, bytes] | None = None) -> bytes:
    """One header in the old format, bytes changed before its checksum is computed."""
    data = bytearray(512)
    data[: len(name.encode())] = name.encode()
    data[100:136] = b"0000644\x000000000\x000000000\0" + b"%011o\0" % size
    data[136:148] = b"%011o\0" % 0
    data[156:157] = kind
    for offset, change in (changes or {}).items():
        data[offset : offset + len(change)] = change
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def linked_zip(target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.pkl", PLAIN)
        info = zipfile.ZipInfo("link")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return buffer.getvalue()


def gap() -> bytes:
    """A member left out of the directory and its signature wiped, as some tools delete."""
    archive = zipped({"a.pkl": PLAIN})
    directory = archive.index(b"PK\x01\x02")
    data = bytearray(archive[:directory] + bytes(100) + archive[directory:])
    end = data.index(b"PK\x05\x06")
    data[end + 16 : end + 20] = (directory + 100).to_bytes(4, "little")
    return bytes(data)


TWO = tarred(("a.pkl", PLAIN), ("b.pkl", PLAIN))
ARCHIVE_CASES = {
    "zip-gap": ("m.zip", gap, zipped({"a.pkl": PLAIN})),
    "zip-unsafe-link": ("m.zip", lambda: linked_zip("../../etc/passwd"), linked_zip("a.pkl")),
    "archive-similar-names": ("m.pt", torch_zip(PLAIN, Extra=PLAIN, extra=PLAIN), torch_zip(PLAIN, extra=PLAIN)),
    "archive-odd-name": (
        "m.pt",
        torch_zip(PLAIN, **{"a\x1b[2Jb.pkl": PLAIN}),
        torch_zip(PLAIN, **{"größe ✓.pkl": PLAIN}),
    ),
    "tar-disagreement": ("m.tar", block("a.pkl", changes={124: b"0o%09o\0" % 21}) + padded(PLAIN + b"N0."), TWO),
    "tar-duplicate-member": ("m.tar", tarred(("a.pkl", PLAIN), ("./a.pkl", PAYLOAD)), TWO),
    "tar-hidden-member": ("m.tar", TWO + tarred(("c.pkl", PLAIN)), TWO + bytes(5120)),
    "tar-special-file": (
        "m.tar",
        tarred(("a.pkl", PLAIN), ("p", special(tarfile.FIFOTYPE))),
        tarred(("a.pkl", PLAIN), ("d", special(tarfile.DIRTYPE))),
    ),
    "tar-trailing-data": ("m.tar", TWO + b"more", TWO),
    "tar-unsafe-link": (
        "m.tar",
        tarred(("a.pkl", PLAIN), ("x/l", special(tarfile.SYMTYPE, "../../etc"))),
        tarred(("a.pkl", PLAIN), ("x/l", special(tarfile.SYMTYPE, "../a.pkl"))),
    ),
    "tar-unsafe-name": ("m.tar", tarred(("../a.pkl", PLAIN)), tarred(("./..a.pkl", PLAIN))),
    "packed-trailing-data": ("m.pkl.gz", gzip.compress(PLAIN) + b"more", gzip.compress(PLAIN) + bytes(9)),
}
"""Rule to (file name, what breaks it, what does not)."""
