"""JSON that stands for Python objects, and programs under the names of weights."""

import base64
import json
from pathlib import Path

import pytest
from tests.unit.scan.assembler import SYSTEM, call, rules, scan_bytes, text, torch_zip, zipped
from tests.unit.scan.framework_files import elf, portable

from heliotrope.scan import ScanLimits

PAYLOAD = b"\x80\x02" + call(SYSTEM, text("true")) + b"."
ORDINARY = b"\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s."


def saved(pickled: bytes) -> bytes:
    """A model as Stable-Baselines3 lays it out."""
    value = {":type:": "<class 'abc.ABCMeta'>", ":serialized:": base64.b64encode(pickled).decode()}
    data = json.dumps({"policy_class": value, "n_steps": 2048}).encode()
    return zipped({"data": data, "policy.pth": torch_zip(b"\x80\x02}."), "_stable_baselines3_version": b"2.3.2"})


def test_pickles_in_the_data_of_a_reinforcement_learning_model(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, saved(PAYLOAD), "ppo.zip")
    assert report.verdict == "malicious"
    assert {"json-pickled-object", "pickle-dangerous-call"} <= rules(report)
    ordinary = scan_bytes(tmp_path, saved(ORDINARY), "ppo.zip")
    assert (ordinary.verdict, "json-pickled-object" in rules(ordinary)) == ("clean", True)


@pytest.mark.parametrize(
    "document",
    [
        '{"py/object": "os.system"}',
        '{"py/type": "subprocess.Popen"}',
        " " * 100 + '{"py/object": "os.system"}',
        '{"py/repr": "os/os.system(1)"}',
        r'{"py\u002fobject": "posix.system"}',
        r'{"py\/object": "posix.system"}',
        '[1, {"a": {"py/function": "builtins.eval"}}]',
        '{"py/object": "os.system", "py/object": "acme.Config"}',
    ],
)
def test_tags_of_jsonpickle(document: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, document.encode(), "m.json").verdict == "malicious"


@pytest.mark.parametrize(
    "document",
    ['{"py/object": "collections.OrderedDict"}', '{"py/tuple": [1]}', '{"note": "py/object: os.system"}', '{"a": 1}'],
)
def test_ordinary_documents_are_clean(document: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, document.encode(), "m.json").verdict == "clean"


def test_what_cannot_be_read_is_incomplete(tmp_path: Path) -> None:
    whole = json.dumps({"a": {":serialized:": base64.b64encode(ORDINARY).decode()}}).encode()
    assert scan_bytes(tmp_path, whole, "m.json").verdict == "clean"
    for cut in range(whole.index(b'": "') + 1, len(whole)):
        assert scan_bytes(tmp_path, whole[:cut], "m.json").verdict in ("incomplete", "clean")
    for bad in (b'{":serialized:": "A"}', b'{":serialized:": "YWJj"}', b"[" * 100_000 + b'{":serialized:":'):
        assert scan_bytes(tmp_path, bad, "m.json").verdict == "incomplete"
    assert scan_bytes(tmp_path, whole, "m.json", limits=ScanLimits(max_config_bytes=20)).verdict == "incomplete"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model-00001-of-00002.bin", "training_args.bin", "model.dat"])
def test_programs_under_the_names_of_weights(name: str, tmp_path: Path) -> None:
    for program in (elf(), portable(), b"#!/bin/sh\ntrue\n"):
        report = scan_bytes(tmp_path, program, name)
        assert (report.verdict, rules(report)) == ("suspicious", {"embedded-executable"})


def test_programs_by_other_names_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bin/llama-cli", "bin/convert.bin"):
        assert scan_bytes(tmp_path, elf(), name).verdict not in ("suspicious", "malicious")
