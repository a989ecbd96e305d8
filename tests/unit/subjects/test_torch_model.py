import itertools
import pickle
import sys
import textwrap

import pytest

from heliotrope.config.schema import InputConfig, ModelConfig, NormalisationConfig
from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.subjects.torch_model import load_model

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
np = pytest.importorskip("numpy", reason="needs numpy (extra 'torch')")
safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors (extra 'torch')")

pytestmark = pytest.mark.torch
_numbers = itertools.count()

LINEAR = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3))\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes code into a project under a module name of its own and loads the model; leaves no import behind."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"project_network_{next(_numbers)}"

    class Project:
        root = tmp_path
        module = name
        file = f"{name}.py"

        def write(self, code):
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
            return self

        def load(self, *, loader=f"{name}:build", expected=None, probe=None, seed=0, **fields):
            model = ModelConfig(
                name="m", loader=loader, input=InputConfig(shape=(1, 2, 2)), **{"output": "logits", **fields}
            )
            probe = np.full((5, 1, 2, 2), 0.5, np.float32) if probe is None else probe
            return load_model(model, root=tmp_path, probe=probe, seed=seed, expected=expected)

        def refused(self, match, **fields):
            with pytest.raises(InputError, match=match) as caught:
                self.load(**fields)
            assert caught.value.hint
            return caught.value

    yield Project()
    for added in [name for name in sys.modules if name.startswith("project_network_")]:
        del sys.modules[added]


def weights(folder, **tensors):
    path = folder / "w.safetensors"
    path.write_bytes(safetensors.save(tensors))
    return path


def test_weights_come_from_the_file_and_take_no_gradient(project):
    path = weights(project.root, **{"1.weight": torch.eye(3, 4), "1.bias": torch.zeros(3)})
    model = project.write(LINEAR).load(path="w.safetensors")
    inputs = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert model.logits(inputs).tolist() == [[1.0, 2.0, 3.0]]
    assert model.classes == 3
    assert model.names == ("0", "1", "2")
    assert not model.module.training
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    code = (project.root / project.file).read_bytes()
    assert model.digests == {"w.safetensors": sha256_hex(path.read_bytes()), project.file: sha256_hex(code)}


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_loaded_as_weights_only(project, zipped):
    state = {"1.weight": torch.eye(3, 4), "1.bias": torch.ones(3)}
    torch.save(state, project.root / "w.pt", _use_new_zipfile_serialization=zipped)
    model = project.write(LINEAR).load(path="w.pt")
    assert model.logits(torch.zeros(1, 1, 2, 2)).tolist() == [[1.0, 1.0, 1.0]]


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(project):
    marker = project.root / "ran"

    class Payload:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    for path in ("w.pth", "zip.pt"):
        if path == "w.pth":
            (project.root / path).write_bytes(pickle.dumps({"1.weight": Payload()}))
        else:
            torch.save({"1.weight": Payload()}, project.root / path)
        assert "safetensors" in project.write(LINEAR).refused("more than tensors", path=path).hint
    assert not marker.exists()


def test_weights_that_do_not_fit_name_the_keys(project):
    project.write(LINEAR)
    weights(project.root, **{"1.weight": torch.eye(4), "other": torch.zeros(1)})
    error = project.refused("does not fit", path="w.safetensors")
    assert "1 missing: 1.bias" in error.message
    assert "1 unexpected: other" in error.message
    assert "1 of another shape: 1.weight ([4, 4], expected [3, 4])" in error.message


@pytest.mark.parametrize(
    "damage", [lambda data: data[:40], lambda data: data[:-3], lambda data: b"\xff" * 8 + data[8:]]
)
def test_damaged_weights_are_refused(project, damage):
    path = weights(project.root, **{"1.weight": torch.eye(3, 4), "1.bias": torch.zeros(3)})
    path.write_bytes(damage(path.read_bytes()))
    project.write(LINEAR).refused("no readable safetensors", path="w.safetensors")


def test_a_checkpoint_around_the_state_dict_is_named(project):
    torch.save({"epoch": 3, "state_dict": {}}, project.root / "w.pt")
    assert "it holds epoch, state_dict" in project.write(LINEAR).refused("no state dict", path="w.pt").message


