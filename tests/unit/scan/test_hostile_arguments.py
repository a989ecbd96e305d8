"""Hostile arguments and states for every entry of the policy: what they make run is never called clean.

Every way in which an entry may be used is tried with each of a list of arguments and states. Streams that the scan calls
clean are loaded in a process with an audit hook, which must not report code, files, imports or sockets.
"""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, call, glob, text

from heliotrope.scan.interface import Context
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles.judge import Judge
from heliotrope.scan.pickles.machine import Machine
from heliotrope.scan.policy import allowed_documents, shipped_policy
from heliotrope.scan.rules import find_rule
from heliotrope.scan.sources import BytesSource

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

NESTED = b"\x80\x02" + SYSTEM + b"."
NESTED_BYTES = b"B" + len(NESTED).to_bytes(4, "little") + NESTED
HUGE = b"\x8a\x06" + (2**40).to_bytes(6, "little")
CODE = text("import planted_module\nopen('planted.txt', 'w')")
PARTIAL = call(glob("functools", "partial"), glob("builtins", "len"))
NAMESPACE = (
    glob("types", "SimpleNamespace")
    + b")\x81}("
    + b"".join(
        text(key) + glob("builtins", "len")
        for key in ("keys", "pop", "get", "setdefault", "detach", "replace", "__setstate__", "__reduce_ex__")
    )
    + b"ub"
)
ARGUMENTS = {
    "none": (),
    "code": (CODE,),
    "a module": (text("planted_module"),),
    "a path": (text("planted.txt"),),
    "a path to write": (text("planted.txt"), text("w")),
    "an absolute path": (text("/etc/hostname"),),
    "an address": (text("http://127.0.0.1:9/x"),),
    "a huge number": (HUGE,),
    "a huge shape": (b"J\xff\xff\xff\x7f\x85",),
    "a pickle": (NESTED_BYTES,),
    "a class": (glob("pathlib", "PosixPath"), text("planted.txt")),
    "a function": (glob("builtins", "len"), b")", b"}"),
    "a partial": (PARTIAL,),
    "an object": (NAMESPACE,),
    "a callable factory": (text("x"), PARTIAL),
    "a dictionary": (b"}" + text("filename") + text("planted.txt") + b"s",),
    "a list": (b"](" + text("planted_module") + text("planted.txt") + b"e",),
    "a class and a pickle": (glob("numpy", "ndarray"), b"K\x00\x85", NESTED_BYTES),
    "a class and a state": (glob("argparse", "Namespace"), b"K\x01", b"}"),
}
"""Each element is one argument of the call."""

STATES = {
    "own methods": b"}("
    + b"".join(
        text(key) + glob("builtins", "len") for key in ("__setstate__", "__reduce_ex__", "__class__", "append", "keys")
    )
    + b"u",
    "paths and code": b"}("
    + b"".join(
        text(key) + CODE
        for key in (
            "_parse_arg_template",
            "_code",
            "handle",
            "_handle",
            "__model",
            "filename",
            "fname",
            "model_file",
            "shapes",
            "_sklearn_version",
            "stop_words",
            "key",
            "dtype",
        )
    )
    + b"u",
    "bytes": b"}(" + text("handle") + NESTED_BYTES + text("__model") + NESTED_BYTES + text("_handle") + CODE + b"u",
    "slots": b"N}" + text("__class__") + glob("argparse", "Namespace") + b"s\x86",
    "an object": NAMESPACE,
    "a default": call(glob("collections", "defaultdict"), glob("pathlib", "PosixPath")),
    "text": CODE,
    "numbers": b"(K\x01K\x02K\x03K\x04K\x05t",
    "a huge number": HUGE,
    "a pickle": NESTED_BYTES,
    "a list": b"](" + CODE + CODE + b"e",
}


def streams(*, every_name: bool) -> Iterator[tuple[str, bytes]]:
    """(what it is, pickle) for each review, or for each name it covers."""
    done = set()
    for document in allowed_documents():
        for entry in document["entries"]:
            names = entry["names"].split()
            modules = entry["in"].split()
            alike = (document["framework"], entry["uses"], entry.get("shape"), entry["review"])
            if alike in done and not every_name:
                continue  # the same review holds for both: the same code runs
            done.add(alike)
            for name in names if every_name else names[:1]:
                yield from _of(modules[0], name, set(entry["uses"].split()))


