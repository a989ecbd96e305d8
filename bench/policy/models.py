"""Files as frameworks write them, from whatever is installed: material for bench/policy/propose.py and for a benign corpus.

Run by the Python that has the framework versions, each in an environment of its own (docs/design/scanning.md, "The policy"):
`python bench/policy/models.py OUT`. Writes OUT/NAME.PROTOCOL.pkl and OUT/NAME.joblib; what a version does not have is
left out and counted.
"""

import functools
import inspect
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import scipy
import scipy.sparse

Make = Callable[[], Any]
RANDOM = np.random.RandomState(0)
SAMPLES = RANDOM.normal(size=(80, 6))
POSITIVE = np.abs(SAMPLES)
CLASSES = (SAMPLES[:, 0] + SAMPLES[:, 1] > 0).astype(int)
TARGET = SAMPLES[:, 0] * 2 + SAMPLES[:, 1]
TEXTS = ["a cat sat", "the dog ran far", "a bird and a cat", "no dog here"] * 20
CATBOOST = {"iterations": 2, "verbose": 0, "allow_writing_files": False}
SKIPPED_ESTIMATORS = frozenset({"SparseCoder", "FrozenEstimator", "ClassifierChain", "RegressorChain"})


def _estimators() -> Iterator[tuple[str, Make]]:
    """Every estimator that can be made without arguments, fitted on small data where it can be."""
    from sklearn.utils import all_estimators

    for name, cls in all_estimators():
        if name not in SKIPPED_ESTIMATORS:
            yield f"estimator-{name}", functools.partial(_fitted, cls)


def _fitted(cls: Any) -> Any:  # noqa: C901, PLR0912 - one branch for each kind of argument
    from sklearn.linear_model import LinearRegression, LogisticRegression

    arguments: dict[str, Any] = {}
    names = inspect.signature(cls).parameters
    if "estimators" in names:
        regression = "Regressor" in cls.__name__
        arguments["estimators"] = [("a", LinearRegression() if regression else LogisticRegression())]
    elif "transformers" in names:
        arguments["transformers"] = [("all", "passthrough", [0, 1])]
    elif "transformer_list" in names:
        from sklearn.preprocessing import StandardScaler

        arguments["transformer_list"] = [("a", StandardScaler())]
    elif "steps" in names:
        arguments["steps"] = [("a", LogisticRegression())]
    elif "estimator" in names or "base_estimator" in names:
        key = "estimator" if "estimator" in names else "base_estimator"
        if cls.__name__ not in {"BaggingClassifier", "AdaBoostClassifier", "BaggingRegressor", "AdaBoostRegressor"}:
            arguments[key] = LinearRegression() if "Regress" in cls.__name__ else LogisticRegression()
    if "param_grid" in names:
        arguments["param_grid"] = {"C": [0.1, 1.0]}
    if "param_distributions" in names:
        arguments.update(param_distributions={"C": [0.1, 1.0]})
        if "n_iter" in names:
            arguments["n_iter"] = 2
    if "n_estimators" in names:
        arguments["n_estimators"] = 3
    if "max_iter" in names and "Hist" in cls.__name__:
        arguments["max_iter"] = 3
    model = cls(**arguments)
    for fit in (
        lambda: model.fit(SAMPLES, CLASSES),
        lambda: model.fit(POSITIVE, CLASSES),
        lambda: model.fit(SAMPLES, TARGET),
        lambda: model.fit(SAMPLES[:, 0], TARGET),
        lambda: model.fit(POSITIVE, np.column_stack([CLASSES, 1 - CLASSES])),
        lambda: model.fit(SAMPLES, np.column_stack([TARGET, TARGET])),
        lambda: model.fit(TEXTS),
        lambda: model.fit([{"a": 1}, {"b": 2}]),
        lambda: model.fit(CLASSES),
        lambda: model.fit(SAMPLES @ SAMPLES.T, CLASSES),
        lambda: model.fit([[1, 2], [3]]),
    ):
        try:
            fit()
            break
        except Exception:  # noqa: BLE001, S112 - an unfitted model is a model as well
            continue
    return model


