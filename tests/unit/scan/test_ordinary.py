"""What frameworks write every day is clean, with nothing above info."""

import argparse
import collections
import datetime as dt
import decimal
import functools
import pathlib
import pickle
import random
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import scan_paths

pytestmark = pytest.mark.torch

torch = pytest.importorskip("torch")
numpy = pytest.importorskip("numpy")


def scanned(path: Path) -> FileReport:
    (report,) = scan_paths([path]).files
    return report


def assert_ordinary(path: Path) -> None:
    report = scanned(path)
    assert [item for item in report.findings if item.severity != "info"] == []
    assert report.incomplete == ()
    assert report.verdict == "clean"


def network() -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def checkpoint() -> dict[str, Any]:
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    return {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
        "torch": torch.get_rng_state(),
        "numpy": numpy.random.RandomState(0).get_state(),
        "generator": numpy.random.default_rng(0),
        "python": random.getstate(),
        "arguments": argparse.Namespace(lr=0.1, layers=[1, 2], out=pathlib.PurePosixPath("runs")),
        "loss": numpy.float64(1.5),
    }


def odd_tensors() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "quantised": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
            "sparse": torch.eye(3).to_sparse(),
            "rows": torch.eye(3).to_sparse_csr(),
            "bfloat": torch.zeros(2, dtype=torch.bfloat16),
            "float8": torch.zeros(2, dtype=torch.float8_e4m3fn),
            "complex": torch.zeros(2, dtype=torch.complex64),
            "parameter": torch.nn.Parameter(torch.zeros(1)),
            "type": torch.float16,
            "device": torch.device("cpu"),
            "size": torch.Size([1, 2]),
        }


TORCH: dict[str, Callable[[], Any]] = {
    "state dict": lambda: network().state_dict(),
    "checkpoint": checkpoint,
    "odd tensors": odd_tensors,
    "module": network,
    "transformer": lambda: torch.nn.Transformer(16, 2, 1, 1, 32, batch_first=True),
    "recurrent": lambda: torch.nn.LSTM(4, 4),
    "optimizer": lambda: torch.optim.SGD(network().parameters(), lr=0.1),
}


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files(name: str, zipped: bool, tmp_path: Path) -> None:  # noqa: FBT001
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(TORCH[name](), path, _use_new_zipfile_serialization=zipped)
    assert_ordinary(path)
    assert scanned(path).format == ("torch-zip" if zipped else "torch-legacy")


@pytest.mark.parametrize("length", [1, 20, 21, 22])
def test_the_length_of_a_torch_file_s_name_does_not_matter(length: int, tmp_path: Path) -> None:
    """The first entry of the directory is then as long as both end records."""
    torch.save(network(), tmp_path / f"{'n' * length}.pt")
    assert_ordinary(tmp_path / f"{'n' * length}.pt")


def test_a_module_says_that_it_needs_code(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "model.pt")
    assert "pickle-framework-code" in {item.rule for item in scanned(tmp_path / "model.pt").findings}


def test_the_published_mnist_model(test_data: Path) -> None:
    report = scanned(test_data / "mnist/mnist_convex.pth")
    assert (report.format, report.verdict, report.findings) == ("torch-legacy", "clean", ())
    tensors = scanned(test_data / "mnist/mnist_convex.safetensors")
    assert (tensors.format, tensors.verdict, tensors.findings) == ("safetensors", "clean", ())


def test_published_mnist_images(test_data: Path) -> None:
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        report = scanned(test_data / "mnist" / name)
        assert (report.format, report.verdict) == ("idx-gz", "clean")


def test_torchscript_is_clean(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "model.pt")
    report = scanned(tmp_path / "model.pt")
    assert (report.format, report.verdict) == ("torchscript", "clean")
    assert [item for item in report.findings if item.severity != "info"] == []


def plain() -> dict[str, Any]:
    return {
        "values": [1, 2.5, None, True, b"raw", "text", (1, (2,)), {3}, frozenset([4]), bytearray(b"x"), 1j, 10**50],
        "ordered": collections.OrderedDict(a=1),
        "counter": collections.Counter("abca"),
        "default": collections.defaultdict(list, a=[1]),
        "deque": collections.deque([1, 2], maxlen=3),
        "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "span": dt.timedelta(1),
        "exact": decimal.Decimal("1.5"),
        "id": uuid.UUID(int=1),
        "path": pathlib.PurePosixPath("a/b"),
        "range": range(3),
        "error": ValueError("wrong"),
        "complex": [slice(1, 2), type(None), Ellipsis],
    }


def arrays() -> dict[str, Any]:
    return {
        "floats": numpy.arange(10.0),
        "objects": numpy.array([1, "a", None], object),
        "dates": numpy.datetime64("2020-01-01"),
        "records": numpy.zeros(2, dtype=[("a", "i4"), ("b", "O")]),
        "masked": numpy.ma.array([1, 2], mask=[0, 1]),
        "type": numpy.dtype("f4"),
        "scalar": numpy.float32(1),
        "class": numpy.float32,
    }


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("make", [plain, arrays])
def test_plain_pickles(make: Callable[[], dict[str, Any]], protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "values.pkl"
    path.write_bytes(pickle.dumps(make(), protocol))
    assert_ordinary(path)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickled_tensors(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "tensors.pkl"
    path.write_bytes(pickle.dumps(network().state_dict(), protocol))
    assert_ordinary(path)


def models() -> dict[str, Any]:
    pytest.importorskip("sklearn")
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        IsolationForest,
        RandomForestClassifier,
    )
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, SGDClassifier
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        MinMaxScaler,
        OneHotEncoder,
        SplineTransformer,
        StandardScaler,
    )
    from sklearn.svm import SVC

    return {
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        "forest": RandomForestClassifier(5),
        "boosting": GradientBoostingClassifier(n_estimators=3),
        "histograms": HistGradientBoostingClassifier(max_iter=3),
        "isolation": IsolationForest(n_estimators=5),
        "search": GridSearchCV(LogisticRegression(max_iter=500), {"C": [1, 2]}, cv=2),
        "neighbours": KNeighborsClassifier(algorithm="ball_tree"),
        "vectors": SVC(),
        "descent": SGDClassifier(),
        "columns": make_pipeline(
            ColumnTransformer(
                [
                    (
                        "numbers",
                        make_pipeline(SimpleImputer(), MinMaxScaler()),
                        make_column_selector(dtype_include="number"),
                    ),
                    ("rest", OneHotEncoder(handle_unknown="ignore"), ["kind"]),
                ]
            ),
            LogisticRegression(max_iter=500),
        ),
        "splines": SplineTransformer(),
        "function": FunctionTransformer(numpy.log1p),
    }


