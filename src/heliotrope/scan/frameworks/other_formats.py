"""Formats that are recognised by their content and not inspected; programs inside are named all the same.

Sources: the formats' own descriptions and the code that writes them.
"""

import re

from heliotrope.scan.frameworks.executables import search_programs
from heliotrope.scan.frameworks.torch_script import check_bytecode
from heliotrope.scan.interface import Context, Recognised, Source

__all__ = ["OtherAnalyser", "other_format"]

_HEAD = 4096
_MAGICS: tuple[tuple[int, bytes, str], ...] = (
    (4, b"PTMF", "torch-mobile"),
    (4, b"ET", "executorch"),
    (0, b"ftrt", "tensorrt"),
    (0, b"ptrt", "tensorrt"),
    (0, b"RKNN", "rknn"),
    (0, b"7767517\n", "ncnn"),
    (0, b"\x12\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "mxnet-params"),
    (0, b"B\0C\0N\0\0\0", "cntk"),
    (0, b"RDX2\n", "r-data"),
    (0, b"RDX3\n", "r-data"),
    (0, b"RDA2\n", "r-data"),
    (0, b"RDA3\n", "r-data"),
)
_EXECUTORCH = re.compile(rb"....ET\d\d", re.DOTALL)
_R_SERIALIZED = re.compile(rb"(?:X\n\0\0\0[\x02\x03]\0[\x01-\x05]..|B\n[\x02\x03]\0\0\0|A\n[23]\n\d+\n)", re.DOTALL)
_TORCH7 = re.compile(rb"(?:[\x03\x04]\0\0\0.\0\0\0\x03\0\0\0V 1|[34]\n\d+\n3\nV 1\n)", re.DOTALL)
_PMML = re.compile(r"<(?:\w+:)?PMML[\s>]")
_OPENVINO = re.compile(r"<net\s[^<>]*\bversion\s*=[^<>]*>\s*<layers>")
_ENTITY = re.compile(r"<!(?:ENTITY|DOCTYPE)", re.IGNORECASE)
_MXNET_SYMBOL = re.compile(rb'\s*\{\s*"nodes"\s*:\s*\[\s*\{\s*"op"\s*:')
_COREML_PACKAGE = re.compile(rb'\s*\{\s*"fileFormatVersion"\s*:[^{]*"itemInfoEntries"\s*:')


def other_format(source: Source) -> str | None:
    """The format by its content; None when it is none of these."""
    head = source.read(0, _HEAD)
    for offset, magic, label in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            if label == "executorch" and not _EXECUTORCH.match(head):
                continue
            return label
    for pattern, label in (
        (_R_SERIALIZED, "r-data"),
        (_TORCH7, "torch7"),
        (_MXNET_SYMBOL, "mxnet-symbol"),
        (_COREML_PACKAGE, "coreml-package"),
    ):
        if pattern.match(head):
            return label
    return _markup(head)


def _markup(head: bytes) -> str | None:
    text = _text(head)
    if text.lstrip("\ufeff \t\r\n")[:1] != "<":
        return None
    if _PMML.search(text):
        return "pmml"
    return "openvino" if _OPENVINO.search(text) else None


def _text(head: bytes) -> str:
    """XML says its encoding by how it begins."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", "replace")
    if head[:4] == b"<\0?\0":
        return head.decode("utf-16-le", "replace")
    if head[:4] == b"\0<\0?":
        return head.decode("utf-16-be", "replace")
    return head.decode("utf-8", "replace")


class OtherAnalyser:
    """All of them; the verdict is unsupported at best."""

    format = "other"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return other_format(source) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        label = other_format(source) or "unknown"
        if label in ("pmml", "openvino") and _ENTITY.search(_text(source.read(0, _HEAD))):
            message = "the document declares a document type or entities, which may name files and addresses"
            context.notes.add("xml-entity", message, key="entity", member=context.member)
        if label == "torch-mobile":
            check_bytecode(source, context)
        search_programs(source, context)
        return Recognised(label, supported=False)
