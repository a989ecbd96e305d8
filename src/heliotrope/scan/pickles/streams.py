"""Pickle files: one stream after another, and whatever hides in the bytes behind them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from heliotrope.scan.interface import Context, Recognised, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles.judge import Judge
from heliotrope.scan.pickles.machine import Machine
from heliotrope.scan.pickles.opcodes import STARTS
from heliotrope.scan.pickles.state import StreamEnd
from heliotrope.scan.policy import shipped_policy
from heliotrope.scan.sources import SliceSource

__all__ = ["PickleAnalyser", "analyse_streams", "credible_pickle", "looks_like_pickle", "search_pickles"]

_PROBE_OPCODES = 20_000
"""Opcodes a file without header may run for before it counts as a pickle anyway: text never gets far."""

_ZIP_MEMBER = b"PK\x03\x04"
"""As opcodes, it begins with a persistent id, at which plain unpicklers stop; torch takes it for an archive."""

_CHUNK = 2**20
_LONGEST_TEXTS = 256
_OVERLAP = 512
"""Longer than what the patterns match."""

_ZIP_MEMBER = b"PK\x03\x04"

_HEADER = re.compile(rb"\x80[\x00-\x05](?=[" + re.escape(bytes(sorted(STARTS))) + rb"])", re.DOTALL)
_NAME = rb"([A-Za-z_][\w.]{0,100})"
_PUT = rb"(?:\x94|q.|r.{4}|p\d{1,9}\n)?"
_PICKLE_NAMES = (
    ".pkl",
    ".pickle",
    ".p",
    ".pk",
    ".joblib",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".dill",
    ".cloudpickle",
    ".sav",
)
"""Of files that somebody unpickles, whatever they begin with."""

_BEGIN_NO_TEXT = frozenset(b"(])}N") | frozenset(range(0x80, 256))
"""First bytes of a stream with which no line of text begins."""
_BEGIN_BINARY = _BEGIN_NO_TEXT - frozenset(b"(N")
"""The same without those that a text in brackets or a name begins with."""

_TORCH_LEGACY = re.compile(rb"(?:\x80.)?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", re.DOTALL)
"""The magic number torch wrote before its zip format (a LONG1 of ten bytes)."""


@dataclass(slots=True)
class _Walk:
    """Where the analysis of a file's streams stands."""

    position: int
    streams: int = 0
    trailing: int = 0
    """Bytes behind the last whole stream."""
    broken: bool = False
    inline_arrays: bool = False


class PickleAnalyser:
    """Pickles of protocols 0 to 5, torch's old format, and joblib files as far as their first array."""

    format = "pickle"

    def accepts(self, source: Source, name: str) -> bool:
        return looks_like_pickle(source, hinted=name.lower().endswith(_PICKLE_NAMES))

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        legacy = _TORCH_LEGACY.match(source.read(0, 32)) is not None
        inline = analyse_streams(source, context, persistent_ids_known=legacy, trailing_known=legacy)
        if legacy:
            return Recognised("torch-legacy")
        return Recognised("joblib" if inline else "pickle")


def looks_like_pickle(source: Source, *, hinted: bool = False) -> bool:
    """Whether an unpickler would begin to load this: it has a header, or gets to its end, to a call or into danger.

    An import alone counts in a file with a pickle's name (`hinted`), or when it does not begin as a line of text does.
    """
    head = source.read(0, 2)
    if len(head) < 2 or head[0] not in STARTS:
        return False
    if head[0] == 0x80:
        return head[1] <= 5
    limits = ScanLimits()
    judge = Judge(shipped_policy(), limits)
    budget = Budget.of(limits)
    end = Machine(source, judge, limits, budget).run(0, max_opcodes=_PROBE_OPCODES)
    if end.complete or end.limit is not None or judge.calls > 0 or judge.dangerous or judge.refers_to_danger:
        return True
    if hinted or head[0] in _BEGIN_BINARY:
        return judge.importable > 0
    return judge.plausible_imports > 0 and head[0] in _BEGIN_NO_TEXT


def credible_pickle(source: Source, context: Context) -> bool:
    """Whether bytes that should be something else begin with a pickle that imports something."""
    if source.read(0, 1)[:1] not in _START_BYTES or source.read(0, 4) == _ZIP_MEMBER:
        return False
    judge, end = _run(source, context, 0)
    if (
        source.read(0, 4) == _ZIP_MEMBER
    ):  # "PK": a persistent id full of control characters, for which no loader has an object
        return judge.dangerous
    return _credible(judge, end, header=_has_header(source, 0))


