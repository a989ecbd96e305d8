"""Tables and their parts, as pandas pickles them."""

import datetime as dt
import pickle
from pathlib import Path

import numpy as np
import pandas as pd


def version():
    return f"pandas{pd.__version__}-numpy{np.__version__}"


def _pickle(make_value, protocol=4):
    return lambda path: Path(path).write_bytes(pickle.dumps(make_value(), protocol))


def _to_pickle(make_value, **options):
    return lambda path: make_value().to_pickle(path, **options)


def _plain():
    return pd.DataFrame({"a": [1, 2, 3], "b": [0.5, None, 2.0], "c": ["x", "y", None]})


def _typed():
    return pd.DataFrame(
        {
            "category": pd.Categorical(["u", "v", "u"]),
            "ordered": pd.Categorical(["lo", "hi", "lo"], categories=["lo", "hi"], ordered=True),
            "when": pd.to_datetime(["2020-01-01", "2020-01-02", None]),
            "span": pd.to_timedelta([1, 2, 3], unit="D"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "single": np.arange(3, dtype=np.float32),
        }
    )


def _zoned():
    return pd.DataFrame({"t": pd.date_range("2020-01-01", periods=3, tz="UTC"), "v": [1, 2, 3]})


def _indexed():
    index = pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["l", "n"])
    return pd.DataFrame(np.eye(4), index=index, columns=pd.Index(list("wxyz"), name="c"))


FILES = {
    "plain.pkl": _to_pickle(_plain),
    "plain-p2.pkl": _pickle(_plain, 2),
    "typed.pkl": _to_pickle(_typed),
    "zoned.pkl": _to_pickle(_zoned),
    "indexed.pkl": _to_pickle(_indexed),
    "packed.pkl.gz": _to_pickle(_plain),
    "packed.pkl.bz2": _to_pickle(_plain),
    "packed.pkl.zip": _to_pickle(_plain, compression="zip"),
    "series.pkl": _pickle(lambda: pd.Series([1.0, 2.0], index=["a", "b"], name="s")),
    "periods.pkl": _pickle(lambda: pd.Series(pd.period_range("2020-01", periods=3, freq="M"))),
    "intervals.pkl": _pickle(lambda: pd.cut(pd.Series([1, 2, 3, 4]), 2)),
    "text.pkl": _pickle(lambda: pd.Series(["a", None], dtype=pd.StringDtype("python"))),
    "sparse.pkl": _pickle(lambda: pd.Series(pd.arrays.SparseArray([0, 0, 1.0]))),
    "daily.pkl": _pickle(lambda: pd.Series(range(3), index=pd.date_range("2020", periods=3, freq="D"))),
    "dtypes.pkl": _pickle(lambda: _typed().dtypes),
    "timestamps.pkl": _pickle(
        lambda: [pd.Timestamp("2020-01-01"), pd.Timedelta(1), pd.NaT, pd.NA, pd.Timestamp("2020", tz="UTC")]
    ),
    "offsets.pkl": _pickle(lambda: [pd.DateOffset(months=1), pd.offsets.BusinessDay(2), pd.offsets.MonthEnd()]),
    "rangeindex.pkl": _pickle(
        lambda: [pd.RangeIndex(5), pd.Index([1, 2]), pd.Index(["a"]), pd.CategoricalIndex(["a", "b"])]
    ),
    "features.pkl": _pickle(
        lambda: {"columns": _plain().columns, "means": _plain()[["a", "b"]].mean(), "day": dt.date(2020, 1, 1)}
    ),
    "empty.pkl": _pickle(pd.DataFrame),
}
