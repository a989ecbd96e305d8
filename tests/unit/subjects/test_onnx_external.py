"""Where an ONNX model keeps its tensors is read without the library, and never leads out of the project."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import InputError
from heliotrope.engine.interface import Project
from heliotrope.subjects._onnx_external import external_files, external_files_of, external_locations
from heliotrope.subjects.planning import plan_models


def field(number, payload):
    size, head = len(payload), b""
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + head + bytes([size]) + payload


def model(location, *, nested=0):
    """A ModelProto with one initializer in a file, as deep inside graphs of attributes as asked."""
    entry = field(1, b"location") + field(2, location.encode())
    graph = field(5, field(13, entry))
    for _ in range(nested):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


@pytest.mark.parametrize("nested", [0, 1, 5])
def test_the_file_of_a_tensor_is_found_wherever_the_tensor_stands(nested, tmp_path):
    (tmp_path / "m.onnx").write_bytes(model("sub/w.bin", nested=nested))
    expected = {"sub/w.bin": tmp_path / "sub" / "w.bin"}
    assert external_files_of(tmp_path / "m.onnx", tmp_path) == expected


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w", "", "w\0.bin"])
def test_a_location_outside_the_project_is_refused(location, tmp_path):
    with pytest.raises(InputError, match="outside the project"):
        external_files(model(location), tmp_path / "m.onnx", tmp_path)


def test_a_link_that_leads_outside_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("/etc")
    with pytest.raises(InputError, match="outside the project"):
        external_files(model("link/passwd"), tmp_path / "m.onnx", tmp_path)


def test_graphs_without_end_are_refused():
    with pytest.raises(InputError, match="nested too deeply"):
        external_locations(model("w.bin", nested=60))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(InputError):
        assert isinstance(external_locations(data), tuple)


def test_external_data_belong_to_the_inputs_of_a_plan(tmp_path):
    (tmp_path / "m.onnx").write_bytes(model("w.bin"))
    config = HeliotropeConfig.model_validate(
        {"version": 1, "project": "p", "models": [{"name": "m", "path": "m.onnx"}]}
    )
    project = Project("p", tmp_path, (tmp_path,), config, None, "standard")
    (planned,) = plan_models(project, needs=("loader",), formats=None)
    assert planned.inputs["weights/w.bin"] == tmp_path / "w.bin"