def analyse_streams(
    source: Source,
    context: Context,
    *,
    start: int = 0,
    persistent_ids_known: bool = False,
    trailing_known: bool = False,
) -> bool:
    """Analyse the stream at `start` and all that follow. Returns whether joblib arrays lie inside."""
    walk = _Walk(start)
    certain = True
    while walk.position < source.size:
        if walk.streams >= context.limits.max_streams:
            reason = f"more than {context.limits.max_streams} pickles one after another"
            context.notes.incomplete(reason, limit="max_streams", member=context.member, offset=walk.position)
            break
        if not _stream_here(source, context, walk, certain=certain, persistent_ids_known=persistent_ids_known):
            walk.trailing += source.size - walk.position
            _search(source, context, walk)
            break
        certain = False
    if walk.trailing and not trailing_known and not walk.broken:
        context.notes.add(
            "pickle-trailing-data",
            f"{walk.trailing} bytes follow the pickle",
            member=context.member,
            offset=context.base + source.size - walk.trailing,
        )
    return walk.inline_arrays


def search_pickles(source: Source, context: Context, *, start: int) -> None:
    """Search bytes that should hold no pickle for some, first right at the start."""
    walk = _Walk(start)
    while walk.position < source.size and _stream_here(
        source, context, walk, certain=False, persistent_ids_known=False
    ):
        pass
    _search(source, context, walk)


def _stream_here(source: Source, context: Context, walk: _Walk, *, certain: bool, persistent_ids_known: bool) -> bool:
    """Analyse the stream at the position; False when there is none, or when it broke and the rest must be searched."""
    if not certain and source.read(walk.position, 1)[:1] not in _START_BYTES:
        return False
    judge, end = _run(source, context, walk.position, earlier=not certain)
    credible = certain or judge.importable > 0 or _credible(judge, end, header=True)
    if not credible and not end.complete:
        return False
    judge.commit(context, persistent_ids_known=persistent_ids_known)
    walk.streams += 1
    walk.inline_arrays |= judge.inline_arrays
    _analyse_nested(source, context, judge)
    if judge.graphs:
        _check_graphs(source, context, walk.position, judge.graphs)
    if end.complete:
        walk.position = end.offset
        return True
    context.notes.incomplete(
        f"the pickle breaks off: {end.reason}", limit=end.limit, member=context.member, offset=context.base + end.offset
    )
    if context.budget.opcodes <= 0:
        context.budget.opcodes, context.budget.reserve = context.budget.reserve, 0
    walk.broken = True
    walk.position = min(max(end.offset, walk.position + 1), source.size)
    return False


def _run(
    source: Source, context: Context, offset: int, *, lenient: bool = False, earlier: bool = False
) -> tuple[Judge, StreamEnd]:
    judge = Judge(shipped_policy(), context.limits)
    end = Machine(source, judge, context.limits, context.budget).run(offset, lenient=lenient, earlier=earlier)
    judge.finish(source, end.offset)
    return judge, end


def _credible(judge: Judge, end: StreamEnd, *, header: bool) -> bool:
    """Random bytes seldom import anything by a name, and seldom reach STOP after computing one.

    Without a header, a line of prose that begins with a c looks like an import; only what goes on from there counts.
    Right behind a stream (`header`, too), where whoever loads once more begins, an import is enough.
    """
    if judge.computed > 0 and end.opcodes >= 8 and (end.complete or (header and judge.calls > 0)):
        return True
    if judge.plausible_imports == 0:
        return False
    return header or end.complete or judge.calls > 0 or judge.refers_to_danger


def _has_header(source: Source, offset: int) -> bool:
    return _HEADER.match(source.read(offset, 3)) is not None


def _analyse_nested(source: Source, context: Context, judge: Judge) -> None:
    for offset, length in judge.nested:
        name = f"bytes at {context.base + offset}"
        inside = context.inside(name)
        if inside.depth > context.limits.max_depth:
            message = f"loads bytes in bytes, more than {context.limits.max_depth} levels deep, which no model does"
            context.notes.add("pickle-unknown-state", message, member=inside.member, offset=context.base + offset)
        if context.nested(SliceSource(source, offset, length), name, inside) is None:
            context.notes.incomplete("a tensor stored as bytes is not recognised", member=inside.member)

    for offset, length in judge.carried:
        name = f"bytes at {context.base + offset}"
        inside = context.inside(name)
        if inside.depth <= context.limits.max_depth:  # the call that gets them is a finding already
            context.nested(SliceSource(source, offset, length), name, inside)


