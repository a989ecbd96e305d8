"""Formats without pickles, and what lies beside them."""

import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np


def version():
    return "1"


def _safetensors(path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 3), np.float32), "b": np.arange(4)}, str(path), {"source": "https://example.org/exec"})


def _onnx(path):
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 0, 0, 1])],
    )
    onnx.save(helper.make_model(graph), str(path))


def _skops(path):
    import skops.io
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    skops.io.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit([[0.0], [1.0]], [0, 1]), path)


def _tar(path):
    with tarfile.open(path, "w:gz") as archive:
        data = pickle.dumps({"labels": ["a", "b"]}, 4)
        info = tarfile.TarInfo("model/labels.pkl")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


def _zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/labels.pkl", pickle.dumps({"labels": ["a", "b"]}, 4))
        archive.writestr("README.md", "# torch.load\nimport os; os.system('x')")


def _json(value):
    return lambda path: Path(path).write_text(json.dumps(value, indent=1))


CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

FILES = {
    "model.safetensors": _safetensors,
    "model.onnx": _onnx,
    "pipeline.skops": _skops,
    "bundle.tar.gz": _tar,
    "bundle.zip": _zip,
    "config.json": _json(
        {"model_type": "bert", "id2label": {"0": "exec", "1": "eval"}, "architectures": ["BertModel"]}
    ),
    "tokenizer_config.json": _json({"chat_template": CHATML, "eos_token": "<|im_end|>"}),
}
