"""Proposes what the code of traced modules may use: `python bench/policy/torch_graphs.py` prints scan/data/torch_graphs.json.

It lists what the torch at hand has: operators, their methods on tensors, and functions of torch.nn.functional. What a person
found to do more than computing is left out by name, with the reason beside it.
"""

import inspect
import json
import sys
from typing import Any

import torch
from torch.nn import functional

from heliotrope.scan.policy import shipped_policy

_NOT_FUNCTIONS = {
    "from_file": "maps a file",
    "frombuffer": "reads memory of another object",
    "from_numpy": "reads memory of another object",
    "_print": "writes to the terminal",
    "boolean_dispatch": "returns a function made of its arguments",
    "has_torch_function": "calls what its arguments bring",
    "has_torch_function_unary": "calls what its arguments bring",
    "has_torch_function_variadic": "calls what its arguments bring",
    "triplet_margin_with_distance_loss": "calls one of its arguments",
    "ScalingType": "is no function",
    "SwizzleType": "is no function",
}
_NOT_METHODS = {
    "apply_": "calls its argument",
    "map_": "calls its argument",
    "map2_": "calls its argument",
    "register_hook": "keeps its argument to call it",
    "register_post_accumulate_grad_hook": "keeps its argument to call it",
    "as_subclass": "gives the tensor another class",
    "module_load": "gives the tensor another content",
    "numpy": "returns an array, whose methods write files",
    "storage": "returns a storage, whose methods write files",
    "untyped_storage": "returns a storage, whose methods write files",
    "set_": "puts the tensor on another storage",
    "share_memory_": "makes a file in shared memory",
    "data_ptr": "returns an address",
    "const_data_ptr": "returns an address",
    "reinforce": "is gone",
    "record_stream": "is no computation",
    "resize": "allocates",
    "resize_": "allocates",
    "resize_as": "allocates",
    "resize_as_": "allocates",
    "resize_as_sparse_": "allocates",
    "type": "takes classes",
}
_PARTS = ("_nn", "_linalg", "_fft", "_special", "_sparse", "_nested")


def _functions() -> dict[str, list[str]]:
    operators = [name for name in dir(torch._C._VariableFunctions) if not name.startswith("__")]  # noqa: SLF001 - operators stand there
    found = {"torch": [*operators, "einsum", "norm", "split", "stack", "_assert", "meshgrid", "tensordot", "cdist"]}
    found["torch"] += ["unique", "unique_consecutive", "broadcast_tensors", "broadcast_shapes", "block_diag"]
    found["torch"] += [
        "cartesian_prod",
        "chain_matmul",
        "atleast_1d",
        "atleast_2d",
        "atleast_3d",
        "lu",
        "stft",
        "istft",
    ]
    found["torch"] += ["tensor", "as_tensor", "sym_int", "sym_float", "sym_max", "sym_min", "sym_not", "is_tensor"]
    found["torch.functional"] = [name for name in torch.functional.__all__ if hasattr(torch, name)]
    found["torch.nn.functional"] = [
        name
        for name, value in vars(functional).items()
        if callable(value)
        and not name.startswith("_")
        and (
            inspect.isbuiltin(value)
            or getattr(value, "__module__", "") in ("torch.nn.functional", "torch._jit_internal")
        )
        and not inspect.isclass(value)
    ]
    for part in _PARTS:
        module = getattr(torch._C, part)  # noqa: SLF001 - operators stand there
        names = [name for name in dir(module) if not name.startswith(("__", "_test"))]
        found[f"torch._C.{part}"] = names
        found[f"torch.{part.lstrip('_')}"] = [name.removeprefix(f"{part.lstrip('_')}_") for name in names]
    del found["torch.nn"], found["torch.sparse"], found["torch.nested"]
    return {module: sorted(set(names) - set(_NOT_FUNCTIONS)) for module, names in found.items()}


def _methods() -> list[str]:
    names = [name for name in dir(torch.Tensor) if not name.startswith("_") and callable(getattr(torch.Tensor, name))]
    return sorted(set(names) - set(_NOT_METHODS))


def _taken() -> tuple[list[str], list[str]]:
    """Names that modules have from their classes, so that no submodule has them."""
    of_module = {name for name in dir(torch.nn.Module) if not name.startswith("__")}
    policy, others = shipped_policy(), set()
    pending: list[type] = [torch.nn.Module]
    while pending:
        for kind in pending.pop().__subclasses__():
            pending.append(kind)
            entry = policy.lookup(kind.__module__, kind.__qualname__)
            if entry.kind == "allowed":
                others |= {name for name in dir(kind) if not name.startswith("__")}
    return sorted(of_module), sorted(others - of_module)


def _wrapped(names: list[str]) -> str:
    return " ".join(names)


def main() -> None:
    import torch.ao.quantization.quantize_fx  # noqa: F401 - so that its classes are there

    taken, taken_below = _taken()
    document: dict[str, Any] = {
        "version": "2026.11.1",
        "review": "What the code of a traced module may call, with any arguments: operators of torch, which compute, and functions "
        "written in Python that only call these. The generator names what was left out, and why.",
        "functions": {module: _wrapped(names) for module, names in _functions().items()},
        "methods": _wrapped(_methods()) + " keys values items get",
        "attributes": "shape dtype device layout ndim T mT H mH real imag data grad requires_grad is_cuda is_cpu is_meta is_sparse "
        "is_quantized is_nested is_leaf itemsize nbytes names values indices Q R U S V Vh L LU P eigenvalues eigenvectors "
        "solution residuals rank singular_values sign logabsdet logdet pivots info index type",
        "builtins": "abs bool complex dict divmod enumerate float int isinstance len list max min reversed round set slice "
        "sorted str sum tuple zip any all",
        "math": "ceil floor sqrt exp log log2 log10 prod fabs sin cos tan asin acos atan atan2 sinh cosh tanh erf gcd isnan "
        "isinf isclose trunc fmod hypot radians degrees copysign",
        "operator": "add sub mul truediv floordiv mod pow matmul neg pos invert not_ and_ or_ xor lshift rshift lt le eq ne ge gt "
        "getitem setitem iadd isub imul itruediv ifloordiv imod ipow iand ior ixor imatmul contains index abs is_ is_not truth",
        "tracers": "torch.fx._symbolic_trace.Tracer torch.fx.experimental.proxy_tensor.PythonKeyTracer",
        "taken": _wrapped(taken),
        "taken_below": _wrapped(taken_below),
    }
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