def _check_graphs(source: Source, context: Context, start: int, offsets: list[int]) -> None:
    from heliotrope.scan.pickles.graph_modules import check_graph_modules  # few files hold any

    check_graph_modules(source, context, start, offsets)


def _search(source: Source, context: Context, walk: _Walk) -> None:
    """Try every place in the rest of the file where a pickle may begin."""
    resume = walk.position
    try:
        for offset, is_header in _candidates(source, walk.position):
            if context.budget.opcodes <= 0:
                return  # said already
            if offset < resume:
                continue
            context.budget.candidates -= 1
            if context.budget.candidates < 0:
                limit = context.limits.max_candidates
                reason = f"more than {limit} places in trailing data look like the start of a pickle"
                context.notes.incomplete(reason, limit="max_candidates", member=context.member, offset=offset)
                return
            found = _hidden_stream(source, context, offset) if is_header else _hidden_text(source, context, offset)
            resume = found or resume
    except UnreadableError as error:
        context.notes.incomplete(str(error), member=context.member)


def _hidden_stream(source: Source, context: Context, offset: int) -> int | None:
    judge, end = _run(source, context, offset)
    if not _credible(judge, end, header=True):
        return None
    context.notes.add(
        "pickle-hidden-stream",
        "a pickle follows behind other data",
        member=context.member,
        offset=context.base + offset,
    )
    judge.commit(context)
    _analyse_nested(source, context, judge)
    if judge.graphs:
        _check_graphs(source, context, offset, judge.graphs)
    if not end.complete:
        context.notes.incomplete(
            f"a hidden pickle breaks off: {end.reason}",
            limit=end.limit,
            member=context.member,
            offset=context.base + end.offset,
        )
    return max(end.offset, offset + 1)


def _hidden_text(source: Source, context: Context, offset: int) -> int | None:
    judge, _ = _run(source, context, offset, lenient=True)
    if judge.dangerous:
        judge.commit(context, only_dangerous=True)
    return None


def _candidates(source: Source, start: int) -> Iterator[tuple[int, bool]]:
    """Offsets where a pickle may begin: (offset, by its header), in order within each chunk."""
    policy = shipped_policy()
    offset = start
    while data := source.read(offset, _CHUNK + _OVERLAP):
        found = {match.start(): True for match in _HEADER.finditer(data) if match.start() < _CHUNK}
        for place, module, name in _named_imports(data):
            names = policy.python3_name(module.decode("ascii"), name.decode("ascii"))
            if place < _CHUNK and policy.lookup(*names).kind == "dangerous":
                found.setdefault(place, False)
        for place in sorted(found):
            yield offset + place, found[place]
        offset += _CHUNK


def _named_imports(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Where in some bytes an import by two names may stand: offset, module, name."""
    lines, behind_texts, texts = _patterns()
    for pattern in lines:
        for match in pattern.finditer(data):
            yield match.start(), match[1], match[2]
    for found in behind_texts.finditer(data):
        begin = max(found.end() - _LONGEST_TEXTS, 0)
        window = data[begin : found.end()]
        for pattern in texts:
            text = pattern.search(window)
            if text is not None:
                yield begin + text.start(), text[1], text[2]


@cache
def _patterns() -> tuple[tuple[re.Pattern[bytes], ...], re.Pattern[bytes], tuple[re.Pattern[bytes], ...]]:
    """GLOBAL and INST; STACK_GLOBAL behind a text or what puts one aside; and that behind two texts of one kind.

    The former begin with one literal byte, which lets the search run at memory speed.
    """
    lines = tuple(re.compile(code + _NAME + rb"\n" + _NAME + rb"\n") for code in (b"c", b"i"))
    behind_texts = re.compile(
        rb"\x93(?:(?<=[\w.][\w.]\x93)|(?<=[\x94\n]\x93)|(?<=[\w.]q.\x93)|(?<=[\w.]r.{4}\x93))", re.DOTALL
    )
    texts = tuple(
        re.compile(begin + _NAME + end + _PUT + begin + _NAME + end + _PUT + rb"\x93\Z", re.DOTALL)
        for begin, end in (
            (rb"\x8c[\x01-\x64]", b""),
            (rb"X[\x01-\x64]\0\0\0", b""),
            (rb"\x8d[\x01-\x64]\0{7}", b""),
            (rb"U[\x01-\x64]", b""),
            (rb"T[\x01-\x64]\0\0\0", b""),
            (rb"V", rb"\n"),
            (rb"S['\"]", rb"['\"]\n"),
        )
    )
    return lines, behind_texts, texts


_START_BYTES = frozenset(bytes([code]) for code in STARTS)
