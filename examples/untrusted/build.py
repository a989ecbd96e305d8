"""Make a folder of model files as one may download them: some would run code when loaded.

    python build.py OUT

Every payload is a canary: it writes the word "loaded" into the file that the environment variable HELIOTROPE_CANARY names
(else heliotrope-canary in the folder for temporary files), and does nothing else. Building executes none of them. Only the
standard library is needed.
"""

import io
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path

__all__ = ["CANARIES", "NEIGHBOURS", "build"]

COMMAND = 'printf loaded > "${HELIOTROPE_CANARY:-${TMPDIR:-/tmp}/heliotrope-canary}"'
"""What the canaries hand to the shell."""


def _text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _called(callee: bytes) -> bytes:
    """REDUCE of the callee with the command."""
    return callee + _text(COMMAND) + b"\x85R"


SYSTEM = b"cposix\nsystem\n"
CALL = b"\x80\x02" + _called(SYSTEM) + b"."


def _system_call() -> bytes:
    """The classic: a GLOBAL and a REDUCE."""
    return CALL


def _stack_global() -> bytes:
    """The same in protocol 4: the names are strings on the stack. The result is dropped, so the object looks harmless."""
    called = _called(_text("posix") + _text("system") + b"\x93")
    return b"\x80\x04" + called + b"0" + _text("weights") + b"."


def _memo() -> bytes:
    """The names come from the memo, whose entries were overwritten: read in order, the strings say collections.OrderedDict."""
    module = _text("collections") + b"q\x07" + b"0" + _text("posix") + b"q\x07" + b"0"
    name = _text("OrderedDict") + b"q\x02" + b"0" + _text("system") + b"q\x02" + b"0"
    return b"\x80\x04" + module + name + _called(b"h\x07h\x02\x93") + b"."


def _computed_name() -> bytes:
    """The name exists only while loading: flfgrz in rot13."""
    name = b"c_codecs\nencode\n" + _text("flfgrz") + _text("rot13") + b"\x86R"
    return b"\x80\x04" + _called(_text("posix") + name + b"\x93") + b"."


def _dotted_name() -> bytes:
    """A harmless module as the way to another one, which it happens to import."""
    return b"\x80\x04" + _called(_text("random") + _text("_os.system") + b"\x93") + b"."


def _second_stream() -> bytes:
    """A harmless pickle, 64 zero bytes, then the canary: loaded by whoever goes on reading."""
    return pickle.dumps({"epoch": 3}, 2) + bytes(64) + CALL


def _truncated() -> bytes:
    """Broken right after the call: the loader raises an error, too late."""
    return CALL[:-1] + b"\xff broken"


def _torch_archive() -> bytes:
    """torch's zip format with the canary beside the weights."""
    return _torch_zip(b"\x80\x02}" + _text("weights") + _state_dict() + b"s" + _text("extra") + _called(SYSTEM) + b"s.")


def _object_array() -> bytes:
    """An npz file whose one array holds Python objects."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + CALL
    return _zip({"labels.npy": array})


def _state_dict() -> bytes:
    """An OrderedDict of one float tensor of four elements, as torch pickles it."""
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text("0") + _text("cpu") + b"K\x04tQ"
    empty_dict = b"ccollections\nOrderedDict\n)R"
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"K\x00K\x02K\x02\x86K\x02K\x01\x86\x89"
        + empty_dict
        + b"tR"
    )
    return empty_dict + _text("linear.weight") + tensor + b"s"


def _torch_zip(pickled: bytes) -> bytes:
    weights = struct.pack("<4f", 0.5, -0.5, 1.0, 2.0)
    members = {"data.pkl": pickled, "byteorder": b"little", "data/0": weights, "version": b"3\n"}
    return _zip({f"archive/{name}": data for name, data in members.items()})


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # the time is fixed: equal runs give equal bytes
    return buffer.getvalue()


def _weights_safetensors() -> bytes:
    header = json.dumps({"linear.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + struct.pack("<4f", 0.5, -0.5, 1.0, 2.0)


def _weights_torch() -> bytes:
    return _torch_zip(b"\x80\x02" + _state_dict() + b".")


def _settings() -> bytes:
    return pickle.dumps({"labels": ["cat", "dog"], "mean": 0.1307, "note": "os.system is only text here"}, 4)


CANARIES = {
    "system-call.pkl": _system_call,
    "stack-global.pkl": _stack_global,
    "memo.pkl": _memo,
    "computed-name.pkl": _computed_name,
    "dotted-name.pkl": _dotted_name,
    "second-stream.pkl": _second_stream,
    "truncated.pkl": _truncated,
    "torch-archive.pt": _torch_archive,
    "object-array.npz": _object_array,
    "notes.txt": _system_call,
}
"""Files that would run code when loaded, and what makes each of them."""

NEIGHBOURS = {
    "weights.safetensors": _weights_safetensors,
    "weights.pt": _weights_torch,
    "settings.pkl": _settings,
}
"""Ordinary files between them."""


def build(out: Path) -> list[Path]:
    """Write all files and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in {**CANARIES, **NEIGHBOURS}.items():
        path = out / name
        path.write_bytes(make())
        written.append(path)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python build.py OUT")
    for made in build(Path(sys.argv[1])):
        print(made)
