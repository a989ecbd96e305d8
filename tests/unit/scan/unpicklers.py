"""Python's two unpicklers with everything that runs taken out: they record what they would do, and do none of it."""

import contextlib
import copyreg
import io
import pickle
import random
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.scan.assembler import glob, stack_global, text

from heliotrope.scan.pickles.events import Event, Value

__all__ = ["EXTENSION", "UNPICKLERS", "Heard", "Step", "generated", "hear", "steps"]

Step = tuple[str, ...]
"""What is done, and to what: ("import", module, name), ("call", "global a.b"), ("fill", "object a.b", "append")..."""

EXTENSION = ("extension.registered", "thing")
"""What extension code 1 stands for."""


@dataclass
class Heard:
    """What an unpickler did, and how far it came."""

    steps: list[Step] = field(default_factory=list)
    protocols: list[int] = field(default_factory=list)
    """In force at the imports, where it can be asked."""
    end: int | None = None
    """Behind STOP; None when it stopped with an error."""


class _Listener:
    """Takes down what happens to the stand-ins of one load; `rich` ones have `__setstate__` and `extend`."""

    def __init__(self, *, rich: bool) -> None:
        self.heard = Heard()
        self.rich = rich
        self._classes: dict[tuple[str, str], type] = {}

    def class_of(self, module: str, name: str) -> type:
        if (module, name) == EXTENSION:
            self.heard.steps.append(("extension",))
            return self._made("?", f"? {module}.{name}")
        self.heard.steps.append(("import", *(_ascii(part) for part in (module, name))))
        key = (module, name)
        if key not in self._classes:
            self._classes[key] = self._made(
                f"global {_ascii(module)}.{_ascii(name)}", f"object {_ascii(module)}.{_ascii(name)}"
            )
        return self._classes[key]

    def persistent(self) -> object:
        self.heard.steps.append(("persistent-id",))
        return object.__new__(self._made("persistent", "persistent"))

    def _made(self, label: str, inner: str) -> type:
        """A class whose own uses are noted under one label, and those of its objects under another."""
        return _Meta("Stand_in", (_Thing,), {"_label": label, "_inner": inner, "_listener": self})

    def note(self, *step: str) -> None:
        if step[0] == "call" or self.heard.steps[-1:] != [step]:  # items are added one by one
            self.heard.steps.append(step)

    def made_by(self, label: str) -> object:
        """What a call of something returns."""
        if label.startswith("global "):
            inner = "object " + label.removeprefix("global ")
            return object.__new__(self._made(label, inner))
        return object.__new__(self._made("?", "?"))


def _label(thing: object) -> tuple[_Listener, str]:
    is_class = isinstance(thing, type)
    kind = thing if is_class else type(thing)
    return kind._listener, kind._label if is_class else kind._inner


class _Method:
    """An attribute that says whose it was when it is called."""

    def __init__(self, use: str, *, rich_only: bool = False) -> None:
        self._use = use
        self._rich_only = rich_only

    def __get__(self, instance: object, owner: type) -> Callable[..., None]:
        listener, label = _label(owner if instance is None else instance)
        if self._rich_only and not listener.rich:
            raise AttributeError(self._use)

        def method(*_: object) -> None:
            if self._use == "build":
                listener.note("build", label)
            else:
                listener.note("fill", label, self._use)

        return method


class _State:
    """The `__dict__` of a stand-in without `__setstate__`."""

    def __get__(self, instance: object, owner: type) -> "_Namespace":
        return _Namespace(*_label(owner if instance is None else instance))


class _Namespace(dict[object, object]):
    def __init__(self, listener: _Listener, label: str) -> None:
        super().__init__()
        self._note = lambda: listener.note("build", label)

    def __setitem__(self, key: object, value: object) -> None:
        self._note()


