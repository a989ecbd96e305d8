"""Objects that call methods by names from their own state: which method that is, the file decides.

A stacking estimator calls `getattr(estimator, name)(X)` when it predicts, and a scorer, a chain and a threshold do alike.
Everything else in the file may be harmless: beside a table, the text `eval` is enough to run any code. The names are
looked for in the file's bytes, in each form in which text gets into a pickle. Source: scikit-learn's sklearn.ensemble
._stacking, sklearn.multioutput, sklearn.metrics._scorer and sklearn.utils.validation._check_response_method.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from heliotrope.scan.interface import Source
from heliotrope.scan.policy import Entry

__all__ = ["METHODS", "METHOD_KEYS", "calls_by_name", "harmful_names"]

_BY_NAME: Final = frozenset(
    {
        "sklearn.ensemble._stacking",
        "sklearn.multioutput",
        "sklearn.metrics._scorer",
        "sklearn.metrics.scorer",
        "sklearn.model_selection._classification_threshold",
    }
)
"""Modules whose classes do it."""

METHOD_KEYS: Final = frozenset(
    {"stack_method_", "chain_method_", "_response_method", "response_method", "chain_method", "stack_method"}
)
"""Where in their state the names stand."""

METHODS: Final = frozenset(
    {
        "auto",
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "transform",
        "score_samples",
        "drop",
        None,
    }
)
"""What stands there."""

_ANY: Final = "tofile dump __setstate__ __init__"
"""Of arrays, which every model has, and of everything: the first two write a file, the others set a state anew."""

_PATH: Final = "chmod copy hardlink_to lchmod link_to mkdir move open rename replace rmdir symlink_to touch unlink write_bytes write_text"
_TABLE: Final = (
    "eval query to_clipboard to_csv to_excel to_feather to_gbq to_hdf to_html to_iceberg to_json to_latex to_markdown to_orc "
    "to_parquet to_pickle to_sql to_stata to_string to_xml"
)
_OF: Final = (
    (re.compile(r"pathlib\..*"), _PATH),
    (re.compile(r"pandas\.(.*\.)?(DataFrame|Series)"), _TABLE),
    (re.compile(r"xgboost\..*"), "dump_model load_model save_model"),
    (re.compile(r"lightgbm\..*"), "dump_model load_model save_model set_network"),
    (re.compile(r"catboost\..*"), "eval_metrics load_model save_borders save_model"),
)
"""Of objects in the same file, by their class, the methods that write files, run code or talk to others."""

_WORDS: Final = frozenset({"dump", "eval", "query", "copy", "move", "open", "rename", "replace", "touch"})
"""Also words of a language, which a vocabulary may hold. These methods need a text or a number, but what a model is given
are arrays: so they count only beside functools.partial, of which a step of a pipeline is made that returns a text."""

_ARROW: Final = re.compile(r"pyarrow\..*|pandas\..*Arrow.*")
"""Arrays of text that keep it as one run of bytes without lengths."""

_ESTIMATORS: Final = frozenset({"sklearn", "xgboost", "lightgbm", "catboost"})
"""Frameworks whose models are estimators of scikit-learn."""
_PAGE: Final = "__doc_link_template"

_CHUNK: Final = 2**20
_OVERLAP: Final = 512
_ESCAPED: Final = re.compile(rb"(?:V[^\n\\]{0,20}|S['\"][^\n\\]{0,20})\\[^\n]{1,400}\n")
"""Lines of text with an escape: another spelling of the same name."""


def calls_by_name(module: str) -> bool:
    """Whether objects of this module's classes call methods whose names are in their state."""
    return module in _BY_NAME


class _Use(Protocol):
    """One import of a stream, as the judge keeps it."""

    @property
    def module(self) -> str: ...
    @property
    def full_name(self) -> str: ...
    @property
    def entry(self) -> Entry: ...
    @property
    def acted(self) -> bool: ...


