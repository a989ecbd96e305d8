"""Modules about subjects import light: the heavy libraries come in when something is opened."""

import pkgutil
import subprocess
import sys

import heliotrope.subjects

HEAVY = (
    "numpy", "scipy", "pandas", "pyarrow", "torch", "safetensors", "PIL", "onnx", "onnxruntime", "sklearn", "skops",
    "joblib", "xgboost", "lightgbm", "catboost", "urllib3",
)  # fmt: skip


def test_no_module_of_subjects_imports_a_heavy_library():
    modules = [item.name for item in pkgutil.walk_packages(heliotrope.subjects.__path__, "heliotrope.subjects.")]
    assert len(modules) > 20
    code = (
        f"import importlib, sys\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