class _Meta(type):
    _listener: _Listener
    _label: str
    _inner: str

    __setstate__ = _Method("build", rich_only=True)
    extend = _Method("append", rich_only=True)
    append = _Method("append")
    add = _Method("add")

    def __call__(cls, *_: object, **__: object) -> object:
        cls._listener.note("call", cls._label)
        return cls._listener.made_by(cls._label)

    def __setitem__(cls, key: object, value: object) -> None:
        cls._listener.note("fill", cls._label, "items")

    def __setattr__(cls, key: str, value: object) -> None:
        cls._listener.note("build", cls._label)


class _Thing(metaclass=_Meta):
    __setstate__ = _Method("build", rich_only=True)  # type: ignore[assignment]
    extend = _Method("append", rich_only=True)  # type: ignore[assignment]
    append = _Method("append")  # type: ignore[assignment]
    add = _Method("add")  # type: ignore[assignment]
    __dict__ = _State()  # type: ignore[assignment]

    def __new__(cls, *_: object, **__: object) -> object:
        listener, label = _label(cls)  # `pickle._Unpickler` calls it on anything
        listener.note("call", label)
        return listener.made_by(label)

    def __call__(self, *_: object, **__: object) -> object:
        listener, label = _label(self)
        listener.note("call", label)
        return listener.made_by(label)

    def __setitem__(self, key: object, value: object) -> None:
        listener, label = _label(self)
        listener.note("fill", label, "items")

    def __setattr__(self, key: str, value: object) -> None:
        listener, label = _label(self)
        listener.note("build", label)


def _of_c(data: bytes, *, rich: bool) -> Heard:
    listener = _Listener(rich=rich)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> type:
            return listener.class_of(module, name)

        def persistent_load(self, _: object) -> object:
            return listener.persistent()

    return _heard(Unpickler, data, listener)


def _of_python(data: bytes, *, rich: bool) -> Heard:
    listener = _Listener(rich=rich)

    class Unpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]  # joblib's is a child of it
        def find_class(self, module: str, name: str) -> type:
            listener.heard.protocols.append(self.proto)
            return listener.class_of(module, name)

        def persistent_load(self, _: object) -> object:
            return listener.persistent()

    return _heard(Unpickler, data, listener)


def _heard(unpickler: Callable[..., pickle.Unpickler], data: bytes, listener: _Listener) -> Heard:
    copyreg.clear_extension_cache()
    file = io.BytesIO(data)
    try:
        unpickler(file, buffers=[bytearray(b"buffer")] * 100, encoding="latin1").load()
    except Exception:  # noqa: BLE001 - whatever stops it, stops it
        return listener.heard
    listener.heard.end = file.tell()
    return listener.heard


UNPICKLERS: dict[str, Callable[[bytes], Heard]] = {
    "C": lambda data: _of_c(data, rich=True),
    "C, poor objects": lambda data: _of_c(data, rich=False),
    "Python": lambda data: _of_python(data, rich=True),
    "Python, poor objects": lambda data: _of_python(data, rich=False),
}


def hear(data: bytes) -> list[tuple[str, Heard]]:
    with _little_memory():
        return [(name, unpickler(data)) for name, unpickler in UNPICKLERS.items()]


