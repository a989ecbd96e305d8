"""The machine's records against Python's two unpicklers, which say what they would do and do none of it."""

import _compat_pickle
import pickle
import pickletools
import random
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, glob, rules, scan_bytes, text
from tests.unit.scan.unpicklers import Step, generated, hear, steps

from heliotrope.scan import ScanLimits
from heliotrope.scan.pickles.events import events
from heliotrope.scan.policy import shipped_policy


def missing(heard: list[Step], ours: list[Step]) -> Step | None:
    """The first step that an unpickler took and that does not come in our records, in order."""
    rest = iter(ours)
    for step in heard:
        for mine in rest:
            if mine == ("dispute",):
                return None
            if mine == step:
                break
        else:
            return step
    return None


def problem(data: bytes) -> str:
    """What an unpickler does and we do not say; empty when there is nothing."""
    seen, end = events(data)
    ours = steps(seen)
    for name, heard in hear(data):
        step = missing(heard.steps, ours)
        if step is not None:
            return f"{name}: {step} of {heard.steps}, ours {ours}, {end}"
        if (
            heard.end is not None
            and not {("dispute",), ("defect",)} & {*ours}
            and (heard.end, "") != (end.offset, end.reason)
        ):
            return f"{name}: ends at {heard.end}, ours {end}"
        if heard.end is not None and name == "Python" and _but_items(heard.steps) != _but_items(ours):
            return f"{name}: {heard.steps}, and we see more: {ours}"
    return ""


def _but_items(steps: list[Step]) -> list[Step]:
    """Without items, of which there may be none, extension codes, which are looked up once, and empty states of constants."""
    plain = {"constant", "text", "bytes", "tuple", "list", "dict", "set"}
    left_out = ("fill", "dispute", "defect", "extension")
    kept = [step for step in steps if step[0] not in left_out and (step[0] != "build" or step[1] not in plain)]
    return [step for step, before in zip(kept, [None, *kept], strict=False) if step != before or step[0] != "build"]


@settings(max_examples=1500)
@given(st.integers(0, 2**64))
def test_all_that_an_unpickler_does_is_among_the_events(seed: int) -> None:
    assert problem(generated(seed)) == ""


CALL = b"(S'x'\ntR"
BY_ONE_OF_THEM = {
    "hexadecimal": b"I0x10\n0" + SYSTEM + b".",
    "octal": b"I010\n0" + SYSTEM + b".",
    "an underscore": b"I1_0\n0" + SYSTEM + b".",
    "a long hexadecimal": b"L0x10L\n0" + SYSTEM + b".",
    "nothing but a null byte": b"I\0\n0" + SYSTEM + b".",
    "a number up to a null byte": b"I1\0junk\n0" + SYSTEM + b".",
    "a float up to a null byte": b"F1\0junk\n0" + SYSTEM + b".",
    "a float with underscores": b"F1_0.5\n0" + SYSTEM + b".",
    "a memo index up to a null byte": b"Np1\0junk\n0g1\n0" + SYSTEM + b".",
    "a memo index with many zeros": glob("posix", "system") + b"p" + b"0" * 60 + b"5\n0g5\n" + CALL + b".",
    "a memo index with spaces and sign": glob("posix", "system") + b"p +0_5 \n0h\x05" + CALL + b".",
    "a memo index of twenty digits": glob("posix", "system") + b"p" + b"9" * 20 + b"\n0g" + b"9" * 20 + b"\n" + CALL,
    "an import at the end, without its newline": b"cposix\nsystemX",
    "a call at the end, without its newline": b"(S'true'\niposix\nsystemX",
    "a module at the end, without its newline": b"cposixX",
    "arguments in a list": glob("posix", "system") + b"](S'true'\neR.",
    "arguments in text": glob("posix", "system") + text("x") + b"R.",
    "an append by another one's extend": glob("posix", "system") + b"Na.",
    "empty names": b"c\n\n0" + SYSTEM + b".",
    "bytes and text mixed as names": b"U\x05posix" + text("system") + b"\x93" + CALL + b".",
    "an out-of-band buffer": b"\x80\x05\x97\x980" + SYSTEM + b".",
    "a stream without an end": SYSTEM,
    "an opcode that is none": SYSTEM + b"\xff",
    "two marks": b"((" + SYSTEM + b"10N.",
    "odd items": b"}(NNN" + SYSTEM + b"0u.",
    "a frame longer than the file": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + SYSTEM + b".",
}


@pytest.mark.parametrize("name", BY_ONE_OF_THEM)
def test_what_only_one_unpickler_reads(name: str, tmp_path: Path) -> None:
    data = BY_ONE_OF_THEM[name]
    assert problem(data) == ""
    assert any(heard.steps for _, heard in hear(data))
    report = scan_bytes(tmp_path, data)
    assert report.verdict in ("malicious", "suspicious")


def frame(size: int) -> bytes:
    return b"\x95" + struct.pack("<Q", size)


