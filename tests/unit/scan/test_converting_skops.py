"""Arrays of skops files, decoded without loading, are byte for byte those that skops gives."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.scan.converting import worker
from heliotrope.scan.converting.convert import convert
from heliotrope.scan.converting.tensors import CannotConvertError
from heliotrope.scan.converting.writing import convert_clean

np = pytest.importorskip("numpy")
sklearn = pytest.importorskip("sklearn")
skops = pytest.importorskip("skops.io")
stored = pytest.importorskip("safetensors.numpy")

ROWS = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 5.0]]


def pipeline() -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RandomForestClassifier(2, random_state=0)).fit(ROWS, [0, 1, 0, 1])


def same(found: Any, expected: Any) -> None:
    expected = np.asarray(expected)
    assert found.dtype == expected.dtype.newbyteorder("="), found.dtype
    assert found.tobytes() == np.ascontiguousarray(expected.astype(expected.dtype.newbyteorder("="))).tobytes()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    from scipy import sparse

    folder = tmp_path_factory.mktemp("skops")
    held = {
        "model": pipeline(),
        "sparse": sparse.csr_matrix(np.eye(3)),
        "turned": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big": np.arange(3, dtype=">i2"),
        "empty": np.zeros((0, 2)),
        "words": np.array(["a", "b"]),
    }
    skops.dump(held, folder / "m.skops")
    done = convert(folder / "m.skops", folder / "m.safetensors")
    return held, stored.load_file(folder / "m.safetensors"), done.left_out


def test_attributes_of_estimators_lie_under_their_path(converted: Any) -> None:
    held, found, _ = converted
    scaler, forest = (step for _, step in held["model"].steps)
    same(found["model.steps.0.1.mean_"], scaler.mean_)
    same(found["model.steps.0.1.scale_"], scaler.scale_)
    same(found["model.steps.1.1.classes_"], forest.classes_)


def test_nodes_of_trees_are_written_field_by_field(converted: Any) -> None:
    held, found, _ = converted
    for number, tree in enumerate(held["model"].steps[1][1].estimators_):
        nodes = tree.tree_.__getstate__()["nodes"]
        for field in nodes.dtype.names:
            same(found[f"model.steps.1.1.estimators_.{number}.tree_.nodes.{field}"], nodes[field])
        same(found[f"model.steps.1.1.estimators_.{number}.tree_.values"], tree.tree_.value)


def test_plain_arrays_and_sparse_matrices(converted: Any) -> None:
    held, found, _ = converted
    for name in ("turned", "big", "empty"):
        same(found[name], held[name])
    for name in ("data", "indices", "indptr"):
        same(found[f"sparse.{name}"], getattr(held["sparse"], name))


def test_texts_are_left_out_and_named(converted: Any) -> None:
    assert any(name.startswith("words") for name in converted[2])


def test_only_a_clean_file_is_converted(tmp_path: Path) -> None:
    skops.dump(pipeline(), tmp_path / "m.skops")
    with zipfile.ZipFile(tmp_path / "m.skops") as old, zipfile.ZipFile(tmp_path / "bad.skops", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "schema.json":
                data = data.replace(b'"Pipeline"', b'"system"').replace(b'"sklearn.pipeline"', b'"os"')
            new.writestr(name, data)
    with pytest.raises(CannotConvertError, match="the scan's verdict is malicious"):
        convert(tmp_path / "bad.skops", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def packed(path: Path, schema: Any, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def array(name: str, **more: Any) -> dict[str, Any]:
    return {
        "__loader__": "NdArrayNode",
        "__class__": "ndarray",
        "__module__": "numpy",
        "type": "numpy",
        "file": name,
        **more,
    }


def deep(levels: int) -> str:
    return '{"__loader__":"ListNode","content":[' * levels + "]}" * levels


@pytest.mark.parametrize(
    "schema",
    [
        "{",
        "[]",
        "5",
        array("missing.npy"),
        array("a.npy"),
        deep(150),
        deep(5000),
        {"__loader__": "CachedNode", "__id__": 1},
    ],
    ids=["no JSON", "list", "number", "missing", "no array", "deep", "deeper", "refers to nothing"],
)
def test_schemas_that_make_no_sense_are_refused(schema: Any, tmp_path: Path) -> None:
    """Whatever the scan would say of them."""
    path = packed(tmp_path / "m.skops", schema, a=b"\x93NUMPY\x01\x00\x05\x00{1:2}")
    with pytest.raises(CannotConvertError):
        convert_clean(path, tmp_path / "out.safetensors", "skops", "")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 127), st.binary(max_size=8), st.integers(0, 200))
def test_damaged_arrays_are_refused_or_whole(at: int, patch: bytes, cut: int) -> None:
    import io
    import tempfile

    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3, dtype=[("a", "<i8"), ("b", "<f4"), ("c", "<i4")]))
    data = bytearray(buffer.getvalue())
    data[at : at + len(patch)] = patch
    with tempfile.TemporaryDirectory() as folder:
        path = packed(Path(folder) / "m.skops", array("a.npy"), a=bytes(data[: len(data) - cut]))
        try:
            convert_clean(path, Path(folder) / "out.safetensors", "skops", "")
        except CannotConvertError:
            return
        pytest.fail("the digest was not compared")


def test_a_file_that_changed_since_it_was_clean_is_not_converted(tmp_path: Path) -> None:
    skops.dump({"a": np.ones(2)}, tmp_path / "m.skops")
    with pytest.raises(CannotConvertError, match="changed"):
        convert_clean(tmp_path / "m.skops", tmp_path / "out.safetensors", "skops", "0" * 64)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_worker_without_memory_is_an_error_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skops.dump({"a": np.ones(2)}, tmp_path / "m.skops")
    monkeypatch.setattr(worker.sys, "executable", "/bin/false")
    with pytest.raises(CannotConvertError, match="memory"):
        convert(tmp_path / "m.skops", tmp_path / "out.safetensors")
