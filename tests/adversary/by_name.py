"""Attacks that choose a method by its name: the file holds an object, a text, and an estimator that puts them together."""

from tests.adversary.program import bytes_, dictionary, lit, named, new, pickled, reduce, state_of, text, tuple_

__all__ = ["programs"]

STACKING = "sklearn.ensemble._stacking:StackingRegressor"
EVALUATED = "@np.lib._npyio_impl.os.system('touch canary')"
PATH = reduce("pathlib:PosixPath", "canary")


def _bunch(**attributes: bytes) -> bytes:
    return reduce("types:SimpleNamespace") + dictionary(attributes) + b"b"


def _stacking(estimator: bytes, method: bytes | str, *, methods: bytes | None = None) -> bytes:
    no, none = b"\x89", b"N"
    return state_of(
        STACKING,
        dictionary(
            {
                "estimators_": lit([estimator]),
                "stack_method_": lit([method]) if methods is None else methods,
                "estimators": lit([("a", estimator)]),
                "final_estimator_": _bunch(predict=named("builtins:len")),
                **dict.fromkeys(("final_estimator", "cv", "n_jobs"), none),
                "passthrough": no,
                "verbose": lit(0),
                "stack_method": lit("auto"),
            }
        ),
    )


def _always(value: str) -> bytes:
    """A transformer that returns one text, whatever it is given."""
    function = reduce("functools:partial", named("torch.jit._pickle:restore_type_tag"), value)
    no = dict.fromkeys(("validate", "accept_sparse", "check_inverse"), b"\x89")
    none = dict.fromkeys(("inverse_func", "feature_names_out", "kw_args", "inv_kw_args"), b"N")
    return state_of(
        "sklearn.preprocessing._function_transformer:FunctionTransformer", dictionary({**no, **none, "func": function})
    )


def _frozen(estimator: bytes) -> bytes:
    """Compares with text, which tables and arrays do not, and hands out their methods."""
    return state_of("sklearn.frozen._frozen:FrozenEstimator", dictionary({"estimator": estimator}))


def _pipeline(given: str, last: bytes) -> bytes:
    steps = lit([("first", _always(given)), ("last", last)])
    state = {"steps": steps, "memory": b"N", "verbose": b"\x89", "transform_input": b"N"}
    return state_of("sklearn.pipeline:Pipeline", dictionary(state))


def _wide(value: str) -> bytes:
    """A text of numpy, in four bytes a character."""
    import numpy as np

    return pickled(np.str_(value))


def _table() -> bytes:
    import pandas as pd

    return _frozen(pickled(pd.DataFrame({"a": [1.0, 2.0]})))


def _array() -> bytes:
    import numpy as np

    return _frozen(pickled(np.array([1, 2])))


def programs() -> dict[str, bytes]:
    long_text = b"\x8d" + (6).to_bytes(8, "little") + b"tofile"
    return {
        "method of a path": _stacking(PATH, "write_bytes"),
        "method that removes": _stacking(PATH, "unlink"),
        "method of a table": _pipeline("canary", _stacking(_table(), "to_csv")),
        "method that evaluates": _pipeline(EVALUATED, _stacking(_table(), "eval")),
        "method of an array": _pipeline("canary", _stacking(_array(), "tofile")),
        "method dump": _pipeline("canary", _stacking(_array(), "dump")),
        "method as a line": _pipeline("canary", _stacking(_array(), b"Vtofile\n")),
        "method as an escaped line": _pipeline("canary", _stacking(_array(), b"Vt\\u006ffile\n")),
        "method as an escaped string": _pipeline("canary", _stacking(_array(), b"S't\\x6ffile'\n")),
        "method as a long text": _pipeline("canary", _stacking(_array(), long_text)),
        "method as bytes": _pipeline("canary", _stacking(_array(), reduce("builtins:str", bytearray(b"tofile"), "ascii"))),
        "method as other bytes": _pipeline(
            "canary", _stacking(_array(), reduce("builtins:str", bytearray("tofile".encode("utf-16")), "utf-16"))
        ),
        "method as numbers": _pipeline(
            "canary", _stacking(_array(), reduce("builtins:str", reduce("builtins:bytes", list(b"tofile")), "ascii"))
        ),
        "method in wide letters": _pipeline("canary", _stacking(_array(), _wide("tofile"))),
        "methods as a tuple": _pipeline("canary", _stacking(_array(), "", methods=tuple_(text("tofile")))),
        "index that is an array": reduce(
            "pandas.core.indexes.base:_new_Index",
            named("numpy:ndarray"),
            dictionary({"shape": lit((1,)), "dtype": lit("O"), "buffer": bytes_(b"A" * 8)}),
        ),
        "array of pointers": new(
            "functools:partial", named("numpy:ndarray"), (1,), "O", bytearray(b"A" * 8)
        ),
        "fraction of a billion digits": reduce("fractions:Fraction", "1e1000000000"),
        "codec that takes long": reduce("builtins:bytes", "\u0101" * 10, "punycode"),
    }  # fmt: skip
