"""Requirement lines as pip reads them: encodings, continued lines, comments."""

import codecs
import re
from collections.abc import Iterator

from heliotrope.core.errors import InputError

__all__ = ["decoded", "logical_lines"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 first: its mark begins with that of UTF-16."""

_CODING = re.compile(rb"coding[:=]\s*([-\w.]{1,40})")
_TEXT_CODECS = frozenset(
    [
        "ascii",
        "utf-8",
        "iso8859-1",
        "iso8859-2",
        "iso8859-15",
        "cp1250",
        "cp1251",
        "cp1252",
        "cp437",
        "cp850",
        "koi8-r",
        "shift_jis",
        "euc_jp",
        "gbk",
        "gb18030",
        "big5",
        "euc_kr",
    ]
)
"""Codecs that turn bytes into text and nothing else; Python knows others that unpack or evaluate."""

_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_WHOLE_COMMENT = re.compile(r"\s*#")


def decoded(data: bytes) -> str:
    """The text of a requirements file: by byte order mark, by a coding line (PEP 263), else UTF-8."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode(data[len(mark) :], encoding)
    for line in data.split(b"\n", 2)[:2]:
        found = _CODING.search(line) if line.lstrip().startswith(b"#") else None
        if found is not None:
            return _decode(data, found[1].decode("ascii"))
    return _decode(data, "utf-8")


def _decode(data: bytes, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise InputError(f"its coding line names an unknown encoding: {encoding}") from None
    if name not in _TEXT_CODECS and not name.startswith("utf-"):
        raise InputError(f"its coding line names an encoding that is not read: {encoding}")
    try:
        text = data.decode(name)
        text.encode("utf-8")
    except (UnicodeError, ValueError):
        raise InputError(f"is not {name} text", hint="save it as UTF-8") from None
    return text


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Line number and content: continued lines joined, comments and empty lines left out."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if parts else number
        comment = _WHOLE_COMMENT.match(line) is not None
        if line.endswith("\\") and not comment:
            parts.append(line.rstrip("\\"))
            continue
        parts.append(f" {line}" if comment and parts else line)
        yield from _content(first, "".join(parts))
        parts = []
    if parts:
        yield from _content(first, "".join(parts))


def _content(number: int, line: str) -> Iterator[tuple[int, str]]:
    content = _without_comment(line)
    if content:
        yield number, content


def _without_comment(line: str) -> str:
    return _COMMENT.sub("", line).strip() if "#" in line else line.strip()