def _sklearn() -> Iterator[tuple[str, Make]]:  # noqa: C901, PLR0912, PLR0915 - a list
    from scipy import stats
    from sklearn import (
        cluster,
        compose,
        ensemble,
        feature_extraction,
        feature_selection,
        gaussian_process,
        metrics,
        model_selection,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.decomposition import NMF, PCA
    from sklearn.feature_extraction import text
    from sklearn.gaussian_process import kernels
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, SGDClassifier

    table = pd.DataFrame(SAMPLES, columns=list("abcdef")).assign(kind=["x", "y"] * 40)

    def columns() -> Any:
        numbers = pipeline.make_pipeline(SimpleImputer(), preprocessing.StandardScaler())
        parts = [
            ("numbers", numbers, compose.make_column_selector(dtype_include=np.number)),
            ("kinds", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ]
        return pipeline.make_pipeline(compose.ColumnTransformer(parts), LogisticRegression()).fit(table, CLASSES)

    yield "columns", columns
    yield (
        "search",
        lambda: model_selection.GridSearchCV(svm.SVC(), {"C": [1, 2], "kernel": ["rbf"]}, cv=2).fit(SAMPLES, CLASSES),
    )
    for scoring in ("roc_auc", "neg_log_loss", ["f1", "accuracy"]):
        yield (
            f"search-{scoring if isinstance(scoring, str) else 'several'}",
            lambda scoring=scoring: model_selection.GridSearchCV(
                LogisticRegression(), {"C": [1, 2]}, scoring=scoring, refit=False, cv=model_selection.StratifiedKFold(2)
            ).fit(SAMPLES, CLASSES),
        )
    distributions = {
        "uniform": stats.uniform(0.1, 2), "loguniform": stats.loguniform(1e-2, 1e2), "expon": stats.expon(scale=1.0),
        "norm": stats.norm(1, 0.1), "gamma": stats.gamma(2.0), "beta": stats.beta(1, 2), "randint": stats.randint(1, 5),
        "truncnorm": stats.truncnorm(0, 1), "poisson": stats.poisson(3), "lognorm": stats.lognorm(0.5), "triang": stats.triang(0.5),
    }  # fmt: skip
    for name, distribution in distributions.items():
        yield f"distribution-{name}", lambda distribution=distribution: distribution
    yield (
        "randomized",
        lambda: model_selection.RandomizedSearchCV(
            LogisticRegression(),
            {"C": distributions["loguniform"]},
            n_iter=2,
            random_state=np.random.RandomState(1),
            cv=2,
        ).fit(SAMPLES, CLASSES),
    )
    yield "tfidf", lambda: text.TfidfVectorizer(stop_words="english", analyzer="word", ngram_range=(1, 2)).fit(TEXTS)
    yield "tfidf-characters", lambda: text.TfidfVectorizer(analyzer="char_wb", dtype=np.float32).fit(TEXTS)
    yield (
        "tfidf-tokens",
        lambda: text.TfidfVectorizer(tokenizer=str.split, preprocessor=str.lower, token_pattern=None).fit(TEXTS),
    )
    yield "tfidf-frozen", lambda: text.CountVectorizer(stop_words=list(text.ENGLISH_STOP_WORDS)).fit(TEXTS)
    yield "stop-words", lambda: text.ENGLISH_STOP_WORDS
    yield (
        "text",
        lambda: pipeline.make_pipeline(text.HashingVectorizer(n_features=64), SGDClassifier()).fit(TEXTS, CLASSES),
    )
    yield "dicts", lambda: feature_extraction.DictVectorizer().fit([{"a": 1}, {"b": "x"}])
    for method in ("sigmoid", "isotonic"):
        yield (
            f"calibrated-{method}",
            lambda method=method: CalibratedClassifierCV(naive_bayes.GaussianNB(), method=method, cv=2).fit(
                SAMPLES, CLASSES
            ),
        )
    kernel_sum = 1.0 * kernels.RBF() + kernels.WhiteKernel() + kernels.Matern() * kernels.DotProduct() ** 2
    for name, kernel in {"sum": kernel_sum, "periodic": kernels.ExpSineSquared() + kernels.RationalQuadratic()}.items():
        yield (
            f"gaussian-{name}",
            lambda kernel=kernel: gaussian_process.GaussianProcessRegressor(kernel).fit(SAMPLES, TARGET),
        )
    for metric in ("minkowski", "manhattan", "chebyshev", "cosine", "haversine", "euclidean"):
        for algorithm in ("ball_tree", "kd_tree", "brute"):
            yield (
                f"neighbours-{metric}-{algorithm}",
                lambda metric=metric, algorithm=algorithm: neighbors.KNeighborsClassifier(
                    metric=metric, algorithm=algorithm
                ).fit(SAMPLES[:, :2], CLASSES),
            )
    yield "density", lambda: neighbors.KernelDensity().fit(SAMPLES)
    for loss in ("squared_error", "absolute_error", "poisson", "quantile", "gamma"):
        arguments = {"quantile": 0.5} if loss == "quantile" else {}
        yield (
            f"histograms-{loss}",
            lambda loss=loss, arguments=arguments: ensemble.HistGradientBoostingRegressor(
                loss=loss, max_iter=3, **arguments
            ).fit(SAMPLES, np.abs(TARGET) + 0.1),
        )
        yield (
            f"boosting-{loss}",
            lambda loss=loss: ensemble.GradientBoostingRegressor(loss=loss, n_estimators=3).fit(SAMPLES, TARGET),
        )
    yield (
        "boosting-exponential",
        lambda: ensemble.GradientBoostingClassifier(loss="exponential", n_estimators=3).fit(SAMPLES, CLASSES),
    )
    yield (
        "histograms-multi",
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=3, early_stopping=True).fit(
            SAMPLES, np.arange(80) % 3
        ),
    )
    for loss in (
        "hinge",
        "log_loss",
        "modified_huber",
        "squared_hinge",
        "perceptron",
        "squared_error",
        "huber",
        "epsilon_insensitive",
    ):
        yield f"descent-{loss}", lambda loss=loss: SGDClassifier(loss=loss).fit(SAMPLES, CLASSES)
    for solver in ("adam", "sgd", "lbfgs"):
        yield (
            f"network-{solver}",
            lambda solver=solver: neural_network.MLPClassifier(5, solver=solver, max_iter=5).fit(SAMPLES, CLASSES),
        )
    functions = {
        "log1p": np.log1p, "partial": functools.partial(np.clip, a_min=0, a_max=1), "scale": preprocessing.scale, "exp": np.exp,
        "power": np.power, "mean": np.mean, "nan_to_num": np.nan_to_num, "expit": scipy.special.expit, "None": None, "sqrt": np.sqrt,
    }  # fmt: skip
    for name, function in functions.items():
        yield f"function-{name}", lambda function=function: preprocessing.FunctionTransformer(function)
    for name in ("f_classif", "chi2", "mutual_info_classif", "f_regression", "r_regression"):
        yield (
            f"select-{name}",
            lambda name=name: feature_selection.SelectKBest(getattr(feature_selection, name), k=2).fit(
                POSITIVE, CLASSES
            ),
        )
    for name in ("rbf_kernel", "polynomial_kernel", "cosine_similarity", "euclidean_distances"):
        yield f"kernel-{name}", lambda name=name: svm.SVC(kernel=getattr(metrics.pairwise, name)).fit(SAMPLES, CLASSES)
    for name in ("accuracy_score", "mean_squared_error", "f1_score", "r2_score", "roc_auc_score"):
        yield f"scorer-{name}", lambda name=name: metrics.make_scorer(getattr(metrics, name), greater_is_better=True)
    for name in model_selection.__all__:
        cls = getattr(model_selection, name, None) if not name.startswith("Halving") else None
        if isinstance(cls, type) and name.endswith(("Fold", "Split", "Out")):
            yield f"split-{name}", lambda cls=cls: cls(2) if "Leave" in cls.__name__ and "P" in cls.__name__ else cls()
    yield "grid", lambda: model_selection.ParameterGrid({"a": [1, 2]})
    yield "clusters", lambda: cluster.KMeans(2, random_state=np.random.RandomState(2), n_init=2).fit(SAMPLES)
    yield "birch", lambda: cluster.Birch(n_clusters=2).fit(SAMPLES)
    yield "reduced", lambda: pipeline.make_union(PCA(2), NMF(2)).fit(POSITIVE)
    yield (
        "stack",
        lambda: ensemble.StackingClassifier(
            [("a", tree.DecisionTreeClassifier()), ("b", svm.SVC(probability=True))]
        ).fit(SAMPLES, CLASSES),
    )
    yield (
        "encoders",
        lambda: [preprocessing.LabelEncoder().fit(["a", "b"]), preprocessing.OrdinalEncoder().fit([["a"], ["b"]])],
    )
    yield "named", lambda: preprocessing.StandardScaler().set_output(transform="pandas").fit(table[["a", "b"]])
    yield "bunch", lambda: __import__("sklearn.utils", fromlist=["Bunch"]).Bunch(a=1)


def _pandas() -> Iterator[tuple[str, Make]]:
    def values() -> dict[str, Any]:
        return {
            "numbers": pd.DataFrame(SAMPLES), "mixed": pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1.5, None], "d": [True, False]}),
            "categories": pd.DataFrame({"c": pd.Categorical(["a", "b"], ordered=True)}), "dates": pd.Series(pd.date_range("2020", periods=3)),
            "zones": pd.Series(pd.date_range("2020", periods=3, tz="Europe/Berlin")), "utc": pd.Series(pd.date_range("2020", periods=3, tz="UTC")),
            "spans": pd.Series(pd.to_timedelta([1, 2], unit="h")), "periods": pd.Series(pd.period_range("2020", periods=3, freq="M")),
            "intervals": pd.cut(pd.Series([1.0, 2.0, 3.0]), 2), "whole": pd.Series(pd.array([1, None], dtype="Int64")),
            "bytes": pd.Series([b"x"]), "bool": pd.Series(pd.array([True, None], dtype="boolean")), "real": pd.Series([1.5, None], dtype="Float32"),
            "multi": pd.DataFrame({"v": [1, 2]}, index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", "n"])),
            "sparse": pd.Series(pd.arrays.SparseArray([0, 0, 1])), "stamp": pd.Timestamp("2020-01-01", tz="UTC"), "na": pd.NA, "nat": pd.NaT,
            "delta": pd.Timedelta(1, "h"), "interval": pd.Interval(0, 1), "period": pd.Period("2020-01", "M"), "offset": pd.offsets.MonthEnd(2),
            "index": pd.Index([1, 2, 3], name="i"), "range": pd.RangeIndex(5), "texts": pd.Index(["a", "b"]), "business": pd.offsets.BDay(),
            "category-index": pd.CategoricalIndex(["a"]), "interval-index": pd.interval_range(0, 3), "period-index": pd.period_range("2020", periods=2, freq="D"),
            "types": [pd.Int8Dtype(), pd.CategoricalDtype(["a"]), pd.DatetimeTZDtype("ns", "UTC"), pd.PeriodDtype("M"), pd.IntervalDtype("int64"), pd.SparseDtype("float64", 0.0)],
            "objects": pd.Series([{"a": 1}, [1], None]), "empty": pd.DataFrame(), "stamp-local": pd.Timestamp("2020-01-01 10:00"),
            "hours": pd.date_range("2020", periods=3, freq="h" if pd.__version__ >= "2.2" else "H"), "slice": pd.DataFrame(SAMPLES).iloc[::2],
        }  # fmt: skip

    for name, value in values().items():
        yield f"pandas-{name}", lambda value=value: value
    yield "pandas-string", lambda: pd.Series(["a", None], dtype="string")
    yield "pandas-string-python", lambda: pd.Series(["a", None], dtype="string[python]")


