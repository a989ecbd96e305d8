"""The decision: what a person may allow, what nobody may, and that the raw verdict stays as it is."""

import collections
import pickle
from datetime import date
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, glob

from heliotrope.core.errors import ConfigError
from heliotrope.core.predicates.scan import ScanAllowance, ScanDocument
from heliotrope.scan import scan_paths
from heliotrope.scan.deciding import decide

TODAY = date(2026, 11, 25)
MODEL = b"cmypkg.models\nNet\n)\x81}(X\x01\x00\x00\x00aK\x01ub"
"""NEWOBJ of mypkg.models.Net, then its state."""


def allow(name: str, *uses: str, expires: str = "2027-01-01") -> ScanAllowance:
    return ScanAllowance.model_validate(
        {"global": name, "uses": uses or ("new", "build"), "reason": "our own class", "expires": expires}
    )


def decided(folder: Path, data: bytes, *allowances: ScanAllowance) -> ScanDocument:
    path = folder / "model.pkl"
    path.write_bytes(b"\x80\x02" + data + b".")
    return decide(scan_paths([path]), allowances, TODAY)


def test_what_is_allowed_is_lifted_and_the_raw_verdict_stays(tmp_path: Path) -> None:
    raw = decided(tmp_path, MODEL)
    assert raw.decision is None
    assert raw.decided == raw.verdict == "suspicious"
    document = decided(tmp_path, MODEL, allow("mypkg.models.Net"))
    assert document.verdict == "suspicious"
    assert document.files == raw.files
    assert document.decided == "clean"
    assert document.decision is not None
    (file,) = document.decision.files
    assert file.lifted == tuple(finding.fingerprint for finding in raw.files[0].findings)


@pytest.mark.parametrize(
    ("allowance", "verdict"),
    [
        (allow("mypkg.models.Net", "new"), "suspicious"),
        (allow("mypkg.models.Net", "build"), "suspicious"),
        (allow("mypkg.models.Net", "call", "build"), "suspicious"),
        (allow("mypkg.models.Net", "new", "build", "items"), "clean"),
        (allow("mypkg.models.*"), "clean"),
        (allow("mypkg.other.*"), "suspicious"),
        (allow("mypkg.models.Other"), "suspicious"),
        (allow("mypkg.models.Net", expires="2026-11-25"), "clean"),
        (allow("mypkg.models.Net", expires="2026-11-24"), "suspicious"),
    ],
)
def test_only_what_was_allowed_up_to_its_day(allowance: ScanAllowance, verdict: str, tmp_path: Path) -> None:
    assert decided(tmp_path, MODEL, allowance).decided == verdict


def test_expired_and_unneeded_allowances_are_said(tmp_path: Path) -> None:
    gone, other = allow("mypkg.models.Net", expires="2026-01-01"), allow("mypkg.models.Other")
    decision = decided(tmp_path, MODEL, gone, other).decision
    assert decision is not None
    assert (decision.expired, decision.unused, decision.applied) == ((gone,), (other,), ())


@pytest.mark.parametrize(
    "name",
    ["os.system", "posix.system", "builtins.eval", "subprocess.x.*", "builtins.getattr",
     "functools.partial", "torch.serialization.os.system", "importlib.import_module"],
)  # fmt: skip
def test_nobody_may_allow_what_is_dangerous(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be allowed"):
        decided(tmp_path, MODEL, allow(name))


def test_functions_of_a_module_are_allowed_one_by_one(tmp_path: Path) -> None:
    """A module holds what it imports: `from os import system` would be a name of it."""
    with pytest.raises(ConfigError, match="must be named"):
        decided(tmp_path, MODEL, allow("mypkg.models.*", "call"))


@pytest.mark.parametrize(
    "data",
    [
        MODEL + b"0" + SYSTEM,
        MODEL + b"0" + glob("torch.serialization", "os.system") + b"(S'x'\ntR",
        MODEL + b"0" + glob("mypkg.models", "Net.load") + b")R",  # reached through another object
        b"cmypkg.models\nNet\n)\x81q\x00}bh\x00}b",  # its state is set twice, which runs what the first one set
        b"cmypkg.models\nNet\n)\x81)R",  # what the object does when it is called
        glob("mypkg.models", "Net") + b"}b",  # changes the class itself
    ],
)
def test_other_findings_stay_whatever_is_allowed(data: bytes, tmp_path: Path) -> None:
    document = decided(
        tmp_path, data, allow("mypkg.models.Net", "new", "build", "call"), allow("mypkg.models.Net.load", "call")
    )
    assert document.decided in {"suspicious", "malicious"}


def test_a_file_that_was_not_read_to_its_end_is_not_allowed(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x02" + MODEL)
    assert decide(scan_paths([path]), [allow("mypkg.models.Net")], TODAY).decided == "incomplete"


@pytest.mark.parametrize(
    "change",
    [{"global": "Net"}, {"global": "mypkg.*"}, {"global": "mypkg.mod*"}, {"uses": ()}, {"reason": "x"}, {"expires": "2027-02-30"}, {"expires": "soon"},
     {"uses": ("everything",)}],
)  # fmt: skip
def test_an_allowance_without_reason_use_or_day_is_none(change: dict[str, object]) -> None:
    content: dict[str, object] = {
        "global": "a.B", "uses": ("new",), "reason": "our own class", "expires": "2027-01-01",
    }  # fmt: skip
    ScanAllowance.model_validate(content)
    with pytest.raises(ValueError, match="validation error"):
        ScanAllowance.model_validate({**content, **change})


def test_ordinary_files_need_no_decision(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(collections.OrderedDict(a=1)))
    assert decide(scan_paths([path]), [allow("a.B")], TODAY).decided == "clean"
