"""Programs of torch.export: JSON that names operators, and expressions of sizes that the loader evaluates.

Source: torch/_export/serde (schema.py, serialize.py). A target is looked up name by name from the module `torch`, and sympy
evaluates an expression's text as Python.
"""

import json
import re
from collections.abc import Iterator

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.code_tokens import literal, tokens
from heliotrope.scan.frameworks.torch_operators import judge_operator
from heliotrope.scan.interface import Context, Source
from heliotrope.scan.sources import BytesSource

__all__ = ["check_program", "text_values"]

_STRING = re.compile(rb'"((?:[^"\\]|\\.)*+)"(\s*:)?', re.DOTALL)
_CHUNK = 2**20
_MAX_STRING = 256 * 1024
_SHOWN = 120

_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)(?:\.\w+)?")
_PLAIN_TARGET = re.compile(
    r"(?:_operator|operator|math)\.[a-z_]\w*|torch\.(?:_?sym_\w+|amp\.autocast_mode\._(?:enter|exit)_autocast)"
)
_MAX_NESTED = 4
_KNOWN_MODULE = re.compile(r"builtins|collections|enum|torch(?:\.[a-z_]\w*)*")
_REACHING = frozenset({"attrgetter", "itemgetter", "methodcaller", "call", "__call__"})

_SYMBOL = re.compile(r"\w{1,100}")
_ARGUMENTS = frozenset({
    "positive", "negative", "nonnegative", "nonpositive", "nonzero", "zero", "integer", "real", "rational", "finite",
    "infinite", "extended_real", "commutative", "even", "odd", "prime", "precision", "prec", "dps", "evaluate",
})  # fmt: skip
_FUNCTIONS = frozenset({
    "Symbol", "Dummy", "Integer", "Float", "Rational", "Half", "One", "Zero", "NegativeOne", "Mul", "Add", "Pow", "Max",
    "Min", "Mod", "Abs", "Infinity", "NegativeInfinity", "oo", "nan", "zoo", "NaN", "Eq", "Ne", "Gt", "Ge", "Lt", "Le",
    "Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "And", "Or", "Not", "Xor",
    "true", "false", "True", "False", "None", "floor", "ceiling", "sqrt", "log", "exp", "sign", "Piecewise",
    "ExprCondPair", "ITE", "Tuple", "FloorDiv", "ModularIndexing", "CleanDiv", "CeilDiv", "CeilToInt", "FloorToInt",
    "Where", "PythonMod", "IntTrueDiv", "FloatTrueDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "ToFloat",
    "TruncToInt", "TruncToFloat", "RoundToInt", "RoundDecimal", "Identity", "IsNonOverlappingAndDenseIndicator", "int_oo",
    "negative_int_oo", "IntInfinity", "NegativeIntInfinity", "BitwiseFn_bitwise_and", "BitwiseFn_bitwise_or",
})  # fmt: skip
_SIGNS = frozenset("()+-*/,=<>!&|~%\n")
_UNARY = re.compile(r"OpaqueUnaryFn_\w{1,20}")


def text_values(source: Source, context: Context) -> Iterator[tuple[str, str, int]]:
    """Texts of a JSON document as (key, value, offset): each value with the last key before it; of a key, the value is empty."""
    offset, key, pending = 0, "", b""
    while data := source.read(offset + len(pending), _CHUNK):
        buffer = pending + data
        last = offset + len(buffer) >= source.size
        at = 0
        for match in _STRING.finditer(buffer):
            if match.end() > len(buffer) - 64 and not last:  # a colon may follow
                break
            text = _decoded(match[1])
            if match[2]:
                key = text
                yield text, "", offset + match.start()
            else:
                yield key, text, offset + match.start()
            at = match.end()
        rest = buffer.find(b'"', at)
        keep = rest if rest >= 0 else max(at, len(buffer) - 64)
        if len(buffer) - keep > _MAX_STRING + _CHUNK:
            context.notes.incomplete(
                f"a text has more than {_MAX_STRING} bytes", member=context.member, offset=offset + keep
            )
            keep = len(buffer)
        pending = buffer[keep:]
        offset += keep


def _decoded(raw: bytes) -> str:
    if b"\\" not in raw:
        return raw.decode("utf-8", "replace")
    try:
        return str(json.loads(b'"' + raw + b'"', strict=False))
    except ValueError:
        return raw.decode("utf-8", "replace")


def check_program(source: Source, context: Context, *, depth: int = 0, base: int = 0) -> None:
    """Judge the operators, expressions and structures of an exported program. Structures are JSON inside texts of JSON."""
    for key, value, offset in text_values(source, context):
        if key == "target" and value and depth == 0:
            _target(value, base + offset, context)
        elif key == "expr_str" and value:
            _expression(value, base + offset, context)
        elif not value and "Symbol(" in key:  # ranges stand under the text of the symbol they are about
            _expression(key, base + offset, context)
        elif depth > 0 and key in ("default_factory_module", "fqn"):
            _imported(value.partition(":")[0], base + offset, context)
        if '"' in value and depth < _MAX_NESTED:
            inside = BytesSource(value.encode("utf-8", "surrogatepass"))
            check_program(inside, context, depth=depth + 1, base=base + offset)


def _imported(module: str, offset: int, context: Context) -> None:
    """Structures name the module of an enumeration, and that of a dictionary's default, and the loader imports it."""
    if module and not _KNOWN_MODULE.fullmatch(module):
        message = f"loading imports the module {_shown(module)}"
        context.notes.add(
            "torch-odd-target", message, global_name=module[:_SHOWN], member=context.member, offset=offset
        )


def _target(value: str, offset: int, context: Context) -> None:
    match = _OPERATOR.fullmatch(value)
    problem = judge_operator(match[1], match[2]) if match is not None else None
    if match is None and value.startswith(("torch", "_operator", "operator", "math", "#")):
        if _PLAIN_TARGET.fullmatch(value) is None or value.rpartition(".")[2] in _REACHING:
            problem = "torch-odd-target", "is no operator, but reached through a module's names"
    elif match is None and "." in value and "::" not in value:
        return  # text of something else under the same key
    if problem is not None:
        message = f"names {_shown(value)}, which {problem[1]}"
        context.notes.add(problem[0], message, global_name=value[:_SHOWN], member=context.member, offset=offset)


def _expression(text: str, offset: int, context: Context) -> None:
    problem = _odd_part(text)
    if problem:
        message = f"the size {_shown(text)} holds {_shown(problem)}, and loading evaluates it"
        context.notes.add("torch-odd-expression", message, key=text[:_SHOWN], member=context.member, offset=offset)


def _odd_part(text: str) -> str:
    """What does not belong into an expression of sizes; empty when all does."""
    words = list(tokens(text)) if len(text) <= _MAX_STRING else []
    if not words:
        return "nothing that can be told"
    for index, word in enumerate(words):
        following = words[index + 1].text if index + 1 < len(words) else ""
        if word.kind == "text":
            value = literal(word.text)
            if value is None or not _SYMBOL.fullmatch(value):
                return word.text
        elif word.kind == "name":
            if word.text in _FUNCTIONS or _UNARY.fullmatch(word.text) or (following == "=" and word.text in _ARGUMENTS):
                continue
            if following == "(" or not re.fullmatch(r"[a-z]{1,4}\d+", word.text):
                return word.text
        elif word.kind not in ("number", "line") and word.text not in _SIGNS:
            return word.text
    return ""


def _shown(name: str) -> str:
    return shorten(printable(name), _SHOWN)
