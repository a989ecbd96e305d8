"""The cheap condition under which an analyser is imported lets through all that the analyser accepts."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.corpus.store import STORE

from heliotrope.scan.analysers import ANALYSERS, HEAD, TEXTS, Registered
from heliotrope.scan.sources import BytesSource

_MAGICS = (
    b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\1\0", b"GGUF\3\0\0\0", b"version https://git-lfs", b"\0\0\x08\1",
    b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0", b"]\0\0", b"x\x9c", b"(\xb5/\xfd", b'\x04"M\x18', b"ZF0x", b"tree\nversion=v4\n",
    b"CBM1", b"\x89HDF\r\n\x1a\n", b'{"learner":', b" \n{", b'{"class_name":', b"{L\0\0\0\0\0\0\0\x07learner", b"\x08\x08\x12",
    b"\x0a\x04\x08\1", b"\0\0\0\0TFL3", b"PAR1", b"ARROW1\0\0", b"\x81\xa1a\xc7", b"\xde\0\1", b"flavors:\n", b"    PTMF", b"    ET12",
    b"ftrt", b"RKNN", b"7767517\n", b"RDX3\nX\n\0\0\0\3\0\4\2", b"X\n\0\0\0\3\0\4\2", b"A\n3\n26", b"B\n\3\0\0\0", b"B\0C\0N\0\0\0",
    b"3\n1\n3\nV 1\n", b"\3\0\0\0\1\0\0\0\3\0\0\0V 1", b"<PMML ", b"\xff\xfe<\0", b"\xef\xbb\xbf<net version='1'> <layers>", b"\x7fELF\2\1\1",
    b"MZ\x90", b"#!/bin/sh\n", b"\xca\xfe\xba\xbe\0\0\0\2", b"\xcf\xfa\xed\xfe", b"\xa7\r\r\n\0\0\0\0", b"\x80\x04", b"(lp0\n", b"cos\nsystem\n",
    b"\x12\1" + bytes(14), b"\x10\0\0\0\0\0\0\0{",
)  # fmt: skip
_NAMES = (
    "model", "model.onnx", "a/saved_model.pb", "fingerprint.pb", "x.index", "model.safetensors", "MLmodel", "mlmodel", "d.CSV",
    "m.h5", "m.keras", "m.msgpack", "m.pkl", "run.pt", "keras_metadata.pb", "Config.JSON", "chat.jinja", ".env", "t.tsv",
)  # fmt: skip


def _missed(data: bytes, name: str) -> list[str]:
    source = BytesSource(data)

    def overlooked(registered: Registered) -> bool:
        accepted = registered.load().accepts(source, name)
        return accepted and not registered.may(data[:HEAD], name.lower(), source)

    return [registered.format for registered in (*ANALYSERS, TEXTS) if overlooked(registered)]


@given(st.sampled_from(_MAGICS), st.binary(max_size=700), st.sampled_from(_MAGICS), st.sampled_from(_NAMES))
def test_no_beginning_is_overlooked(head: bytes, middle: bytes, tail: bytes, name: str) -> None:
    assert _missed(head + middle + tail, name) == []
    assert _missed(head.ljust(512, b"\0") + tail + middle, name) == []


@pytest.mark.parametrize("archive", sorted(STORE.glob("*.zip")), ids=lambda path: path.stem)
def test_no_ordinary_file_is_overlooked(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            assert _missed(file.read(name), name) == [], name


@pytest.mark.parametrize("registered", [*ANALYSERS, TEXTS], ids=lambda registered: registered.name)
def test_each_is_what_its_row_says(registered: Registered) -> None:
    assert registered.load().format == registered.format
    assert registered.load() is registered.load()
