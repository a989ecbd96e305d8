"""Tensors that are decoded without loading are, byte for byte, those that loading gives."""

import collections
import io
import json
import os
import pickle
from pathlib import Path

import pytest

from heliotrope.scan.converting.convert import convert
from heliotrope.scan.converting.tensors import CannotConvertError

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors.torch")


def odd_tensors():
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    weight = torch.randn(5, 7)
    return {
        "f64": torch.randn(3, 2, dtype=torch.float64),
        "half": torch.randn(5).half(),
        "bf16": torch.randn(4, 3).bfloat16(),
        "fp8": torch.randn(9).to(torch.float8_e4m3fn),
        "fp8b": torch.randn(2, 2).to(torch.float8_e5m2),
        "u16": torch.tensor([1, 65535], dtype=torch.uint16),
        "i64": torch.arange(-3, 4),
        "i8": torch.tensor([-1, 5], dtype=torch.int8),
        "bool": torch.tensor([True, False, True]),
        "complex": torch.tensor([1 + 2j, -3.5j], dtype=torch.complex64),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
        "weight": weight,
        "tied": weight,
        "transposed": weight.t(),
        "view": base[:, 1:, ::2],
        "row": base[1, 2],
        "permuted": base.permute(2, 0, 1),
        "expanded": torch.tensor([1.0, 2.0]).expand(3, 2),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "ünï\n\x1b": torch.ones(1),
    }


def equal(path: Path, expected) -> None:
    found = safetensors.load_file(path)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert found[name].shape == tensor.shape, name
        wanted = tensor.detach().contiguous()
        assert raw(found[name]) == raw(wanted), name


def raw(tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


@pytest.mark.parametrize("legacy", [False, True])
def test_every_type_and_view_is_what_torch_loads(legacy, tmp_path):
    source, output = tmp_path / "m.pt", tmp_path / "m.safetensors"
    # torch itself cannot load types without a storage class of their own from its old format
    tensors = {name: item for name, item in odd_tensors().items() if not (legacy and name in {"fp8", "fp8b", "u16"})}
    torch.save(tensors, source, _use_new_zipfile_serialization=not legacy)
    done = convert(source, output)
    equal(output, torch.load(source, weights_only=True))
    assert done.tensors == len(tensors)
    assert "tied" in done.shared
    assert output.stat().st_size == done.size


def test_a_checkpoint_keeps_its_names_and_its_metadata(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "arch": "mlp"}
    torch.save(checkpoint, tmp_path / "c.ckpt")
    convert(tmp_path / "c.ckpt", tmp_path / "c.safetensors")
    found = safetensors.load_file(tmp_path / "c.safetensors")
    assert torch.equal(found["model.0.weight"], model.state_dict()["0.weight"])
    assert torch.equal(found["optimizer.state.0.exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
    data = (tmp_path / "c.safetensors").read_bytes()
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert (metadata["epoch"], metadata["arch"], metadata["format"]) == ("3", "mlp", "pt")


def test_a_whole_module_of_torch_gives_its_state_dict(tmp_path):
    model = torch.nn.Sequential(collections.OrderedDict(a=torch.nn.Linear(3, 4), b=torch.nn.BatchNorm1d(4)))
    torch.save(model, tmp_path / "m.pt")
    convert(tmp_path / "m.pt", tmp_path / "m.safetensors")
    equal(tmp_path / "m.safetensors", model.state_dict())


def test_arrays_of_numpy_whatever_they_lie_in(tmp_path):
    arrays = {
        "c": np.arange(12, dtype="<f4").reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(12, dtype="<i8").reshape(3, 4)),
        "big": np.arange(5, dtype=">f8"),
        "bits": np.array([True, False]),
        "half": np.arange(3, dtype="<f2"),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez_compressed(tmp_path / "z.npz", **arrays)
    for protocol in (2, 4, 5):
        (tmp_path / f"p{protocol}.pkl").write_bytes(pickle.dumps(arrays, protocol))
    joblib = pytest.importorskip("joblib")
    joblib.dump(arrays, tmp_path / "a.joblib")
    joblib.dump(arrays, tmp_path / "p.joblib", compress=3)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 7
    for path in files:
        output = path.with_suffix(".safetensors")
        convert(path, output)
        found = safetensors.load_file(output)
        assert set(found) == set(arrays), path
        for name, array in arrays.items():
            assert found[name].numpy().tobytes() == array.astype(array.dtype.newbyteorder("<")).tobytes(), (path, name)
        output.unlink()
    np.save(tmp_path / "one.npy", arrays["fortran"])
    convert(tmp_path / "one.npy", tmp_path / "one.safetensors")
    assert safetensors.load_file(tmp_path / "one.safetensors")["array"].numpy().tolist() == arrays["fortran"].tolist()


class Runs:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"w": torch.zeros(1), "x": Runs()}, "malicious"),
        ({"epoch": 3}, "no tensors"),
        ({"w": torch.zeros(1), "s": torch.eye(3).to_sparse()}, "_rebuild_sparse_tensor"),
        ({"w": torch.zeros(2, dtype=torch.complex128)}, "ComplexDouble"),
        ({"w": torch.tensor([1.0]).expand(2**40)}, "more than"),
        ({"a.b": torch.zeros(1), "a": {"b": torch.zeros(2)}}, "would be named a.b"),
    ],
)
def test_what_cannot_be_converted_is_said_and_nothing_is_written(content, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "m.pt")
    with pytest.raises(CannotConvertError, match=why):
        convert(Path("m.pt"), Path("m.safetensors"))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["m.pt"]


