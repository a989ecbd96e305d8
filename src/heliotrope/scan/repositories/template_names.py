"""Names by which a template leaves its data: for the interpreter, for programs, for the objects of the web."""

import re

__all__ = ["DUNDER", "INNER", "MAKERS", "RUNS", "WEB"]

DUNDER = re.compile(r"__(?:\w{2,40}?)__")
INNER = frozenset(
    [
        "mro",
        "subclasses",
        "func_globals",
        "func_code",
        "func_closure",
        "gi_frame",
        "gi_code",
        "cr_frame",
        "cr_code",
        "ag_frame",
        "f_globals",
        "f_locals",
        "f_builtins",
        "f_back",
        "tb_frame",
        "tb_next",
        "co_code",
        "co_consts",
        "im_func",
        "im_self",
        "im_class",
        "_TemplateReference__context",
        "_Context__self",
        "_module",
        "_get_default_module",
        "eval_ctx",
    ]
)
"""Attributes that lead from a value to the interpreter's insides."""
RUNS = frozenset(
    ["popen", "system", "exec", "eval", "execfile", "spawn", "check_output", "getoutput", "import_module", "run_module"]
)
"""Methods that run something, when called."""
WEB = frozenset(
    [
        "self",
        "request",
        "config",
        "g",
        "session",
        "app",
        "application",
        "url_for",
        "get_flashed_messages",
        "lipsum",
        "caller_globals",
    ]
)
"""Objects of Jinja and of web frameworks that no conversation brings."""
MAKERS = frozenset({"namespace", "cycler", "joiner", "dict", "range"})
"""Globals of Jinja: made to be called, not to be looked into."""
