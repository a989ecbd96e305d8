"""The decoded program around a finding, wherever the pickle lies and however it ends."""

import io
import pickle
import zipfile
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, gallery, scan_bytes

from heliotrope.cli._main import root
from heliotrope.core.errors import UsageError
from heliotrope.scan.explaining import explain
from heliotrope.scan.pickles.listing import instructions
from heliotrope.scan.sources import BytesSource

PAYLOAD = b"\x80\x04X\x05\x00\x00\x00hello0" + SYSTEM + b"."


def put(folder: Path, data: bytes, name: str = "m.pkl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def zipped(data: bytes, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def shown(path: Path, **place: object) -> list[tuple[str, str]]:
    """Name and argument of the instruction at each place."""
    _, places = explain(path, **place)  # type: ignore[arg-type]
    return [(line.instruction.name, line.instruction.argument) for item in places for line in item.lines if line.here]


@pytest.mark.parametrize(
    ("data", "name", "member"),
    [
        (PAYLOAD, "m.pkl", None),
        (zipped(PAYLOAD, "a/data.pkl"), "m.pt", "a/data.pkl"),
        (zipped(zipped(PAYLOAD, "in.pkl"), "x.zip"), "m.zip", "x.zip!in.pkl"),
        (zlib.compress(PAYLOAD), "m.joblib", "unpacked"),
    ],
)
def test_the_call_is_shown_in_whatever_it_lies(data: bytes, name: str, member: str | None, tmp_path: Path) -> None:
    _, places = explain(put(tmp_path, data, name))
    (place,) = [item for item in places if item.finding and item.finding.rule == "pickle-dangerous-call"]
    assert place.location.member == member
    (here,) = [line for line in place.lines if line.here]
    assert here.instruction.name == "REDUCE"
    assert any("posix.system" in f"{line.instruction.argument} {line.effect}" for line in place.lines)
    assert place.lines[0].instruction.name == "PROTO"


@pytest.mark.parametrize("tail", [b"", b"\xff\xff", b"c"])
def test_a_broken_stream_is_listed_up_to_where_it_breaks(tail: bytes, tmp_path: Path) -> None:
    assert ("REDUCE", "") in shown(put(tmp_path, PAYLOAD[:-1] + tail))


def test_what_lies_between_other_data_is_shown_from_its_place(tmp_path: Path) -> None:
    path = put(tmp_path, b"\x80\x04N." + bytes(1000) + PAYLOAD)
    assert ("REDUCE", "") in shown(path)
    _, (place,) = explain(path, offset=50)
    assert place.note == "there is no pickle opcode at this place"
    _, (place,) = explain(path, offset=5000)
    assert "bytes" in place.note


def test_one_finding_is_chosen_by_its_fingerprint(tmp_path: Path) -> None:
    data = b"\x80\x04cmypkg\nf\n)R0" + SYSTEM + b"."
    report = scan_bytes(tmp_path, data)
    wanted = next(item for item in report.findings if item.global_ == "mypkg.f")
    _, places = explain(tmp_path / "model.pkl", finding=wanted.fingerprint[:10])
    assert [item.finding for item in places] == [wanted]
    with pytest.raises(UsageError, match="no finding"):
        explain(tmp_path / "model.pkl", finding="ffff0000ffff")


def test_every_finding_of_the_gallery_with_a_place_is_shown(tmp_path: Path) -> None:
    gallery().build(tmp_path)
    for path in sorted(item for item in tmp_path.rglob("*") if item.is_file()):
        _, places = explain(path)
        for place in places:
            if place.finding is not None and place.finding.rule == "pickle-dangerous-call":
                assert any(line.here for line in place.lines), (path.name, place)


def test_names_and_values_cannot_steer_a_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J\u202e\n"
    data = b"\x80\x04" + b"X" + len(evil.encode()).to_bytes(4, "little") + evil.encode() + b"0" + SYSTEM + b"."
    path = put(tmp_path, zipped(data, f"a{evil}.pkl"), "m\x1b[31m.zip")
    done = CliRunner().invoke(root, ["scan", "--explain", str(path)])
    assert done.exit_code == 0, done.output
    assert "REDUCE" in done.output
    assert not set(done.output) & {"\x1b", "\u202e", "\x7f"}


def test_a_folder_is_not_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        explain(tmp_path)


def test_options_that_belong_together(tmp_path: Path) -> None:
    path = str(put(tmp_path, PAYLOAD))
    for arguments in (["--offset", "3", path], ["--explain", path, path], ["--explain", "-"], []):
        assert CliRunner().invoke(root, ["scan", *arguments], standalone_mode=False).exception is not None


@given(st.binary(max_size=200))
def test_any_bytes_are_listed_without_error(data: bytes) -> None:
    end = 0
    for item in instructions(BytesSource(data), 0, 1000):
        assert item.offset == end
        assert item.size > 0
        assert (item.name + item.argument).isprintable()
        end = item.offset + item.size
    assert end <= len(data)


@given(st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary(), st.lists), st.integers(0, 5))
def test_what_picklers_write_is_listed_whole(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    *_, last = instructions(BytesSource(data), 0, 10_000)
    assert (last.name, last.offset) == ("STOP", len(data) - 1)