def test_broken_files_are_errors_wherever_they_break(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(6.0).reshape(2, 3).t()}, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    path = tmp_path / "m.pt"
    for end in range(1, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(CannotConvertError):
            convert(path, tmp_path / "out")
    assert [item.name for item in tmp_path.iterdir()] == ["m.pt"]


def test_containers_that_hold_each_other_are_no_trap(tmp_path):
    nested = torch.zeros(1)
    for _ in range(30):
        nested = [nested, nested]
    looped = {"w": torch.zeros(1)}
    looped["again"] = looped
    empty = []
    for _ in range(60):
        empty = [empty, empty]
    for content, why in ((nested, "too often|more than"), (looped, "deep"), ({"e": empty}, "no tensors")):
        torch.save(content, tmp_path / "m.pt")
        with pytest.raises(CannotConvertError, match=why):
            convert(tmp_path / "m.pt", tmp_path / "out")


def test_tensors_are_streamed(tmp_path):
    import tracemalloc

    path = tmp_path / "m.pt"
    torch.save({"w": torch.ones(16 * 2**20)}, path)
    tracemalloc.start()
    convert(path, tmp_path / "m.safetensors")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20  # of 64 MiB
    assert safetensors.load_file(tmp_path / "m.safetensors")["w"].sum() == 16 * 2**20


def test_any_change_of_a_file_is_converted_or_an_error(tmp_path):
    import random

    from heliotrope.scan.converting.containers import read_value
    from heliotrope.scan.limits import ScanLimits
    from heliotrope.scan.sources import BytesSource

    seeds = [(pickle.dumps({"a": np.arange(4.0), "b": [np.ones(3, ">i4")]}, 4), "pickle")]
    for new, name in ((True, "torch-zip"), (False, "torch-legacy")):
        buffer = io.BytesIO()
        torch.save({"w": torch.arange(6.0).reshape(2, 3).t(), "n": [3]}, buffer, _use_new_zipfile_serialization=new)
        seeds.append((buffer.getvalue(), name))
    draw, refused = random.Random(4), []
    for _ in range(600):
        whole, name = draw.choice(seeds)
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            data[draw.randrange(min(len(data), 900))] = draw.choice([draw.randrange(256), 0x2E, 0x52, 0x62, 0xFF])
        try:
            read_value(BytesSource(bytes(data)), name, ScanLimits())
        except CannotConvertError as error:
            refused.append(error.message)
    assert refused
    assert all(text.isprintable() for text in refused)
