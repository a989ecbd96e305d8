"""Files inside of files that a loader opens in turn: bytes handed to loaders, saved agents, NeMo's configuration."""

import base64
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.archive_builder import tarred
from tests.unit.scan.assembler import SYSTEM as CALL_SYSTEM
from tests.unit.scan.assembler import scan_bytes, zipped

from heliotrope.core.predicates.scan import FileReport

CAUGHT = {"malicious", "suspicious"}
SYSTEM = b"\x80\x03" + CALL_SYSTEM + b"."


def scanned(folder: Path, name: str, data: bytes) -> FileReport:
    return scan_bytes(folder, data, name)


def called(module: str, name: str, *arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n(".encode() + b"".join(arguments) + b"tR"


def content(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def stream(expression: bytes) -> bytes:
    return b"\x80\x03" + expression + b"."


ROUTES = {
    "pickle.loads": lambda inner: called("pickle", "loads", content(inner)),
    "_pickle.loads": lambda inner: called("_pickle", "loads", content(inner)),
    "torch.load": lambda inner: called("torch", "load", called("io", "BytesIO", content(inner))),
    "numpy.load": lambda inner: called("numpy", "load", called("io", "BytesIO", content(inner))),
    "joblib.load": lambda inner: called("joblib", "load", called("_io", "BytesIO", content(inner))),
    "somebody's": lambda inner: called("mine", "restore", content(inner)),
    "torch.storage": lambda inner: called("torch.storage", "_load_from_bytes", content(inner)),
}


@pytest.mark.parametrize("route", ROUTES)
def test_what_bytes_hold_is_named(route: str, tmp_path: Path) -> None:
    report = scanned(tmp_path, "m.pkl", stream(ROUTES[route](SYSTEM)))
    assert report.verdict == "malicious"
    inside = [item for item in report.findings if item.global_ == "posix.system"]
    assert inside
    assert all("bytes at" in (place.member or "") for item in inside for place in item.locations)


@pytest.mark.parametrize("route", [name for name in ROUTES if name != "torch.storage"])
def test_a_harmless_inside_does_not_excuse_the_call(route: str, tmp_path: Path) -> None:
    report = scanned(tmp_path, "m.pkl", stream(ROUTES[route](pickle.dumps([1, 2]))))
    assert report.verdict in CAUGHT
    assert not any(item.global_ == "posix.system" for item in report.findings)


@pytest.mark.torch
def test_a_tensor_as_pickle_writes_it_is_clean(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    assert scanned(tmp_path, "m.pkl", pickle.dumps({"w": torch.ones(3)})).verdict == "clean"


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
def test_loaders_in_loaders(depth: int, tmp_path: Path) -> None:
    data = SYSTEM
    for _ in range(depth):
        data = stream(called("torch.storage", "_load_from_bytes", content(data)))
    assert scanned(tmp_path, "m.pkl", data).verdict in CAUGHT


def test_many_bytes_are_opened_up_to_a_number_and_the_calls_all_count(tmp_path: Path) -> None:
    data = stream(b"]" + b"".join(called("pickle", "loads", content(pickle.dumps([n]))) + b"a" for n in range(200)))
    report = scanned(tmp_path, "m.pkl", data)
    assert report.verdict == "malicious"
    (finding,) = report.findings
    assert finding.count == 200


def agent(**values: Any) -> bytes:
    return zipped(
        {"data": json.dumps(values).encode(), "_stable_baselines3_version": b"2.3.0", "system_info.txt": b"-"}
    )


def serialized(data: bytes) -> dict[str, str]:
    return {":type:": "<class 'x'>", ":serialized:": base64.b64encode(data).decode()}


def test_pickles_in_a_saved_agent_are_inspected(tmp_path: Path) -> None:
    report = scanned(tmp_path, "ppo.zip", agent(gamma=0.9, policy=serialized(SYSTEM)))
    assert report.verdict == "malicious"
    (place,) = report.findings[0].locations
    assert place.member == "data!serialized"


def test_a_saved_agent_of_plain_values_is_clean(tmp_path: Path) -> None:
    values = {"gamma": 0.9, "obs": serialized(pickle.dumps({"a": (1, 2)})), "name": ":serialized:"}
    assert scanned(tmp_path, "ppo.zip", agent(**values)).verdict == "clean"


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"a": serialized(SYSTEM)}).replace(":serialized:", "\\u003aserialized:").encode(),
        b"\xef\xbb\xbf \n" + json.dumps({"a": serialized(SYSTEM)}).encode(),
        b" " * 5000 + json.dumps({"a": serialized(SYSTEM)}).encode(),
        json.dumps({"b": {"deep": [{"a": serialized(SYSTEM)}]}}).encode(),
        json.dumps({"a": {":serialized:": "-" + base64.b64encode(SYSTEM).decode()}}).encode(),
        f'{{"a": {json.dumps(serialized(SYSTEM))}, "a": 1}}'.encode(),
    ],
    ids=["escaped key", "mark and space", "blanks", "deep", "odd characters", "key twice"],
)
def test_however_it_is_written(data: bytes, tmp_path: Path) -> None:
    assert scanned(tmp_path, "ppo.zip", zipped({"data": data})).verdict == "malicious"