def harmful_names(source: Source, end: int, uses: list[_Use]) -> Iterator[tuple[str, int]]:
    """What texts of a file up to `end` ask its objects for, and where; `uses` are the imports of the stream."""
    shown = next((use for use in uses if use.acted and use.entry.framework in _ESTIMATORS), None)
    place = -1 if shown is None else _page_template(source, end)
    if shown is not None and place >= 0:
        yield f"has a template for the page that a notebook shows of {shown.full_name}, which may be a script", place
    caller = next((use for use in uses if use.acted and calls_by_name(use.module)), None)
    found = None if caller is None else _harmful_method(source, end, (use.full_name for use in uses))
    if caller is not None and found is not None:
        name, offset = found
        yield f"has the method name {name!r} beside {caller.full_name}, which calls methods by their names", offset


def _page_template(source: Source, end: int) -> int:
    """Where a text names the attribute that scikit-learn's estimators put, as it is, into the page that a notebook shows; or -1.

    It is no parameter, and no file has it: its value would be a script. Source: sklearn.utils._repr_html.base.
    """
    offset = 0
    while offset < end and (data := source.read(offset, min(_CHUNK + _OVERLAP, end - offset))):
        for form in ("ascii", "utf-32-le", "utf-32-be"):
            place = data.find(_PAGE.encode(form))
            if place >= 0:
                return offset + place
        for match in _ESCAPED.finditer(data):
            if _unescaped(match[0]) == _PAGE:
                return offset + match.start()
        offset += _CHUNK
    return -1


def _harmful_method(source: Source, end: int, beside: Iterable[str]) -> tuple[str, int] | None:
    """The first text up to `end` that names a method which does harm, and where; `beside` are all imports of the file."""
    imports = set(beside)
    names = set(_ANY.split())
    for pattern, methods in _OF:
        if any(pattern.fullmatch(name) for name in imports):
            names.update(methods.split())
    if "functools.partial" not in imports:
        names -= _WORDS
    loose: AbstractSet[str] = set() if not any(_ARROW.fullmatch(name) for name in imports) else names - _WORDS
    offset = 0
    while offset < end:
        data = source.read(offset, min(_CHUNK + _OVERLAP, end - offset))
        if not data:
            return None
        found = _first(data, names, loose)
        if found is not None:
            return found[0], offset + found[1]
        offset += _CHUNK
    return None


def _first(data: bytes, names: AbstractSet[str], loose: AbstractSet[str]) -> tuple[str, int] | None:
    for name in sorted(names):
        needle = name.encode("ascii")
        for place in _places(data, needle):
            if name in loose or _is_text(data, place, needle):
                return name, place
        for form in ("utf-32-le", "utf-32-be"):
            place = data.find(name.encode(form))
            if place >= 0:
                return name, place
    for match in _ESCAPED.finditer(data):
        text = _unescaped(match[0])
        if text in names:
            return text, match.start()
    return None


def _places(data: bytes, needle: bytes) -> Iterator[int]:
    place = data.find(needle)
    while place >= 0:
        yield place
        place = data.find(needle, place + 1)


def _is_text(data: bytes, place: int, needle: bytes) -> bool:
    """Whether a name is all there is of a text or of bytes, which may become one."""
    size = len(needle)
    before = data[max(place - 9, 0) : place]
    if before[-2:-1] in (b"\x8c", b"U", b"C") and before[-1] == size:
        return True
    if before[-5:-4] in (b"X", b"T", b"B") and before[-4:] == size.to_bytes(4, "little"):
        return True
    if before[-9:-8] in (b"\x8d", b"\x8e", b"\x96") and before[-8:] == size.to_bytes(8, "little"):
        return True
    behind = data[place + size : place + size + 2]
    if before[-1:] == b"V":
        return behind[:1] == b"\n"
    return before[-2:] in (b"S'", b'S"') and behind == before[-1:] + b"\n"


def _unescaped(line: bytes) -> str:
    try:
        if line[:1] == b"V":
            return line[1:-1].decode("raw-unicode-escape")
        return codecs.escape_decode(line[2:-1].rstrip(b" \t\r")[:-1])[0].decode("ascii", "replace")
    except ValueError:
        return ""
