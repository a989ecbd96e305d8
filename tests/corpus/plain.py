"""What plain Python programs keep: vocabularies, caches, settings."""

import array
import bz2
import collections
import datetime as dt
import decimal
import fractions
import functools
import gzip
import lzma
import operator
import pathlib
import pickle
import random
import sys
import types
import uuid
from pathlib import Path

VOCABULARY = {f"token{i}": i for i in range(500)}
VALUES = {
    "vocabulary": VOCABULARY,
    "labels": ["cat", "dog", "exec", "eval", "os.system", "__import__"],
    "numbers": [1, 2.5, None, True, 1j, 10**50, -(2**70), float("inf")],
    "bytes": [b"raw", bytearray(b"x" * 300), b""],
    "sets": [{1, 2}, frozenset({3}), set(), (), [], {}],
    "text": ["ünïcode", "a" * 300, "", "\u2028"],
    "collections": [
        collections.OrderedDict(a=1),
        collections.Counter("abca"),
        collections.defaultdict(list, a=[1]),
        collections.defaultdict(int, a=1),
        collections.deque([1, 2], maxlen=3),
    ],
    "time": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.timedelta(1), dt.date(2020, 1, 1), dt.time(1, 2)],
    "exact": [decimal.Decimal("1.5"), fractions.Fraction(1, 3)],
    "names": [uuid.UUID(int=5), pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("a\\b")],
    "space": [types.SimpleNamespace(a=1), slice(1, 2), range(10), Ellipsis],
    "array": [array.array("d", [1.0, 2.0]), array.array("b", [1])],
    "random": [random.Random(1), random.Random(2).getstate()],
    "partial": functools.partial(int, base=2),
    "getter": [operator.itemgetter(1), operator.itemgetter(1, "a")],
    "recursive": None,
}
_loop = []
_loop.append({"self": _loop})
VALUES["recursive"] = _loop


def version():
    return "python" + ".".join(map(str, sys.version_info[:2]))


def _pickled(value, protocol):
    def make(path: Path):
        path.write_bytes(pickle.dumps(value, protocol))

    return make


def _packed(opener):
    def make(path: Path):
        with opener(path, "wb") as file:
            pickle.dump(VALUES["vocabulary"], file, 4)

    return make


def _several(path: Path):
    with path.open("wb") as file:
        for name in ("labels", "numbers", "exact"):
            pickle.dump(VALUES[name], file, 4)


def _python_pickler(path: Path):
    with path.open("wb") as file:
        pickle._Pickler(file, 2).dump([VALUES["vocabulary"], VALUES["time"]])


FILES = {
    f"{name}-p{protocol}.pkl": _pickled(value, protocol) for name, value in VALUES.items() for protocol in (0, 2, 4)
}
FILES = {name: maker for number, (name, maker) in enumerate(FILES.items()) if number % 2 == 0}
FILES["everything-p5.pkl"] = _pickled(list(VALUES.values()), 5)
FILES["vocabulary.pkl.gz"] = _packed(gzip.open)
FILES["vocabulary.pkl.bz2"] = _packed(bz2.open)
FILES["vocabulary.pkl.xz"] = _packed(lzma.open)
FILES["several.pkl"] = _several
FILES["slow-pickler.pkl"] = _python_pickler
