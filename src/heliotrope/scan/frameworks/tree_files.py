"""Native files of XGBoost, LightGBM and CatBoost. They hold trees, not code: what is inspected is that they are nothing else.

The structure is walked to the last byte. Whether a tree's own indices stay inside the tree is left to the library.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.wire.json_stream import JsonError, Place, walk_json
from heliotrope.scan.wire.ubjson import UbjsonError, walk_ubjson

__all__ = ["CatboostAnalyser", "JsonTreesAnalyser", "LightgbmAnalyser", "UbjsonTreesAnalyser"]

_HEAD = 256
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class _Layout:
    """The keys of a model's outermost object, and of the one that tells it from other files."""

    required: frozenset[Place]
    allowed: frozenset[Place]


def _places(text: str) -> frozenset[Place]:
    return frozenset(tuple(word.split(".")) for word in text.split())


_XGBOOST = _Layout(
    required=_places("learner version learner.gradient_booster learner.learner_model_param learner.objective"),
    allowed=_places(
        "learner version learner.gradient_booster learner.learner_model_param learner.objective learner.attributes "
        "learner.feature_names learner.feature_types learner.cats learner.metrics learner.learner_train_param "
        "learner.generic_param"
    ),
)
_CATBOOST = _Layout(
    required=_places("features_info model_info"),
    allowed=_places("features_info model_info oblivious_trees trees scale_and_bias ctr_data"),
)


def _judge(values: Iterator[tuple[Place, bytes]], layout: _Layout, depth: int, context: Context) -> None:
    """Walk to the end; what is missing or does not belong there leaves the verdict open."""
    found: set[Place] = set()
    for place, marker in values:
        if not place:
            if marker != b"{":
                context.notes.incomplete("the model is no object", member=context.member)
        elif len(place) <= depth and "" not in place:
            found.add(place)
    missing = sorted(".".join(place) for place in layout.required - found)
    if missing:
        context.notes.incomplete(f"the model has no {missing[0]}", member=context.member)
    inside = {
        place for place in found if len(place) == 1 or place[0] in {item[0] for item in layout.allowed if len(item) > 1}
    }
    strange = sorted(".".join(place) for place in inside - layout.allowed)
    if strange:
        shown = shorten(printable(strange[0]), 80)
        context.notes.incomplete(f"{shown} does not belong into such a model", member=context.member)


class JsonTreesAnalyser:
    """XGBoost's and CatBoost's JSON."""

    format = "xgboost-json"
    _head = re.compile(
        rb'\s*\{\s*"(?:(learner"\s*:\s*\{|version"\s*:\s*\[)|(features_info|model_info|oblivious_trees|scale_and_bias)"\s*:)'
    )

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 1)[:1] in (b"{", b" ", b"\n", b"\r", b"\t") and self._match(source) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        match = self._match(source)
        xgboost = match is not None and match[1] is not None
        try:
            _judge(walk_json(source), _XGBOOST if xgboost else _CATBOOST, 2 if xgboost else 1, context)
        except JsonError as error:
            context.notes.incomplete(f"the model is damaged: {error}", member=context.member)
        return Recognised("xgboost-json" if xgboost else "catboost-json")

    def _match(self, source: Source) -> re.Match[bytes] | None:
        return self._head.match(source.read(0, _HEAD))


class UbjsonTreesAnalyser:
    """XGBoost's UBJSON."""

    format = "xgboost-ubj"
    _head = re.compile(rb"\{(?:[iU]|I\0|l\0\0\0|L\0\0\0\0\0\0\0)\x07(?:learner|version)")

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return self._head.match(source.read(0, 32)) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        try:
            _judge(walk_ubjson(source), _XGBOOST, 2, context)
        except UbjsonError as error:
            context.notes.incomplete(f"the model is damaged: {error}", member=context.member)
        return Recognised("xgboost-ubj")


class LightgbmAnalyser:
    """LightGBM's text: a header, trees of announced sizes, and parameters. Every byte must be text."""

    format = "lightgbm"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return re.match(rb"tree\r?\nversion=v\d", source.read(0, 32)) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        problem = _not_text(source) or _lightgbm_problem(source)
        if problem:
            context.notes.incomplete(f"the model is damaged: {problem}", member=context.member)
        return Recognised("lightgbm")


_MAX_HEADER = 16 * 2**20
"""Names of a million features."""
_MAX_TAIL = 16 * 2**20
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r")) + b"\x7f"
_KEPT = bytes(set(range(256)) - set(_CONTROLS))


def _not_text(source: Source) -> str:
    offset = 0
    while chunk := source.read(offset, _CHUNK):
        if chunk.translate(None, _KEPT):
            return "it holds bytes that are no text"
        offset += len(chunk)
    return ""


def _lightgbm_problem(source: Source) -> str:
    head = source.read(0, _MAX_HEADER)
    begin = head.find(b"\nTree=0")
    sizes = re.search(rb"\ntree_sizes=([\d ]*)\r?\n", head[: begin + 1])
    if sizes is None:
        return "no tree is announced, or the header does not end"
    at = begin + 1
    for number, size in enumerate(sizes[1].split()):
        title = b"Tree=%d" % number
        if len(size) > 12 or source.read(at, len(title) + 1).rstrip(b"\r\n") != title:
            return f"tree {number} is not where its announced place is"
        at += int(size)
    tail = source.read(at, _MAX_TAIL)
    if not tail.startswith(b"end of trees"):
        return "the trees do not end where they should"
    if b"\nend of parameters" not in tail:
        return "no parameters follow the trees, or they do not end"
    if at + len(tail) < source.size:
        return f"more than {_MAX_TAIL} bytes follow the trees"
    return ""


class CatboostAnalyser:
    """CatBoost's binary format: a magic, a size, and a flat buffer of that size, whose outermost table is checked."""

    format = "catboost"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 4) == b"CBM1"

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        size = int.from_bytes(source.read(4, 4), "little")
        problem = _catboost_problem(source, size)
        if problem:
            context.notes.incomplete(f"the model is damaged: {problem}", member=context.member)
        elif 8 + size < source.size:
            rest = source.size - 8 - size
            reason = f"{rest} bytes follow the trees (text or categories), which are not inspected"
            context.notes.incomplete(reason, member=context.member, offset=8 + size)
        return Recognised("catboost")


def _catboost_problem(source: Source, size: int) -> str:
    """Source: the description of flat buffers' internals: an offset to the root table, which points to its layout."""
    if 8 + size > source.size:
        return f"{size} bytes are announced, there are {max(source.size - 8, 0)}"

    def read(at: int, width: int) -> int:
        return int.from_bytes(source.read(8 + at, width), "little", signed=width == 4)

    root = read(0, 4)
    if not 4 <= root <= size - 4:
        return "its root lies outside"
    layout = root - read(root, 4)
    if not 0 < layout <= size - 4:
        return "its layout lies outside"
    length, inline = read(layout, 2), read(layout + 2, 2)
    if length < 4 or length % 2 or layout + length > size or root + inline > size:
        return "its layout is malformed"
    fields = [read(layout + at, 2) for at in range(4, length, 2)]
    return "a field lies outside its table" if any(place >= inline for place in fields if place) else ""
