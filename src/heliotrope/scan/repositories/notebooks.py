"""Jupyter notebooks: cells that fetch and run, scripts in what was kept of their output, secrets.

A cell runs when a person runs it, so ordinary commands are no findings: what counts is code that nobody has seen yet.
Source: the notebook format 4; IPython's magics.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context
from heliotrope.scan.repositories.documents import Document, Mapping, mappings, texts
from heliotrope.scan.repositories.python_code import check_fetched
from heliotrope.scan.repositories.python_source import SourceError, parse_source

__all__ = ["check_notebook", "is_notebook"]

_FETCH = r"(?:curl|wget|aria2c|fetch|Invoke-WebRequest|iwr|Invoke-Expression)\b"
_SHELL = r"(?:sudo\s+(?:-\w+\s+)*)?(?:env\s+)?(?:/[\w/]{1,60}/)?(?:(?:ba|z|k|da|c)?sh|python[\d.]*|perl|ruby|node|php|iex|powershell)\b"
_DOWNLOAD_RUN = (
    re.compile(rf"\b{_FETCH}[^\n|;&]{{0,500}}\|[^\n]{{0,500}}?\b{_SHELL}"),
    re.compile(rf"\b{_SHELL}[^\n]{{0,500}}?(?:<\(|\$\(|`)\s*{_FETCH}"),
    re.compile(rf"\beval\b[^\n]{{0,500}}?(?:\$\(|`)\s*{_FETCH}"),
    re.compile(r"\biex\b[^\n]{0,500}?\b(?:DownloadString|iwr|Invoke-WebRequest)\b", re.IGNORECASE),
    re.compile(r"base64\s+(?:-d|--decode|-D)\b[^\n]{0,500}?\|[^\n]{0,500}?\b(?:ba|z|da)?sh\b"),
    re.compile(r"/dev/tcp/[\w.-]+/\d+"),
    re.compile(r"\b(?:nc|ncat)\b[^\n]{0,500}?\s-[a-z]*e\b"),
)
_SAVED = re.compile(rf"\b{_FETCH}[^\n]{{0,500}}?([\w.-]{{1,100}}\.(?:sh|py|bin|run|pl|elf))\b")
_RUN_URL = re.compile(r"^[ \t]*%(?:run|load|loadpy)[ \t]+[^\n]{0,500}?(?:https?|ftp)://", re.MULTILINE)
_PIP = re.compile(r"\bpip[\d.]*\s+install\b[^\n]{0,500}?(?P<what>git\+\S+|(?:https?|ftp)://\S+)")
_COMMAND = re.compile(r"^[ \t]*(?:!{1,2}|%%?(?:sx|system)[ \t])[ \t]*(.+)$", re.MULTILINE)
_SHELL_CELL = re.compile(r"\s*%%(?:bash|sh|script|cmd|!|sx|system)\b[^\n]*\n")
_CALLED = re.compile(r"(?:os\.(?:system|popen)|subprocess\.\w+|get_ipython\(\)\.(?:system|getoutput))\s*\(([^\n]*)")
_KERNEL = re.compile(
    r"(?:IPython|Jupyter)\.notebook\.kernel\.execute|kernel\.requestExecute|requestExecute\(|\.kernel\.execute\("
)
_SCRIPT = re.compile(r"<script\b|\bon(?:error|load|click|mouseover)\s*=|javascript:", re.IGNORECASE)
_MAGIC = re.compile(r"^[ \t]*[!%?].*$|^.*\?[ \t]*$", re.MULTILINE)
_MAX_CODE = 2**20
"""Characters of all code cells; notebooks have some ten thousand."""
_MAX_SAVED = 50
"""Files that a cell fetches and that are looked for further down."""
_SHOWN = 100


def is_notebook(document: Document) -> bool:
    """Whether JSON is a notebook."""
    root = document.root
    return isinstance(root, Mapping) and isinstance(root.get("cells", root.get("worksheets")), list)


def check_notebook(document: Document, context: Context) -> None:
    """Judge its cells and their outputs."""
    left = _MAX_CODE
    for number, cell in enumerate(_cells(document), 1):
        inner = context.inside(f"cell {number}")
        if cell.get("cell_type") == "code":
            source = _text(cell.get("source", cell.get("input")))
            if len(source) > left:
                context.notes.incomplete(f"its cells hold more than {_MAX_CODE} characters", member=context.member)
            _code(source[:left], inner)
            left -= min(len(source), left)
            for output in cell.get("outputs") or []:
                if isinstance(output, Mapping):
                    _output(output, inner)
        elif isinstance(cell.get("source"), (str, list)):
            _markup(_text(cell.get("source")), "text", inner)


def _cells(document: Document) -> Iterator[Mapping]:
    for mapping, _ in mappings(document):
        if mapping.has("cell_type"):
            yield mapping


def _text(value: Any) -> str:
    return "".join(texts(value))


def _code(source: str, context: Context) -> None:
    commands = "\n".join(match[1] for match in _COMMAND.finditer(source))
    if _SHELL_CELL.match(source):
        commands = f"{commands}\n{source}"
    called = "\n".join(match[1] for match in _CALLED.finditer(source))
    for text in (commands, called):
        _command(text.replace("\\\n", " "), context)
    match = _RUN_URL.search(source)
    if match is not None:
        _note(context, "notebook-download-run", "a cell runs a file from the network", "run", match[0])
    if commands and _SHELL_CELL.match(source):
        return
    try:
        plain = _MAGIC.sub(lambda found: re.match(r"\s*", found[0])[0] + "pass", source)  # type: ignore[index]
        tree = parse_source(plain, context.limits)
    except SourceError:
        return  # R, Julia, or a sketch: nothing that Python would run
    check_fetched(tree, plain, context)


def _command(text: str, context: Context) -> None:
    for pattern in _DOWNLOAD_RUN:
        match = pattern.search(text)
        if match is not None:
            _note(context, "notebook-download-run", "a cell fetches a program and runs it", "command", match[0])
    for match in islice(_SAVED.finditer(text), _MAX_SAVED):
        run = rf"(?:{_SHELL}\s+(?:-\w+\s+)*(?:\./)?|\./|\bchmod\s+\+?\w+\s+(?:\./)?){re.escape(match[1])}"
        again = re.search(run, text[match.end() :])
        if again is not None:
            _note(context, "notebook-download-run", "a cell fetches a file and runs it", "saved", match[0])
    match = _PIP.search(text)
    if match is not None:
        rule = "notebook-remote-install"
        _note(context, rule, "a cell installs a package from outside the index", match["what"], match["what"])


def _output(output: Mapping, context: Context) -> None:
    data = output.get("data")
    for kind, value in data if isinstance(data, Mapping) else ():
        text = _text(value)
        if kind == "application/javascript" and text.strip():
            _markup(f"<script>{text}", "output", context)
        elif kind in ("text/html", "image/svg+xml", "text/markdown"):
            _markup(text, "output", context)


def _markup(text: str, where: str, context: Context) -> None:
    if _KERNEL.search(text) and _SCRIPT.search(text):
        _note(context, "notebook-kernel-script", f"a script in {where} runs code in the kernel", where, "")
    elif where == "output" and _SCRIPT.search(text):
        _note(context, "notebook-script", "an output holds a script, as charts do", "script", "")


def _note(context: Context, rule: str, message: str, key: str, detail: str) -> None:
    shown = shorten(printable(" ".join(detail.split())), _SHOWN)
    message = f"{message}: {shown}" if shown else message
    context.notes.add(rule, message, key=f"{key} {shown}", member=context.member)