@contextlib.contextmanager
def _little_memory() -> Iterator[None]:
    """A memo index of two milliards makes the unpickler of C ask for as many places, which takes its time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = Path("/proc/self/statm")
    if pages.exists():
        used = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def steps(seen: tuple[Event, ...]) -> list[Step]:
    """Our records in the words of the listeners."""
    found: list[Step] = []
    for event in seen:
        if event.kind == "import":
            found.append(("import", _ascii(event.module), _ascii(event.name)))
        elif event.kind in ("computed-import", "extension", "persistent-id"):
            found.append((event.kind,))
        elif event.kind in ("call", "build"):
            found.append((event.kind, _words(event.target)))
        elif event.kind in ("dispute", "defect"):
            found.append((event.kind,))
        elif event.kind == "fill":
            found.append(("fill", _words(event.target), event.use))
    return found


def _ascii(name: str) -> str:
    """What is no ASCII depends on the encoding that a loader chooses for text of Python 2."""
    return name.encode("ascii", "replace").decode()


def _words(value: Value | None) -> str:
    assert value is not None
    if value.kind == "global":
        return f"global {_ascii(value.text or '')}"
    if value.kind in ("result", "instance"):
        return f"object {_ascii(value.text or '')}"
    return {"unresolved": "?", "persistent": "persistent"}.get(value.kind, value.kind)


NAMES = [("os", "system"), ("collections", "OrderedDict"), ("__builtin__", "eval"), ("copy_reg", "_reconstructor")]
_CONSTANTS = [
    b"N",
    b"\x88",
    b"\x89",
    b"K\x07",
    b"M\x07\x01",
    b"J\xff\xff\xff\xff",
    b"G\x3f\xf0\0\0\0\0\0\0",
    b"I12\n",
    b"I01\n",
    b"I0x1f\n",
    b"I010\n",
    b"I\0\n",
    b"I1\0x\n",
    b"I 1_0 \n",
    b"L12L\n",
    b"L0x7\n",
    b"F1.5\n",
    b"F1_0.5\n",
    b"Finf\n",
    b"F1\0x\n",
    b"S'a\\x62'\n",
    b'S"q"\n',
    b"Va\\u0062\n",
    b"U\x01a",
    b"T\x01\0\0\0a",
    text("a"),
    b"\x8c\x01a",
    b"\x8d\x01\0\0\0\0\0\0\0a",
    b"C\x01a",
    b"B\x01\0\0\0a",
    b"\x8e\x01\0\0\0\0\0\0\0a",
    b"\x96\x01\0\0\0\0\0\0\0a0N",  # CPython complains on standard error where READONLY_BUFFER meets one
    b"\x8a\x01\x07",
    b"\x8b\x01\0\0\0\x07",
    b"]",
    b"}",
    b")",
    b"\x8f",
    b"\x97",
]
_IMPORTS = [
    *(glob(*name) for name in NAMES),
    *(stack_global(*name) for name in NAMES[:2]),
    b"S'os'\nU\x06system\x93",
    b"\x82\x01",
    b"\x83\x01\0",
    b"\x84\x01\0\0\0",
    b"Pid\n",
    b"NQ",
]
_CALLS = [
    b")R",
    b"(tR",
    b"NNN\x87R",
    b"]R",
    b"}R",
    text("ab") + b"R",
    b")\x81",
    b"(t\x81",
    b"]\x81",
    b")}\x92",
    b"N\x85}\x92",
]
_CHANGES = [
    b"}b",
    b"N}\x86b",
    b"}NNsb",
    b"N}NNs\x86b",
    b"NNs",
    b"(NNu",
    b"Na",
    b"(Ne",
    b"(N\x90",
    b"(e",
    b"(NNNu",
    b")b",
    b"Nb",
]
_OWN = [
    b"(ios\nsystem\n",
    b"(Nicollections\nOrderedDict\n",
    b"(" + glob("os", "system") + b"o",
    b"(" + stack_global("collections", "OrderedDict") + b"NNo",
    b"(N)o",
]
_NEUTRAL = [
    b"\x80\x00",
    b"\x80\x02",
    b"\x80\x04",
    b"\x80\x05",
    b"\x95\x00\0\0\0\0\0\0\0",
    b"\x95\x05\0\0\0\0\0\0\0",
    b"\x95\x20\0\0\0\0\0\0\0",
    b"N0",
    b"(NN1",
]
_COMBINING = {
    b"2": (1, 2),
    b"0": (1, 0),
    b"\x85": (1, 1),
    b"\x86": (2, 1),
    b"\x87": (3, 1),
    b"Q": (1, 1),
    b"R": (2, 1),
    b"b": (2, 1),
}
_COMBINING |= {
    b"\x81": (2, 1),
    b"\x92": (3, 1),
    b"a": (2, 1),
    b"s": (3, 1),
    b"o": (1, 1),
    b"\x93": (2, 1),
    b"\x98": (1, 1),
}
"""Opcode to what it takes and leaves."""
_INDEXES = (
    *((bytes([code]), bytes([index])) for code in b"qh" for index in (0, 1, 2, 9)),
    *((bytes([code]), bytes([index, 0, 0, 0])) for code in b"rj" for index in (0, 3, 40)),
    *(
        (bytes([code]), index)
        for code in b"pg"
        for index in (b"0\n", b"1\n", b" +2 \n", b"0_1\n", b"1\0x\n", b"-1\n", b"9" * 25 + b"\n")
    ),
)


class _Writer:
    """Writes opcodes that find what they need on the stack, most of the time."""

    def __init__(self, choose: random.Random) -> None:
        self._choose = choose
        self._levels = [0]
        self.parts: list[bytes] = []
        self._put: list[tuple[bytes, bytes]] = []

    def write(self) -> None:
        kind = self._choose.choices(range(8), (5, 3, 5, 2, 1, 1, 4, 2))[0]
        (self._constant, self._import, self._use, self._own, self._combine, self._neutral, self._memo, self._level)[
            kind
        ]()

    def close(self) -> None:
        while len(self._levels) > 1:
            self._leave(self._choose.choice(b"tl1"))
        self._push(b"N")
        self.parts.append(b".")

    def _push(self, part: bytes) -> None:
        self.parts.append(part)
        self._levels[-1] += 1

    def _constant(self) -> None:
        self._push(self._choose.choice(_CONSTANTS))

    def _import(self) -> None:
        self._push(self._choose.choice(_IMPORTS))

    def _use(self) -> None:
        if not self._levels[-1] or self._choose.random() < 0.6:
            self._import()
        self.parts.append(self._choose.choice(self._choose.choice((_CALLS, _CHANGES))))

    def _own(self) -> None:
        self._push(self._choose.choice(_OWN))

    def _combine(self) -> None:
        part, (takes, leaves) = self._choose.choice(list(_COMBINING.items()))
        if takes <= self._levels[-1]:
            self.parts.append(part)
            self._levels[-1] += leaves - takes

    def _neutral(self) -> None:
        self.parts.append(self._choose.choice(_NEUTRAL))

    def _memo(self) -> None:
        if self._choose.random() < 0.3 and self._levels[-1]:
            self.parts.append(b"\x94")
        code, index = self._choose.choice(_INDEXES)
        if code in (b"q", b"r", b"p"):
            if self._levels[-1]:
                self._put.append((code, index))
                self.parts.append(code + index)
        elif self._put and self._choose.random() < 0.95:
            code, index = self._choose.choice(self._put)
            self._push({b"q": b"h", b"r": b"j", b"p": b"g"}[code] + index)
        else:
            self._push(code + index)

    def _level(self) -> None:
        if len(self._levels) > 1 and self._choose.random() < 0.5:
            self._leave(self._choose.choice(b"tld1\x91o0"))
        else:
            self.parts.append(b"(")
            self._levels.append(0)

    def _leave(self, code: int) -> None:
        self.parts.append(bytes([code]))
        if code == ord("0") and self._levels[-1]:
            self._levels[-1] -= 1
            return
        self._levels.pop()
        self._levels[-1] += code not in b"10"


def generated(seed: int) -> bytes:
    """A stream of opcodes of every kind, now and then with damage; most of it is what an unpickler accepts."""
    choose = random.Random(seed)
    writer = _Writer(choose)
    for _ in range(choose.randrange(2, 30)):
        writer.write()
    writer.close()
    head = b"" if choose.random() < 0.3 else bytes([0x80, choose.randrange(6)])
    data = bytearray(head + b"".join(writer.parts))
    for _ in range(choose.choice((0, 0, 0, 1, 2))):
        at = choose.randrange(len(data))
        change = choose.randrange(4)
        if change == 0:
            data[at] = choose.randrange(256)
        elif change == 1:
            del data[at : at + choose.randrange(1, 5)]
        elif change == 2:
            data[at:at] = data[at : at + choose.randrange(1, 9)]
        else:
            del data[at + 1 :]
        data = data or bytearray(b".")
    return bytes(data)


copyreg.add_extension(*EXTENSION, 1)