def test_scikit_learn_models(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    pandas = pytest.importorskip("pandas")
    from sklearn.datasets import make_classification

    samples, labels = make_classification(120, n_features=6, random_state=0)
    table = pandas.DataFrame(samples, columns=list("abcdef")).assign(kind=["x", "y", "z"] * 40)
    for name, model in models().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(table if name == "columns" else samples, labels)
        for protocol in (2, 4, 5):
            path = tmp_path / f"{name}.{protocol}.pkl"
            path.write_bytes(pickle.dumps(model, protocol))
            assert_ordinary(path)
        for compress in (0, 3, ("xz", 1)):
            joblib.dump(model, tmp_path / f"{name}.joblib", compress=compress)
            assert_ordinary(tmp_path / f"{name}.joblib")


def test_methods_called_by_name_and_words_that_are_methods(tmp_path: Path) -> None:
    """Stacking and scorers call methods by name; a vocabulary may hold the same words."""
    pytest.importorskip("sklearn")
    from sklearn.ensemble import StackingClassifier
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    texts = ["dump the query", "open and replace", "rename or copy", "touch what moves"] * 6
    labels = [0, 1] * 12
    stacked = StackingClassifier([("a", LogisticRegression()), ("b", LogisticRegression())], cv=2)
    model = make_pipeline(CountVectorizer(), stacked)
    for name, estimator in {
        "stacking": model.fit(texts, labels),
        "search": GridSearchCV(model, {"countvectorizer__lowercase": [True]}, scoring="f1", cv=2).fit(texts, labels),
    }.items():
        for protocol in (0, 2, 5):
            path = tmp_path / f"{name}.{protocol}.pkl"
            path.write_bytes(pickle.dumps({"model": estimator, "path": tmp_path}, protocol))
            assert_ordinary(path)


def boosted(kind: str) -> Any:
    pytest.importorskip(kind)
    if kind == "xgboost":
        from xgboost import XGBClassifier

        return XGBClassifier(n_estimators=2, n_jobs=1)
    if kind == "lightgbm":
        from lightgbm import LGBMClassifier

        return LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1)
    from catboost import CatBoostClassifier

    return CatBoostClassifier(iterations=2, verbose=0, allow_writing_files=False, thread_count=1)


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm", "catboost"])
def test_pickled_boosted_trees(kind: str, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    model = boosted(kind)
    samples = numpy.random.default_rng(0).normal(size=(60, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(samples, (samples[:, 0] > 0).astype(int))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    joblib.dump(model, tmp_path / "model.joblib")
    for name in ("model.pkl", "model.joblib"):
        assert_ordinary(tmp_path / name)


def test_tables_of_numbers(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    values = {
        "series": pandas.Series([1.5, None], dtype="Float64"),
        "times": pandas.Series(pandas.date_range("2020", periods=3, tz="UTC")),
        "bins": pandas.cut(pandas.Series([1.0, 2.0, 3.0]), 2),
        "whole": pandas.Series(pandas.array([1, None], dtype="Int64")),
        "months": pandas.Series(pandas.period_range("2020", periods=3, freq="M")),
    }
    for protocol in (2, 5):
        path = tmp_path / "values.pkl"
        path.write_bytes(pickle.dumps(values, protocol))
        assert_ordinary(path)


def test_partial_functions_of_numpy_are_not_malicious(tmp_path: Path) -> None:
    path = tmp_path / "partial.pkl"
    path.write_bytes(pickle.dumps(functools.partial(numpy.clip, a_min=0, a_max=1)))
    assert scanned(path).verdict in ("clean", "suspicious")


def test_numpy_files(tmp_path: Path) -> None:
    numbers = numpy.arange(12.0).reshape(3, 4)
    records = numpy.zeros(2, dtype=numpy.dtype([("a", "i4"), ("b", "f8", (2, 3)), ("c", "U5")], align=True))
    for index, array in enumerate(
        (numbers, numbers.T, records, numpy.array("x"), numpy.zeros((0, 3)), numpy.array([True]))
    ):
        numpy.save(tmp_path / f"{index}.npy", array)
        assert_ordinary(tmp_path / f"{index}.npy")
    numpy.save(tmp_path / "o.npy", numpy.array([1, {"a": 2}], object), allow_pickle=True)
    numpy.savez(tmp_path / "a.npz", a=numbers, b=records)
    numpy.savez_compressed(tmp_path / "b.npz", a=numpy.zeros(1_000_000), o=numpy.array([None, 1], object))
    for name in ("o.npy", "a.npz", "b.npz"):
        assert_ordinary(tmp_path / name)


def test_safetensors_files(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(0), "c": torch.zeros((), dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "m.safetensors", metadata={"url": "https://example.org/os.system"})
    assert_ordinary(tmp_path / "m.safetensors")