SPLIT = {
    "a name across frames": frame(6) + b"cnumpy" + b"posix\nsystem\n" + CALL + b".",
    "text across frames": frame(4)
    + text("abc" + SYSTEM.decode() + ".")[:4]
    + text("abc" + SYSTEM.decode() + ".")[4:]
    + b".",
    "a name that is broken in front": frame(3) + b"c\xff\xff" + b"posix\nsystem\n" + CALL + b".",
    "a frame that begins in another one": frame(20) + b"N0" + frame(20) + b"N0" * 6 + SYSTEM + b".",
    "what follows in the frame of the last opcode": frame(40) + b"N." + b"N0" * 19 + SYSTEM + b".",
}


@pytest.mark.parametrize("name", SPLIT)
def test_what_unpicklers_read_in_different_ways_is_a_finding(name: str, tmp_path: Path) -> None:
    """From a file, the unpickler of C drops what is left of a frame when an opcode needs more."""
    report = scan_bytes(tmp_path, b"\x80\x04" + SPLIT[name])
    assert report.verdict in ("malicious", "suspicious")
    assert "pickle-split-frame" in rules(report)


@pytest.mark.parametrize("protocol", [4, 5])
def test_frames_of_picklers_are_no_finding(protocol: int, tmp_path: Path) -> None:
    for value in (
        tuple(range(300_000)),
        [(0.5, None)] * 200_000,
        "x" * 100_000,
        [str(number) * 10 for number in range(50_000)],
        [bytes(70_000), b"x" * 65_000] * 3,
    ):
        for dump in (pickle.dumps, pickle._dumps):  # type: ignore[attr-defined]
            report = scan_bytes(tmp_path, dump(value, protocol))
            assert (report.verdict, report.findings) == ("clean", ())
            assert scan_bytes(tmp_path, pickletools.optimize(dump(value, protocol))).verdict == "clean"


def test_names_of_python_2_are_those_of_the_real_mapping() -> None:
    mapped = shipped_policy().python3_name
    for module, renamed in _compat_pickle.IMPORT_MAPPING.items():
        assert mapped(module, "anything") == (renamed, "anything")
    for names, renamed_names in _compat_pickle.NAME_MAPPING.items():
        assert mapped(*names) == renamed_names
    assert mapped("acme", "thing") == ("acme", "thing")


def test_an_event_says_where_what_and_with_which_arguments() -> None:
    data = b"\x80\x02" + glob("__builtin__", "eval") + text("1") + b"\x85R."
    (imported, called), end = events(data)
    assert (imported.offset, imported.module, imported.resolved) == (2, "__builtin__", ("builtins", "eval"))
    assert called.target is not None
    assert (called.kind, called.use, called.target.text) == ("call", "call", "__builtin__.eval")
    assert called.arguments is not None
    assert [(item.kind, item.text) for item in called.arguments.items or ()] == [("text", "1")]
    assert (end.complete, end.offset) == (True, len(data))


@settings(max_examples=10)
@given(st.integers(0, 2**64), st.integers(2, 400))
def test_repetitions_that_are_passed_over_change_nothing(seed: int, length: int) -> None:
    """A unit repeated beyond a chunk's size, with a payload behind it at every phase."""
    choose = random.Random(seed)
    units = (
        b"N0",
        b"K\x010",
        b"(NN1",
        b"](K\x01K\x02e0",
        b"\x8c\x01a0",
        b"}0",
        b")\x850",
        b"(Nt0",
        b"Nq\x000",
        b"h\x000",
    )
    unit = b"".join(choose.choice(units) for _ in range(length))
    data = b"\x80\x04Nq\x000" + unit * (350_000 // len(unit)) + SYSTEM + b"."
    seen, end = events(data)
    assert (end.complete, end.offset) == (True, len(data))
    assert [event.kind for event in seen] == ["import", "call"]
    assert seen[0].offset == len(data) - len(SYSTEM) - 1


def test_a_repetition_that_grows_is_not_passed_over() -> None:
    data = b"\x80\x04(" + b"N\x94" * 400_000 + b"t."
    _, end = events(data)
    assert (end.complete, end.opcodes) == (True, 800_004)
    _, end = events(b"\x80\x04(" + b"N\x94" * 400_000 + b"t.", limits=ScanLimits(max_memo=300_000))
    assert end.limit == "max_memo"


def test_a_payload_at_the_end_of_a_run_of_constants_keeps_its_place() -> None:
    for constant in (b"N", b"\x88", b"K\x2e", b"M\x2e\x2e", b"J....", b"G........"):
        for count in (7, 8, 9, 100_000):
            data = b"\x80\x04(" + constant * count + b"t0" + SYSTEM + b"."
            seen, end = events(data)
            assert (end.complete, end.offset, seen[0].offset) == (True, len(data), len(data) - len(SYSTEM) - 1)


def test_too_many_events_are_incomplete() -> None:
    seen, end = events(SYSTEM * 100, limits=ScanLimits(max_events=50))
    assert (len(seen), end.limit) == (50, "max_events")