def _numpy() -> Iterator[tuple[str, Make]]:
    values = {
        "floats": SAMPLES, "fortran": np.asfortranarray(SAMPLES), "objects": np.array([1, "a", None], object), "records": np.zeros(2, [("a", "i4"), ("b", "f8", (2,))]),
        "text": np.array(["a", "bc"]), "bytes": np.array([b"a"]), "dates": np.array(["2020-01-01"], "M8[D]"), "spans": np.array([1], "m8[s]"), "bool": np.array([True]),
        "scalars": [np.float32(1), np.int64(2), np.bool_(True), np.str_("x"), np.datetime64("2020"), np.complex128(1j), np.float16(1), np.void(b"ab")],
        "masked": np.ma.array([1, 2], mask=[0, 1]), "matrix": np.matrix([[1, 2]]), "recarray": np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        "state": np.random.RandomState(0), "generator": np.random.default_rng(0), "pcg": np.random.PCG64DXSM(0), "mt": np.random.MT19937(0), "seed": np.random.SeedSequence(1),
        "philox": np.random.Generator(np.random.Philox(0)), "sfc": np.random.Generator(np.random.SFC64(0)), "legacy": np.random.RandomState(0).get_state(),
        "types": [np.dtype("f4"), np.dtype(object), np.float32, np.int64, np.ndarray, np.dtype([("a", "i4")])], "polynomial": np.polynomial.Polynomial([1, 2]), "poly1d": np.poly1d([1, 2]),
        "functions": [np.sum, np.mean, np.add, np.linalg.norm, np.median, np.tanh], "zero": np.array(5.0), "empty": np.zeros((0, 3)), "masked-constant": np.ma.masked,
        "nested": {"a": [SAMPLES, {"b": SAMPLES.astype("f4")}]}, "views": [SAMPLES[::2], SAMPLES.T], "big": SAMPLES.astype(">f8"),
    }  # fmt: skip
    for name, value in values.items():
        yield f"numpy-{name}", lambda value=value: value