def _of(module: str, name: str, uses: set[str]) -> Iterator[tuple[str, bytes]]:
    callee = glob(module, name)
    full = f"{module}.{name}"
    for label, arguments in ARGUMENTS.items():
        if "call" in uses:
            yield f"{full}({label})", call(callee, *arguments)
            own = call(callee, callee, *arguments)
            yield f"{full}(itself, {label})", own
        if uses & {"new", "made"}:
            yield f"new {full}({label})", callee + b"(" + b"".join(arguments) + b"t\x81"
            yield f"reconstructed {full}({label})", call(glob("copyreg", "_reconstructor"), callee, *arguments[:2])
    made = [
        callee + b")\x81",
        callee + b")R",
        call(glob("numpy.core.multiarray", "_reconstruct"), callee, b"K\x00\x85", b"C\x01b"),
    ]
    for label, state in STATES.items():
        for number, start in enumerate(made):
            yield f"{full}, made in way {number}, with the state {label}", start + state + b"b"
        yield f"{full}, state {label}, twice", made[0] + state + b"b" + text("x") + b"b"
        yield f"{full}, state {label}, filled", made[0] + state + b"b" + CODE + b"a"
    yield f"{full}, appended to", made[0] + CODE + b"a"
    yield f"{full}, with an item", made[0] + text("planted_module") + CODE + b"s"
    yield f"{full}, added to", made[0] + b"(" + CODE + b"\x90"
    yield f"{full}, called by a bound function", call(glob("functools", "partial"), callee, CODE)


class _Worst:
    """Remembers whether anything above info was noted."""

    def __init__(self) -> None:
        self.clean = True

    def add(self, rule: str, message: str, **_: object) -> None:
        del message
        self.clean &= find_rule(rule).severity in ("info", "low")

    def incomplete(self, reason: str, **_: object) -> None:
        del reason
        self.clean = False

    def imported(self, name: str) -> None:
        """What is allowed may be imported."""


def is_clean(data: bytes) -> bool:
    limits = ScanLimits()
    judge = Judge(shipped_policy(), limits)
    end = Machine(BytesSource(data), judge, limits, Budget.of(limits)).run(0)
    notes = _Worst()
    judge.commit(Context(notes, limits, Budget.of(limits), lambda *_: None))
    return notes.clean and end.complete and not judge.nested


def accused(folder: Path, *, every_name: bool) -> list[str]:
    """Streams that the scan calls clean and that did something; the number of clean ones must be worth it."""
    clean = [
        (label, data) for label, body in streams(every_name=every_name) if is_clean(data := b"\x80\x04" + body + b".")
    ]
    assert len(clean) > 300
    documents = allowed_documents()
    modules = sorted({name.split()[0] for document in documents for name in (e["in"] for e in document["entries"])})
    (folder / "planted_module.py").write_text("print('imported')")
    (folder / "streams").write_bytes(pickle.dumps([data for _, data in clean]))
    (folder / "modules").write_text(json.dumps(modules))
    (folder / "next").write_text("0")
    (folder / "events").touch()
    worker = Path(__file__).with_name("hostile_worker.py")
    for _ in range(50):  # a crafted state may crash the library itself; the next process goes on behind it
        subprocess.run([sys.executable, worker, folder], check=False, capture_output=True, timeout=900)
        if int((folder / "next").read_text()) >= len(clean):
            break
    assert int((folder / "next").read_text()) == len(clean)
    assert not (folder / "planted.txt").exists()
    seen = [json.loads(line) for line in (folder / "events").read_text().splitlines()]
    return [f"{clean[number][0]}: {what}" for number, what in seen]


def test_nothing_called_clean_runs_code_opens_files_or_imports(tmp_path: Path) -> None:
    assert accused(tmp_path, every_name=False) == []


@pytest.mark.nightly
def test_nothing_called_clean_does_so_for_any_name(tmp_path: Path) -> None:
    assert accused(tmp_path, every_name=True) == []