def test_files_must_be_the_ones_that_were_hashed(project):
    weights(project.root, **{"1.weight": torch.eye(3, 4), "1.bias": torch.zeros(3)})
    project.write(LINEAR).refused("changed", path="w.safetensors", expected={"weights": "0" * 64})
    project.refused("changed", expected={"loader": "0" * 64})
    project.refused("weights: ", path="not-there.safetensors")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("raise ValueError('no \\x1b[31m GPU')", r"ValueError: no \\x1b\[31m GPU \(FILE:2\)"),
        ("return helper()\ndef helper():\n    return 1 / 0", r"ZeroDivisionError.*\(FILE:4\)"),
        ("import sys; sys.exit(3)", r"calls sys.exit\(3\) \(FILE:2\)"),
        ("import no_such_package_at_all", r"needs the Python module 'no_such_package_at_all'"),
        ("return [1]", "returned list"),
        ("return None", "returned NoneType"),
        ("import os\n    os.unlink('/nowhere/at/all')", "FileNotFoundError"),
    ],
)
def test_a_loader_that_fails_names_its_place(project, body, match):
    code = f"def build():\n    {body}\n"
    if "no_such_package" in body:
        code = f"{body}\n{code}"
    error = project.write(code).refused(match.replace("FILE", project.file.replace(".", r"\.")))
    assert "Traceback" not in error.diagnostics()
    assert "heliotrope" not in error.message


def test_a_loader_that_cannot_be_found_is_named(project):
    project.refused(f"no module '{project.module}'")
    project.write(LINEAR).refused("no function 'make'", loader=f"{project.module}:make")
    (project.root / "json.py").write_text(LINEAR)
    project.refused("name of a module that Python already uses", loader="json:build")


def test_a_syntax_error_names_its_line(project):
    project.write("def build(:\n").refused(f"SyntaxError.*{project.module}.py:1")


def test_no_compiled_file_is_trusted_or_left_behind(project):
    project.write(LINEAR).load()
    assert not (project.root / "__pycache__").exists()
    assert sys.pycache_prefix is None or "null" not in sys.pycache_prefix


def test_memory_running_out_is_not_the_loaders_fault(project):
    with pytest.raises(MemoryError):
        project.write("def build():\n    raise MemoryError\n").load()


@pytest.mark.parametrize(
    ("layers", "match"),
    [
        ("nn.Flatten(), nn.Linear(4, 1)", r"shape \[4, 1\]"),
        ("nn.Identity()", r"shape \[4, 1, 2, 2\]"),
        ("nn.Flatten(), nn.Linear(9, 3)", "RuntimeError"),
        ("nn.Flatten(0, 2), nn.Linear(2, 3)", r"shape \[8, 3\]"),
    ],
)
def test_outputs_must_be_scores_of_at_least_two_classes(project, layers, match):
    project.write(f"from torch import nn\ndef build():\n    return nn.Sequential({layers})\n").refused(match)


def module(body):
    return f"""
    import torch
    class Net(torch.nn.Module):
        def forward(self, x):
            x = x.flatten(1)
            {body}
    def build():
        return Net()
    """


def test_strange_outputs_are_refused(project):
    project.write(module("return {'logits': x}")).refused("returns dict")


def test_nan_scores_are_refused(project):
    project.write(module("return x * float('nan')")).refused("NaN or infinite scores")


def test_integer_scores_are_refused(project):
    project.write(module("return x.long()")).refused("torch.int64")


def test_sys_exit_inside_the_model_is_caught(project):
    project.write(module("import sys; sys.exit(0)")).refused(r"calls sys.exit\(0\)")


def test_probabilities_become_log_probabilities(project):
    model = project.write(module("return torch.softmax(x * 200, 1)")).load(output="probabilities")
    inputs = torch.tensor([[[[0.0, 0.1], [0.2, 1.0]]]])
    np.testing.assert_allclose(model.logits(inputs).exp().sum().item(), 1, rtol=1e-6)
    assert torch.isfinite(model.logits(inputs)).all()


def test_scores_declared_as_probabilities_are_refused(project):
    assert (
        "output: logits"
        in project.write(module("return x * 3")).refused("declared as probabilities", output="probabilities").hint
    )


def test_normalisation_goes_in_front(project):
    declared = NormalisationConfig(mean=(0.5,), std=(0.25,))
    model = project.write(module("return x")).load(normalisation=declared)
    assert model.logits(torch.ones(1, 1, 2, 2)).tolist() == [[2.0] * 4]


def test_normalisation_of_other_channels_is_refused(project):
    declared = NormalisationConfig(mean=(0.5, 0.5, 0.5), std=(1.0,))
    project.write(module("return x")).refused("3 means and 1 deviations for 1 channels", normalisation=declared)


def test_labels_must_name_every_output(project):
    project.write(LINEAR).refused("3 outputs, `labels` names 2", labels=("a", "b"))


def test_the_seed_decides_what_a_loader_draws(project):
    project.write(LINEAR)
    draw = [project.load(seed=seed).module[1].weight for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])