def _scipy() -> Iterator[tuple[str, Make]]:
    from scipy import interpolate, spatial

    for kind in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        yield f"sparse-{kind}", lambda kind=kind: getattr(scipy.sparse, f"{kind}_matrix")(np.eye(3))
        yield f"sparse-array-{kind}", lambda kind=kind: getattr(scipy.sparse, f"{kind}_array")(np.eye(3))
    grid = np.arange(6.0)
    yield "interp1d", lambda: interpolate.interp1d(grid, grid)
    yield "interp1d-cubic", lambda: interpolate.interp1d(grid, grid, kind="cubic")
    for name in ("CubicSpline", "PchipInterpolator", "Akima1DInterpolator", "UnivariateSpline"):
        yield f"scipy-{name}", lambda name=name: getattr(interpolate, name)(grid, grid)
    yield "scipy-bspline", lambda: interpolate.make_interp_spline(grid, grid)
    yield "scipy-grid", lambda: interpolate.RegularGridInterpolator((grid, grid), np.outer(grid, grid))
    yield "scipy-rbf", lambda: interpolate.RBFInterpolator(SAMPLES, TARGET)
    yield "scipy-kdtree", lambda: spatial.KDTree(SAMPLES)
    yield "scipy-ckdtree", lambda: spatial.cKDTree(SAMPLES)
    yield "scipy-rotation", lambda: spatial.transform.Rotation.from_euler("z", 1)
    yield (
        "scipy-result",
        lambda: __import__("scipy.optimize", fromlist=["minimize"]).minimize(lambda x: float(x @ x), [1.0]),
    )
    yield "scipy-kde", lambda: __import__("scipy.stats", fromlist=["gaussian_kde"]).gaussian_kde(TARGET)


