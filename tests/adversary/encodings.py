"""One plain payload in every way in which opcodes, names and errors can hide it."""

import pickle
import struct
from collections.abc import Callable

from tests.adversary.program import (
    build,
    bytes_,
    get,
    glob,
    inst,
    kwargs_new,
    lit,
    new,
    obj,
    put,
    reduce,
    setitem,
    stack_global,
    stream,
    text,
    tuple_,
)

__all__ = ["encodings"]

COMMAND = text("touch canary")
SYSTEM = glob("posix", "system")
SINGS = SYSTEM + tuple_(COMMAND) + b"R"
"""A value: what the payload's call returns."""


class _Payload:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        import os

        return os.system, ("touch canary",)


def _short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def _binstring(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def _escaped(value: str) -> bytes:
    return b"V" + "".join(f"\\u{ord(letter):04x}" for letter in value).encode() + b"\n"


def _quoted(value: str) -> bytes:
    return b"S'" + "".join(f"\\x{ord(letter):02x}" for letter in value).encode() + b"'\n"


def encodings() -> dict[str, bytes]:
    """Name to a whole file."""
    found: dict[str, bytes] = {}
    for protocol in range(6):
        found[f"protocol {protocol}"] = pickle.dumps(_Payload(), protocol)
        found[f"protocol {protocol} in containers"] = pickle.dumps({"a": [1, (_Payload(), 2.5)], "b": "text"}, protocol)
    expressions = {**_ways(), **_names(), **_memo(), **_structure(), **_objects()}
    found |= {name: stream(expression) for name, expression in expressions.items()}
    found |= _streams()
    return found


def _ways() -> dict[str, bytes]:
    """Opcodes that call."""
    return {
        "REDUCE": SINGS,
        "REDUCE with TUPLE1": SYSTEM + COMMAND + b"\x85R",
        "INST": inst("posix:system", "touch canary"),
        "INST, nothing below": b"(" + COMMAND + b"iposix\nsystem\n",
        "OBJ": obj("posix:system", "touch canary"),
        "NEWOBJ of a class": new("subprocess:Popen", ["touch", "canary"]) + b"0" + obj("subprocess:Popen", ["touch", "canary"]),
        "NEWOBJ_EX and call": kwargs_new("collections:OrderedDict", (), {}) + b"0" + SINGS,
        "BUILD after a call": build(SINGS, {}),
        "persistent id": SINGS + b"Q",
        "text persistent id after a call": SINGS + b"0Pabc\n",
        "DUP": SYSTEM + b"2" + tuple_(COMMAND) + b"R",
        "call for a key": lit({}) + SINGS + b"Ns",
        "call for an item": b"](" + SINGS + b"e",
        "call in a set": b"\x8f(" + SINGS + b"\x90",
        "call in a frozenset": b"(" + SINGS + b"\x91",
        "call in a tuple": b"(" + SINGS + SINGS + b"t",
        "call in a list by LIST": b"(" + SINGS + b"l",
        "call in a dict by DICT": b"(" + COMMAND + SINGS + b"d",
        "call as an argument": reduce("builtins:str", SINGS),
        "call as a state": build(reduce("collections:OrderedDict"), b"}" + COMMAND + SINGS + b"s"),
        "popped": SINGS + b"0N",
        "popped with a mark": b"(" + SINGS + b"1N",
        "popped mark": b"(0" + SINGS,
        "constructor": reduce("copyreg:__newobj__", glob("subprocess", "Popen"), ["touch", "canary"]) + b"0" + SINGS,
    }  # fmt: skip


def _names() -> dict[str, bytes]:
    """How the function is named."""

    def called(name: bytes) -> bytes:
        return name + tuple_(COMMAND) + b"R"

    return {
        "STACK_GLOBAL": called(stack_global("posix", "system")),
        "STACK_GLOBAL, short": called(_short("posix") + _short("system") + b"\x93"),
        "STACK_GLOBAL, long": called(b"\x8d" + struct.pack("<Q", 5) + b"posix" + text("system") + b"\x93"),
        "STACK_GLOBAL, byte strings": called(_binstring("posix") + b"T" + struct.pack("<i", 6) + b"system\x93"),
        "STACK_GLOBAL, escaped": called(_escaped("posix") + _quoted("system") + b"\x93"),
        "STACK_GLOBAL, memo": put(500, text("posix")) + b"0" + called(get(500) + text("system") + b"\x93"),
        "STACK_GLOBAL, memo overwritten": put(500, text("math")) + b"0" + put(500, text("posix")) + b"0" + called(get(500) + text("system") + b"\x93"),
        "STACK_GLOBAL, computed": called(reduce("_codecs:encode", "cbfvk", "rot13") + text("system") + b"\x93"),
        "STACK_GLOBAL, str()": called(reduce("builtins:str", bytes_(b"posix"), "ascii") + reduce("builtins:str", "system") + b"\x93"),
        "STACK_GLOBAL, swapped by a memo": put(1, text("system")) + put(2, text("posix")) + b"00" + called(get(2) + get(1) + b"\x93"),
        "nt alias": called(glob("os", "system")),
        "dotted": stack_protocol4("random", "_os.system"),
        "dotted through a framework": stack_protocol4("torch.serialization", "os.system"),
        "dotted through an allowed class": b"\x80\x04" + stack_global("collections", "OrderedDict.__init__.__class__") + b"0" + SINGS,
        "dotted through numpy": b"\x80\x04" + stack_global("json", "codecs.builtins.exec") + tuple_(text("open('canary','w')")) + b"R",
        "python 2 name": b"\x80\x02ccommands\ngetoutput\n" + tuple_(COMMAND) + b"R",
        "python 2 builtin": b"\x80\x02c__builtin__\neval\n" + tuple_(text("open('canary','w')")) + b"R",
        "python 2 builtin by STACK_GLOBAL": b"\x80\x02" + stack_global("__builtin__", "execfile") + tuple_(text("planted.py")) + b"R0" + SINGS,
        "popen": b"cos\npopen\n" + tuple_(COMMAND) + b"R",
        "getattr": reduce("builtins:getattr", reduce("builtins:__import__", "os"), "system") + tuple_(COMMAND) + b"R",
        "getattr of a module by a global": reduce("builtins:getattr", glob("random", "_os"), "system") + tuple_(COMMAND) + b"R",
        "attrgetter": reduce(reduce("operator:attrgetter", "system"), reduce("importlib:import_module", "os")) + tuple_(COMMAND) + b"R",
        "methodcaller": reduce(reduce("operator:methodcaller", "system", "touch canary"), reduce("importlib:import_module", "os")),
        "resolve_name": reduce(reduce("pkgutil:resolve_name", "os:system"), "touch canary"),
        "map": reduce("builtins:list", reduce("builtins:map", glob("posix", "system"), ["touch canary"])),
        "filter": reduce("builtins:list", reduce("builtins:filter", glob("posix", "system"), ["touch canary"])),
        "starmap": reduce("collections:deque", reduce("itertools:starmap", glob("posix", "system"), [("touch canary",)])),
        "functools.reduce": reduce("functools:reduce", glob("builtins", "getattr"), ["x", "upper"]) + b"0" + SINGS,
        "max by key": reduce("builtins:eval", "max(['touch canary'], key=__import__('os').system)"),
        "exec": reduce("builtins:exec", "open('canary','w')"),
        "eval": reduce("builtins:eval", "open('canary','w')"),
        "compile and exec": reduce("builtins:exec", reduce("builtins:compile", "open('canary','w')", "", "exec")),
        "open": reduce("builtins:open", "canary", "w"),
        "types.FunctionType": reduce("builtins:exec", reduce("builtins:compile", "open('canary','w')", "x", "single")),
    }  # fmt: skip


def stack_protocol4(module: str, name: str) -> bytes:
    """A dotted name needs protocol 4; PROTO may come again in the middle."""
    return b"\x80\x04" + stack_global(module, name) + tuple_(COMMAND) + b"R"


def _memo() -> dict[str, bytes]:
    return {
        "memo": put(3, SYSTEM) + b"0" + get(3) + tuple_(COMMAND) + b"R",
        "memo out of order": put(70_000, SYSTEM) + b"0Nq\x010" + get(70_000) + tuple_(COMMAND) + b"R",
        "memo by text": SYSTEM + b"p77\n0g77\n" + tuple_(COMMAND) + b"R",
        "memo with leading zeros": SYSTEM + b"p0077\n0g77\n" + tuple_(COMMAND) + b"R",
        "memo with spaces": SYSTEM + b"p 77 \n0g+77\n" + tuple_(COMMAND) + b"R",
        "memo with underscores": SYSTEM + b"p7_7\n0g77\n" + tuple_(COMMAND) + b"R",
        "MEMOIZE": SYSTEM + b"\x940h\x00" + tuple_(COMMAND) + b"R",
        "MEMOIZE after a gap": b"Nr\x00\x01\x00\x000" + SYSTEM + b"\x940h\x01" + tuple_(COMMAND) + b"R",
        "memo of a safe function, written over": put(1, glob("builtins", "len")) + b"0" + put(1, SYSTEM) + b"0" + get(1) + tuple_(COMMAND) + b"R",
        "memo of arguments": put(1, tuple_(COMMAND)) + b"0" + SYSTEM + get(1) + b"R",
        "memo of a container that is filled later": put(1, b"]") + COMMAND + b"a0" + b"cposix\nsystem\n" + reduce("builtins:tuple", get(1)) + b"R",
    }  # fmt: skip


def _structure() -> dict[str, bytes]:
    return {
        "frame": b"\x95" + struct.pack("<Q", len(SINGS)) + SINGS,
        "deep": b"(" * 3000 + SINGS + b"t" * 3000,
        "far behind": b"](" + b"G" + struct.pack(">d", 1.5) + (b"G" + struct.pack(">d", 2.5)) * 20_000 + SINGS + b"e",
        "many strings": b"](" + b"".join(_short(f"word{number}") + b"\x94" for number in range(5000)) + SINGS + b"e",
        "protocol said late": b"\x80\x05" + SINGS,
        "protocol 0 inside": b"I1\n0" + inst("posix:system", "touch canary"),
        "bytearray before": b"\x96" + struct.pack("<Q", 3) + b"abc0" + SINGS,
        "long number before": b"\x8a\x04" + bytes(4) + b"0" + SINGS,
    }


def _objects() -> dict[str, bytes]:
    """Where the payload is a method, a state or an item."""
    return {
        "BUILD on a module": build(reduce("builtins:__import__", "builtins"), {"CANARY": 1}),
        "BUILD on a function": build(glob("posix", "system"), {}) + b"0" + SINGS,
        "BUILD by slots on a class": build(glob("argparse", "Namespace"), tuple_(b"N", lit({"__len__": glob("builtins", "breakpoint")}))) + b"0" + SINGS,
        "SETITEM on os.environ": setitem(glob("os", "environ"), "CANARY", "1"),
        "SETITEM on sys.modules": setitem(glob("sys", "modules"), "zzz", reduce("builtins:exec", "open('canary','w')")),
        "setattr": reduce("builtins:setattr", reduce("builtins:__import__", "builtins"), "CANARY", 1),
        "weakref.finalize": reduce("weakref:finalize", reduce("argparse:Namespace"), glob("posix", "system"), "touch canary"),
        "ExitStack": reduce("contextlib:ExitStack") + b"0" + reduce("atexit:register", glob("posix", "system"), "touch canary") + b"0" + SINGS,
        "partial": reduce(reduce("functools:partial", glob("posix", "system"), "touch canary")),
        "partial, bound later": build(reduce("functools:partial", glob("builtins", "len")), tuple_(glob("posix", "system"), lit(("touch canary",)), b"}", b"N")) + b")R",
        "partial in a defaultdict": reduce("collections:defaultdict", reduce("functools:partial", glob("posix", "system"), "touch canary")),
        "partialmethod": reduce("functools:partialmethod", glob("posix", "system"), "touch canary") + b"0" + SINGS,
        "lru_cache": reduce(reduce("functools:lru_cache", glob("posix", "system")), "touch canary"),
        "singledispatch": reduce(reduce("functools:singledispatch", glob("posix", "system")), "touch canary"),
        "simple namespace": build(reduce("types:SimpleNamespace"), {"predict": reduce("functools:partial", glob("posix", "system"), "touch canary")}),
        "logging config": reduce("logging.config:dictConfig", {"version": 1, "formatters": {"a": {"()": "os.system", "command": "touch canary"}}}),
        "pickle in a pickle": reduce("pickle:loads", bytearray(stream(SINGS))),
        "pickle in a pickle by _pickle": reduce("_pickle:loads", bytearray(stream(SINGS))),
        "unpickler object": reduce("builtins:getattr", reduce("pickle:Unpickler", reduce("io:BytesIO", bytearray(stream(SINGS)))), "load") + b")R",
        "type with a method": reduce(reduce("builtins:type", "X", (glob("builtins", "object"),), {"__init__": reduce("functools:partial", glob("posix", "system"), "touch canary")})),
        "exception": reduce("builtins:Exception", SINGS),
        "string formatter": reduce("builtins:getattr", "{0}", "format") + tuple_(SINGS) + b"R",
        "marshal": reduce("builtins:exec", reduce("marshal:loads", bytearray(_code()))),
        "module beside the model": glob("planted", "x"),
        "module beside the model, called": reduce("planted:x"),
        "package beside the model": glob("planted.sub", "x"),
        "runpy": reduce("runpy:run_path", "planted.py"),
        "import_module": reduce("importlib:import_module", "planted"),
        "extension code": reduce("copyreg:add_extension", "posix", "system", 7) + b"0\x82\x07" + tuple_(COMMAND) + b"R",
        "extension code, two bytes": reduce("copyreg:add_extension", "posix", "system", 300) + b"0\x83\x2c\x01" + tuple_(COMMAND) + b"R",
        "extension code, four bytes": reduce("copyreg:add_extension", "posix", "system", 70_000) + b"0\x84" + struct.pack("<i", 70_000) + tuple_(COMMAND) + b"R",
        "dispatch table": reduce("copyreg:pickle", glob("builtins", "complex"), glob("posix", "system")) + b"0" + SINGS,
    }  # fmt: skip


def _code() -> bytes:
    import marshal

    return marshal.dumps(compile("open('canary','w')", "x", "exec"))


def _streams() -> dict[str, bytes]:
    """What stands before, behind, or is missing."""
    plain = stream(SINGS)
    return {
        "no header": stream(SINGS, None),
        "no STOP": plain[:-1],
        "broken behind": plain[:-1] + b"\xff\xff\xff",
        "error behind: unknown opcode": plain[:-1] + b"~.",
        "error behind: stack": plain[:-1] + b"00000.",
        "error behind: memo": plain[:-1] + b"h\xfe.",
        "error behind: missing module": plain[:-1] + b"cno_such_module\nx\n.",
        "error behind: a call of a constant": plain[:-1] + b"N)R.",
        "error behind: text that is no text": plain[:-1] + b"X\x02\x00\x00\x00\xff\xfe.",
        "error behind: huge": plain[:-1] + b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "error behind: number": plain[:-1] + b"Iabc\n.",
        "error behind: frame": plain[:-1] + b"\x95\xff\xff\xff\xff\xff\xff\xff\x00.",
        "error in front of STOP: header": plain[:-1] + b"\x80\x09.",
        "second stream": stream(lit({"a": 1})) + plain,
        "second stream behind zeros": stream(lit({"a": 1})) + bytes(64) + plain,
        "second stream without header": stream(lit({"a": 1})) + stream(SINGS, None),
        "tenth stream": stream(lit({"a": 1})) * 9 + plain,
        "trailing junk": plain + b"junk" * 100,
        "in front of a zip": plain + _zip({"a.txt": b"text"}),
        "in front of an array": plain + b"\x93NUMPY\x01\x00",
        "import, no header, broken": b"]cplanted\nx\n",
        "import, no header, error behind": b")cplanted\nx\noR.",
        "second stream, import, broken": stream(lit({"a": 1})) + b"cplanted\nx\n",
        "last line without an end": b"\x80\x03cplanted\nx",
        "full stack": stream(b"(" + b"N" * 1_100_000 + SINGS + b"t"),
        "sparse memo": stream(b"N" + b"".join(b"r" + struct.pack("<I", 20 * number) for number in range(210_000)) + SINGS),
        "text in front": b"I1\n0" + stream(SINGS, None),
        "unused text in front": text("PK\x03\x04 this is a zip file") + b"0" + stream(SINGS, None),
        "looks like a csv": b"V1,2,3\n0" + stream(inst("posix:system", "touch canary"), None),
        "looks like JSON": b"}(" + stream(SINGS, None)[:-1] + b"Nu.",
    }  # fmt: skip


def _zip(members: dict[str, bytes]) -> bytes:
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
