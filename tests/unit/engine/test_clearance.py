"""Clearances: given for clean bytes only, by one scanner only."""

import pickle

import pytest

import heliotrope
from heliotrope.core.clearances import Clearance
from heliotrope.core.errors import InputError, InternalError
from heliotrope.core.records import sha256_hex
from heliotrope.engine import clearance
from heliotrope.engine.clearance import clear, clearer
from heliotrope.engine.registry import checks
from heliotrope.scan import policy_digest

PLAIN = pickle.dumps({"a": [1, 2]})
SYSTEM = b"cposix\nsystem\n(S'true'\ntR."


@pytest.fixture
def registered(monkeypatch):
    """The list of scanners, put back afterwards."""
    checks()
    monkeypatch.setattr(clearance, "_registered", list(clearance._registered))
    return clearance._registered


def test_a_clearance_says_what_was_judged_by_whom():
    data = b"\x80\x02ccollections\nOrderedDict\n)Rcdatetime\ndate\n\x86."
    given = clear(data, "m.pkl")
    assert given == Clearance(
        sha256=sha256_hex(data),
        size=len(data),
        format="pickle",
        scanner_version=heliotrope.__version__,
        policy_digest=policy_digest(),
        globals=("collections.OrderedDict", "datetime.date"),
    )
    assert clear(PLAIN, "m.pkl").globals == ()


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (SYSTEM, "malicious: calls posix.system"),
        (b"\x80\x02cacme\nNet\n)R.", "suspicious: calls acme.Net"),
        (PLAIN[:-1], "incomplete: a frame is longer than the file"),
        (b"tjgg" + bytes(40), "unsupported: the format ggml cannot be inspected"),
        (b"hello", "unsupported"),
        (b"", "unsupported"),
    ],
)
def test_anything_but_clean_is_refused_with_verdict_and_hint(data, verdict):
    with pytest.raises(InputError) as caught:
        clear(data, "m.pkl\x1b[31m")
    assert f"the scan's verdict is {verdict}" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.hint


def test_a_second_scanner_cannot_take_over(registered):
    def lax(data, name):
        raise AssertionError

    with pytest.raises(InternalError, match="two plug-ins give clearances"):
        clearer(lax)
    assert clear(PLAIN, "m.pkl").size == len(PLAIN)


def test_without_a_scanner_nothing_is_cleared(registered):
    registered.clear()
    with pytest.raises(InternalError, match="no plug-in gives clearances"):
        clear(PLAIN, "m.pkl")


def test_a_clearance_of_other_bytes_is_noticed(registered):
    other = clear(PLAIN, "m.pkl")
    registered[:] = [lambda data, name: other]
    with pytest.raises(InternalError, match="other bytes"):
        clear(SYSTEM, "m.pkl")