def _boosters() -> Iterator[tuple[str, Make]]:
    try:
        import xgboost as xgb

        for name in ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"):
            yield (
                f"xgboost-{name}",
                lambda name=name: getattr(xgb, name)(n_estimators=2, n_jobs=1).fit(SAMPLES, CLASSES),
            )
        yield "xgboost-ranker", lambda: xgb.XGBRanker(n_estimators=2).fit(SAMPLES, CLASSES, group=[40, 40])
        yield "xgboost-booster", lambda: xgb.train({}, xgb.DMatrix(SAMPLES, CLASSES), 2)
        yield "xgboost-linear", lambda: xgb.XGBClassifier(booster="gblinear", n_estimators=2).fit(SAMPLES, CLASSES)
        yield (
            "xgboost-early",
            lambda: xgb.XGBClassifier(
                n_estimators=5, callbacks=[xgb.callback.EarlyStopping(2), xgb.callback.EvaluationMonitor()]
            ).fit(SAMPLES, CLASSES, eval_set=[(SAMPLES, CLASSES)], verbose=False),
        )
        yield (
            "xgboost-stopping",
            lambda: xgb.XGBClassifier(n_estimators=5, early_stopping_rounds=2, eval_metric="auc").fit(
                SAMPLES, CLASSES, eval_set=[(SAMPLES, CLASSES)], verbose=False
            ),
        )
    except ImportError:
        pass
    try:
        import lightgbm as lgb

        for name in ("LGBMClassifier", "LGBMRegressor"):
            yield (
                f"lightgbm-{name}",
                lambda name=name: getattr(lgb, name)(n_estimators=2, n_jobs=1, verbose=-1).fit(SAMPLES, CLASSES),
            )
        yield (
            "lightgbm-ranker",
            lambda: lgb.LGBMRanker(n_estimators=2, verbose=-1).fit(SAMPLES, CLASSES, group=[40, 40]),
        )
        yield "lightgbm-booster", lambda: lgb.train({"verbose": -1}, lgb.Dataset(SAMPLES, CLASSES), 2)
        yield (
            "lightgbm-early",
            lambda: lgb.LGBMClassifier(n_estimators=5, verbose=-1).fit(
                SAMPLES, CLASSES, eval_set=[(SAMPLES, CLASSES)], callbacks=[lgb.early_stopping(2, verbose=False)]
            ),
        )
    except ImportError:
        pass
    try:
        import catboost as cb

        for name in ("CatBoostClassifier", "CatBoostRegressor", "CatBoost"):
            yield (
                f"catboost-{name}",
                lambda name=name: getattr(cb, name)(**CATBOOST if name != "CatBoost" else {"params": CATBOOST}).fit(
                    SAMPLES, CLASSES
                ),
            )
        yield (
            "catboost-early",
            lambda: cb.CatBoostClassifier(
                iterations=5, early_stopping_rounds=2, verbose=0, allow_writing_files=False
            ).fit(SAMPLES, CLASSES, eval_set=(SAMPLES, CLASSES)),
        )
        yield (
            "catboost-pool",
            lambda: cb.CatBoostRanker(iterations=2, verbose=0, allow_writing_files=False).fit(
                SAMPLES, CLASSES, group_id=np.arange(80) // 40
            ),
        )
    except ImportError:
        pass


def main(out: Path) -> None:
    warnings.simplefilter("ignore")
    out.mkdir(parents=True, exist_ok=True)
    written = failed = 0
    for group in (_numpy, _scipy, _pandas, _sklearn, _estimators, _boosters):
        for name, make in group():
            try:
                value = make()
            except Exception:  # noqa: BLE001 - a version lacks something
                failed += 1
                print(f"# {name}: {traceback.format_exc(limit=0).strip().splitlines()[-1][:160]}", file=sys.stderr)
                continue
            for protocol in (2, 4) if name.startswith("estimator") else (0, 2, 3, 4, 5):
                try:
                    (out / f"{name}.{protocol}.pkl").write_bytes(pickle.dumps(value, protocol))
                    written += 1
                except Exception:  # noqa: BLE001, S112 - old protocols cannot hold everything
                    continue
            joblib.dump(value, out / f"{name}.joblib")
            written += 1
    print(f"{written} files, {failed} not made", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
