"""More tables: time series, groups, wide and nested ones."""

import decimal

import numpy as np
import pandas as pd

from tests.corpus.frames import _pickle


def version():
    return f"pandas{pd.__version__}-numpy{np.__version__}"


def _series(freq, **options):
    return lambda: pd.DataFrame({"v": range(4)}, index=pd.date_range("2021-03-01", periods=4, freq=freq, **options))


FILES = {
    "weekly.pkl": _pickle(_series("W")),
    "monthly-zone.pkl": _pickle(_series("D", tz="Europe/Berlin")),
    "quarterly.pkl": _pickle(lambda: pd.Series(range(3), index=pd.period_range("2020Q1", periods=3, freq="Q"))),
    "business.pkl": _pickle(_series("B")),
    "deltas.pkl": _pickle(lambda: pd.Series(range(3), index=pd.timedelta_range("1h", periods=3))),
    "wide.pkl": _pickle(
        lambda: pd.DataFrame(
            np.random.RandomState(0).rand(3, 60).astype("float32"), columns=[f"f{i}" for i in range(60)]
        ),
        5,
    ),
    "mixed.pkl": _pickle(
        lambda: pd.DataFrame({"o": [1, "a", None], "d": [decimal.Decimal("1.1")] * 3, "l": [[1], [2], []]})
    ),
    "nullable-floats.pkl": _pickle(
        lambda: pd.DataFrame({"f": pd.array([1.5, None], dtype="Float64"), "i": pd.array([1, 2], dtype="Int8")})
    ),
    "category-numbers.pkl": _pickle(lambda: pd.Series([1, 2, 1], dtype="category"), 2),
    "named-axes.pkl": _pickle(lambda: pd.crosstab(pd.Series(["a", "b", "a"]), pd.Series([1, 2, 2]))),
    "settings.pkl": _pickle(
        lambda: {"min": pd.Timestamp("2020-01-01"), "step": pd.Timedelta("1D"), "frame": pd.DataFrame({"x": [1]})}
    ),
    "interval-index.pkl": _pickle(lambda: pd.Series([1, 2], index=pd.interval_range(0, 2))),
}
