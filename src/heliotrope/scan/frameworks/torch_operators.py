"""What operators of torch can do beyond computing: read and write files, talk to other processes, or come from elsewhere.

Source: the operators that torch 2.13 registers, and those of torchvision, torchaudio and torchtext.
"""

import re

__all__ = ["judge_operator"]

_KNOWN = frozenset({
    "aten", "prim", "prims", "quantized", "_quantized", "quantization", "sparse", "mkldnn", "onednn", "mkl", "prepacked",
    "mkldnn_prepacked", "xnnpack", "_caffe2", "static_runtime", "profiler", "torchvision", "torchaudio", "torchtext",
    "image", "higher_order", "quantized_decomposed", "inductor", "rngprims", "export", "onnx", "_native", "torchao",
    "pt2e_quant",
})  # fmt: skip
"""Namespaces of torch and of its own libraries; an operator of any other comes from a library that must be loaded."""

_FILES = re.compile(
    r"(?:aten|prim)\.(?:save|from_file)"
    r"|\w+\.(?:from_file|load_library|load_tensor)"
    r"|(?:image|video_reader|torchvision|torchaudio|torchtext|decoder|encoder|torio)\.\w*(?:file|save|load|path)\w*"
)
_PROCESSES = re.compile(r"prim\.(?:rpc_async|rpc_sync|rpc_remote|PythonOp|IgnoredPythonOp)|c10d\.\w+|symm_mem\.\w+")


def judge_operator(namespace: str, name: str) -> tuple[str, str] | None:
    """The rule that an operator breaks, and what is wrong with it; None for one that only computes."""
    full = f"{namespace}.{name}"
    if _FILES.fullmatch(full):
        return "torch-file-operator", "reads or writes files"
    if _PROCESSES.fullmatch(full):
        return "torch-process-operator", "runs Python or reaches other processes"
    if namespace not in _KNOWN:
        return "torch-custom-operator", "is part of a library that must be loaded first"
    return None