@pytest.mark.parametrize("text", ["", "A", "####", "gAR9", 5, None, ["gA=="]])
def test_what_is_no_pickle_is_incomplete_at_least(text: Any, tmp_path: Path) -> None:
    report = scanned(tmp_path, "ppo.zip", agent(policy={":serialized:": text}))
    assert report.verdict != "clean"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200), st.binary(max_size=3))
def test_damage_is_never_clean(cut: int, extra: bytes) -> None:
    import tempfile

    whole = json.dumps({"policy": serialized(SYSTEM)}).encode()
    data = zipped({"data": whole[: min(cut, len(whole) - 1)] + extra})
    with tempfile.TemporaryDirectory() as folder:
        report = scanned(Path(folder), "ppo.zip", data)
    assert report.verdict != "clean" or b"serialized" not in whole[:cut]


GOOD = b"""target: nemo.collections.asr.models.EncDecCTCModel
sample_rate: 16000
preprocessor:
  _target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor
"""
BAD = b"encoder:\n  _target_: os.system\n  command: id\n"
WEIGHTS = zipped({"archive/data.pkl": pickle.dumps({"w": 1.0}, 2), "archive/version": b"3\n"})


@pytest.mark.parametrize("folder", ["", "./"])
def test_an_ordinary_nemo_archive_is_clean(folder: str, tmp_path: Path) -> None:
    data = tarred(
        (f"{folder}model_config.yaml", GOOD), (f"{folder}model_weights.ckpt", WEIGHTS), (f"{folder}vocab.txt", b"a\n")
    )
    assert scanned(tmp_path, "m.nemo", data).verdict == "clean"


@pytest.mark.parametrize("configurations", [(GOOD, BAD), (BAD, GOOD)], ids=["last", "first"])
@pytest.mark.parametrize("names", [("model_config.yaml",) * 2, ("./model_config.yaml", "model_config.yaml")])
def test_either_of_two_configurations_counts(
    names: tuple[str, str], configurations: tuple[bytes, bytes], tmp_path: Path
) -> None:
    members = [*zip(names, configurations, strict=True), ("model_weights.ckpt", WEIGHTS)]
    report = scanned(tmp_path, "m.nemo", tarred(*members))
    assert report.verdict == "malicious"
    assert {"tar-duplicate-member", "config-dangerous-target"} <= {item.rule for item in report.findings}


@pytest.mark.parametrize(
    ("target", "verdicts"),
    [
        ("os.system", {"malicious"}),
        ("mine.Model", {"suspicious"}),
        ("nemo.collections.nlp.models.GLUEModel", {"clean"}),
    ],
)
def test_the_class_that_nemo_restores_is_judged(target: str, verdicts: set[str], tmp_path: Path) -> None:
    data = tarred(("model_config.yaml", f"target: {target}\nlr: 0.1\n".encode()), ("model_weights.ckpt", WEIGHTS))
    assert scanned(tmp_path, "m.nemo", data).verdict in verdicts


def test_a_target_elsewhere_is_no_class(tmp_path: Path) -> None:
    """A column, say."""
    assert (
        scanned(
            tmp_path, "m.tar", tarred(("settings.yaml", b"target: price.total\n"), ("w.pkl", pickle.dumps(1)))
        ).verdict
        == "clean"
    )


def test_bytes_are_read_by_position(tmp_path: Path) -> None:
    """A large member: its bytes are not held twice."""
    inner = pickle.dumps(bytes(300_000)) + SYSTEM
    report = scanned(tmp_path, "m.pkl", stream(called("pickle", "loads", content(inner))))
    assert report.verdict == "malicious"
