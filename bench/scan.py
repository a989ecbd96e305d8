"""What scanning costs: CPU seconds and peak memory, each case in a process of its own."""

import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

__all__ = ["main", "many", "safetensors", "torch_zip"]

_CODE = """
import json, resource, sys
from pathlib import Path
from heliotrope.scan import scan_paths
document = scan_paths([Path(sys.argv[1])])
usage = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(json.dumps([usage.ru_utime + usage.ru_stime, int(peak) / 1024, document.verdict]))
"""
# VmHWM, because ru_maxrss begins with the peak of the process that started this one.

_MIB = 2**20
_ROUNDS = 3


def main() -> list[dict[str, str | float]]:
    """Rows of name, value, unit and target; start of the interpreter and imports included, best of three."""
    rows: list[dict[str, str | float]] = []
    with tempfile.TemporaryDirectory(prefix="bench-scan-") as folder:
        for name, make, seconds, memory in _CASES:
            path = Path(folder) / "case"
            make(path)
            measured = [_measured(path) for _ in range(_ROUNDS)]
            assert all(verdict == "clean" for _, _, verdict in measured), name
            cpu = round(min(cpu for cpu, _, _ in measured), 2)
            peak = round(max(peak for _, peak, _ in measured))
            rows.append({"name": f"scan {name}", "value": cpu, "unit": "CPU s", "target": f"<= {seconds}"})
            rows.append({"name": f"scan {name}, peak", "value": peak, "unit": "MB", "target": f"<= {memory}"})
            _remove(path)
    return rows


def _measured(path: Path) -> tuple[float, float, str]:
    done = subprocess.run([sys.executable, "-c", _CODE, str(path)], capture_output=True, text=True, check=True)
    cpu, peak, verdict = json.loads(done.stdout)
    return cpu, peak, verdict


def _remove(path: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            child.unlink()
        path.rmdir()
    else:
        path.unlink()


def _small(path: Path) -> None:
    path.write_bytes(pickle.dumps({"labels": ["cat", "dog"], "mean": 0.1307}, 4))


def _heavy_pickle(path: Path) -> None:
    """14 million opcodes: rows of a cache, with memo entries and strings that repeat."""
    rows = [{f"k{i}": (i, i * 0.5, f"v{i % 1000}"), "l": [1, 2, 3, i, i / 3]} for i in range(640_000)]
    with path.open("wb") as file:
        pickle.dump(rows, file, 4)


def _weights(file_size: int) -> bytes:
    return os.urandom(_MIB) * (file_size // _MIB)


def torch_zip(path: Path) -> None:
    pickled = b"\x80\x02ccollections\nOrderedDict\n)R."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        for number in range(100):
            archive.writestr(f"archive/data/{number}", _weights(2 * _MIB))


def safetensors(path: Path) -> None:
    size = 2 * _MIB
    header = {
        f"layer.{n}": {"dtype": "U8", "shape": [size], "data_offsets": [n * size, (n + 1) * size]} for n in range(100)
    }
    body = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(body)) + body)
        for _ in range(100):
            file.write(_weights(size))


def _joblib(path: Path) -> None:
    """A hundred arrays of 2 MB between the opcodes."""
    import joblib
    import numpy as np

    joblib.dump([np.frombuffer(_weights(2 * _MIB), np.float32) for _ in range(100)], path)


def _joblib_packed(path: Path) -> None:
    """200 MB of numbers that compress to half: two passes of decompression are what it costs."""
    import joblib
    import numpy as np

    rows = np.frombuffer(os.urandom(_MIB), np.uint8).astype(np.uint16)
    joblib.dump([np.tile(rows, 50), np.tile(rows[::-1], 50)], path, compress=3)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _onnx(path: Path) -> None:
    """20,000 nodes and a hundred tensors of 2 MB, written on the wire."""
    node = _field(1, _field(1, b"x") + _field(2, b"y") + _field(4, b"Relu"))
    tensor = _field(5, b"\x08" + _varint(_MIB // 2) + b"\x10\x01" + _field(9, _weights(2 * _MIB)))
    graph = node * 20_000 + tensor * 100
    with path.open("wb") as file:
        file.write(b"\x08\x08" + _varint(7 << 3 | 2) + _varint(len(graph)))
        file.write(graph)


def many(path: Path) -> None:
    path.mkdir()
    for number in range(500):
        (path / f"{number}.pkl").write_bytes(pickle.dumps({"number": number, "values": list(range(50))}, 4))


_CASES = (
    ("one small file", _small, 0.4, 60),
    ("a pickle of 14 million opcodes", _heavy_pickle, 10, 150),
    ("a torch archive of 200 MB", torch_zip, 0.4, 60),
    ("a safetensors file of 200 MB", safetensors, 0.4, 60),
    ("a joblib file of 200 MB", _joblib, 0.5, 60),
    ("a compressed joblib file of 200 MB", _joblib_packed, 3, 80),
    ("an ONNX model of 200 MB", _onnx, 0.8, 60),
    ("500 small files", many, 0.5, 60),
)
"""Name, what makes it, and the targets. Hashing 200 MB takes 0.15 CPU s where the processor has instructions for it."""


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
