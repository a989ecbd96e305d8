"""Writes pickles opcode by opcode, zip files and tensors, so that tests can say what no pickler would."""

import importlib.util
import io
import json
import struct
import zipfile
from pathlib import Path
from types import ModuleType

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths

__all__ = [
    "SYSTEM",
    "call",
    "gallery",
    "glob",
    "npy",
    "obj",
    "safetensors",
    "scan_bytes",
    "stack_global",
    "text",
    "torch_zip",
    "zipped",
]

REPOSITORY = Path(__file__).resolve().parents[3]


def gallery() -> ModuleType:
    """examples/untrusted/build.py."""
    spec = importlib.util.spec_from_file_location("untrusted_gallery", REPOSITORY / "examples/untrusted/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scan_bytes(folder: Path, data: bytes, name: str = "model.pkl", *, limits: ScanLimits | None = None) -> FileReport:
    """Scan bytes under a name and give the report on them."""
    path = folder / name
    path.write_bytes(data)
    (report,) = scan_paths([path], limits=limits).files
    return report


def rules(report: FileReport) -> set[str]:
    return {finding.rule for finding in report.findings}


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def glob(module: str, name: str) -> bytes:
    """GLOBAL."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(callee: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return callee + b"(" + b"".join(arguments) + b"tR"


def obj(callee: bytes, *arguments: bytes) -> bytes:
    return b"(" + callee + b"".join(arguments) + b"o"


SYSTEM = call(glob("posix", "system"), text("true"))


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], *, deflate: bool = False) -> bytes:
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def torch_zip(pickled: bytes, **more: bytes) -> bytes:
    members = {"data.pkl": pickled, "version": b"3\n", "data/0": bytes(16), **more}
    return zipped({f"archive/{name}": data for name, data in members.items()})


def npy(header: str, data: bytes, *, version: bytes = b"\x01\x00") -> bytes:
    body = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(body)) + body + data


def safetensors(header: dict[str, object] | str, data: bytes) -> bytes:
    body = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(body)) + body + data
