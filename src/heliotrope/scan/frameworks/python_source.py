"""Python source that travels with a model and is imported when it is loaded: torch.package, TorchServe, MLflow's code.

It is judged by the names it uses. Source that looks harmless is suspicious all the same, since it runs.
"""

import re

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.code_names import Reference, references
from heliotrope.scan.frameworks.torch_script import read_source
from heliotrope.scan.interface import Context, Source

__all__ = ["check_python"]

_DANGEROUS = (
    (
        re.compile(
            r"(?:os|posix|nt)\.(?:system|popen\d?|exec[lv]\w*|spawn\w+|posix_spawnp?|startfile|fork|forkpty)"
            r"|subprocess\.\w+|_posixsubprocess\.\w+|pty\.(?:spawn|fork)|commands\.\w+|popen2\.\w+|multiprocessing\.popen\w*\.\w+"
        ),
        "runs programs",
    ),
    (
        re.compile(
            r"(?:builtins\.|__builtins__\.)?(?:eval|exec|compile|__import__)|runpy\.\w+|code\.Interactive\w+|types\.(?:CodeType|FunctionType)"
            r"|marshal\.loads?|.*\.__subclasses__|.*\.__globals__|.*\.__builtins__|__builtins__(?:\..*)?|ctypes\.\w+(?:\..*)?|cffi\.\w+"
            r"|(?:os|posix|nt|subprocess|builtins|__builtins__|ctypes|socket|sys|importlib|runpy)\.\?"
            r"|torch\.(?:ops|classes)\.load_library|torch\.utils\.cpp_extension\.\w+|torch\.hub\.\w+",
            re.DOTALL,
        ),
        "runs or builds code",
    ),
    (
        re.compile(
            r"socket\.\w+|urllib\.request\.\w+|urllib2\.\w+|http\.client\.\w+|requests\.\w+(?:\.\w+)*|httpx\.\w+|aiohttp\.\w+|ftplib\.\w+"
            r"|smtplib\.\w+|telnetlib\.\w+|paramiko\.\w+"
        ),
        "reaches the network",
    ),
)
_CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_PLAIN = frozenset({"utf-8", "utf8", "utf_8", "ascii", "us-ascii"})
_SHOWN = 120


def check_python(source: Source, context: Context, *, what: str) -> None:
    """Judge one file of Python source; `what` says when it runs."""
    context.notes.add(
        "packaged-source",
        f"{shorten(printable(context.member or 'the file'), _SHOWN)} {what}",
        key="source",
        member=context.member,
    )
    text = read_source(source, context)
    for line in text.split("\n", 2)[:2]:
        coding = _CODING.match(line)
        if coding is not None and coding[1].lower() not in _PLAIN:
            reason = f"the source declares the encoding {_shown(coding[1])}, which is not followed"
            context.notes.incomplete(reason, member=context.member)
    for item in references(text):
        _judge(item, context)


def _judge(item: Reference, context: Context) -> None:
    if item.imported:
        return
    for pattern, what in _DANGEROUS:
        if pattern.fullmatch(item.name):
            verb = "calls" if item.called else "refers to"
            rule = "packaged-dangerous-call" if item.called else "packaged-dangerous-name"
            path = f' with "{_shown(item.argument)}"' if item.argument is not None else ""
            context.notes.add(
                rule,
                f"{verb} {_shown(item.name)}{path}, which {what}",
                global_name=item.name[:_SHOWN],
                member=context.member,
                offset=item.offset,
            )
            return


def _shown(name: str) -> str:
    return shorten(printable(name), _SHOWN)
