"""Whatever the bytes: the scanner returns, and never calls clean what a real loader would let run."""

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, call, gallery, glob, npy, safetensors, stack_global, text, torch_zip

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths

GALLERY = gallery()
LIMITS = ScanLimits(max_opcodes=200_000, max_inflated_bytes=2**22)
SEEDS = [
    *(make() for make in {**GALLERY.CANARIES, **GALLERY.NEIGHBOURS}.values()),
    pickle.dumps({"a": [1, 2.5, ("x", b"y")], "b": {1, 2}}, 0),
    pickle.dumps({"a": [1, 2.5, ("x", b"y")], "b": {1, 2}}, 5),
    npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", bytes(8)),
    safetensors({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"\0"),
    torch_zip(b"\x80\x02" + SYSTEM + b"."),
    b"\0\0\x08\x01\0\0\0\x02ab",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file with a few bytes changed, cut out, doubled or inserted."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["set", "cut", "double", "insert", "end"]))
        size = draw(st.integers(1, 40))
        if kind == "set" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + size]
        elif kind == "double":
            data[at:at] = data[at : at + size]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            del data[at:]
    return bytes(data)


def scanned(data: bytes, name: str) -> FileReport:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        (report,) = scan_paths([path], limits=LIMITS).files
        return report


@settings(max_examples=1500, suppress_health_check=[HealthCheck.too_slow])
@given(mutated(), st.sampled_from(["m.pkl", "m.pt", "m.npz", "m.safetensors", "m"]))
def test_mutated_files_never_crash_and_give_the_same_result_twice(data: bytes, name: str) -> None:
    first, second = scanned(data, name), scanned(data, name)
    assert first.model_copy(update={"path": ""}).verdict == second.verdict
    assert [item.message for item in first.findings] == [item.message for item in second.findings]
    assert first.sha256 is not None


@settings(max_examples=600)
@given(st.binary(max_size=400), st.sampled_from([b"", b"\x80\x04", b"\x80\x02", b"PK\x03\x04", b"\x93NUMPY\x01\x00"]))
def test_arbitrary_bytes_never_crash(data: bytes, head: bytes) -> None:
    scanned(head + data, "m.pkl")


ORACLE = """
import io, json, os, pickle, sys
seen = []
def hook(event, arguments):
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "shutil.rmtree",
                 "socket.connect", "os.kill", "os.truncate", "os.chmod", "os.mkdir", "os.rmdir"):
        seen.append(event)
        raise RuntimeError("stopped")
    if event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax":
        raise RuntimeError("stopped")
sys.addaudithook(hook)
devnull = os.dup(1)
sys.stdout = sys.stderr = io.StringIO()
for line in sys.stdin:
    seen.clear()
    try:
        pickle.loads(bytes.fromhex(line.strip()))
    except BaseException:
        pass
    os.write(devnull, (json.dumps(seen) + "\\n").encode())
"""


@pytest.fixture(scope="module")
def oracle() -> Iterator[subprocess.Popen[str]]:
    """A process that really unpickles, and says what that would have run; an audit hook stops it first."""
    command = [sys.executable, "-I", "-c", ORACLE]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder)
        yield process
        process.kill()
        process.communicate()


def executes(oracle: subprocess.Popen[str], data: bytes) -> bool:
    assert oracle.stdin is not None
    assert oracle.stdout is not None
    oracle.stdin.write(data.hex() + "\n")
    oracle.stdin.flush()
    return bool(json.loads(oracle.stdout.readline()))


NAMES = [("posix", "system"), ("os", "system"), ("subprocess", "getoutput"), ("os", "remove")]
PIECES = [
    *(glob(*name) for name in NAMES),
    *(stack_global(*name) for name in NAMES),
    *(text(part) for name in NAMES for part in name),
    glob("builtins", "getattr"),
    glob("importlib", "import_module"),
    glob("functools", "partial"),
    glob("operator", "attrgetter"),
    glob("collections", "OrderedDict"),
    stack_global("random", "_os.system"),
    call(glob("_codecs", "encode"), text("flfgrz"), text("rot13")),
    text("true"),
    *(bytes([code]) for code in b"(tR)\x85\x86\x8100122osubae]}NN\x94\x93\x90\x8f\x91"),
    *(opcode + bytes([index]) for opcode in (b"q", b"h") for index in (0, 1, 2)),
    b"\x80\x02",
    b"\x80\x04",
    b"Q",
    b"S'true'\n",
    b"iposix\nsystem\n",
    b"p1\n",
    b"g1\n",
    b"\x82\x01",
    b"\x95\x05\0\0\0\0\0\0\0",
    call(glob("posix", "system"), text("true")),
]


@settings(max_examples=3000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(PIECES), min_size=2, max_size=14),
    st.booleans(),
    st.sampled_from([b"", b"\x80\x02", b"\x80\x04"]),
)
def test_what_a_real_unpickler_would_run_is_never_clean(
    oracle: subprocess.Popen[str],
    pieces: list[bytes],
    stops: bool,  # noqa: FBT001
    header: bytes,
) -> None:
    data = header + b"".join(pieces) + (b"." if stops else b"")
    if executes(oracle, data):
        assert scanned(data, "m.pkl").verdict in ("malicious", "suspicious")


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(mutated())
def test_mutated_canaries_that_still_sing_are_never_clean(oracle: subprocess.Popen[str], data: bytes) -> None:
    if executes(oracle, data):
        assert scanned(data, "m").verdict in ("malicious", "suspicious")


def test_the_oracle_hears_a_canary_and_stays_silent_otherwise(oracle: subprocess.Popen[str]) -> None:
    assert executes(oracle, b"\x80\x02" + SYSTEM + b".")
    assert executes(oracle, GALLERY.CANARIES["dotted-name.pkl"]())
    assert not executes(oracle, b"\x80\x02N.")
