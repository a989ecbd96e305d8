"""An ONNX model by onnxruntime, on the processor, from verified bytes. No libraries of custom operators are loaded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.subjects._asking import AskedModel, calling_library, is_frame, threads, tried, wants_values
from heliotrope.subjects._files import ReadFile, read_file, show
from heliotrope.subjects._matrices import normaliser
from heliotrope.subjects._onnx_external import external_files
from heliotrope.subjects._onnx_inputs import OnnxInput, feeds
from heliotrope.subjects._onnx_outputs import OnnxOutput, choose_output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Inputs

__all__ = ["open_model"]

_FATAL_ONLY = 4
"""Log severity: what goes wrong is raised anyway."""


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "Inputs",
    columns: "tuple[Column, ...]",  # noqa: ARG001 - the probe says it all
    seed: int,  # noqa: ARG001 - nothing here is random
    expected: Mapping[str, str],
) -> AskedModel:
    """The adapter of the format onnx.

    One input tensor takes whole samples, or the columns of a table side by side; several take one column each, by name.
    A fixed batch size is filled up and cut off again. Label and probability outputs of converters, also as maps, are
    understood.
    """
    if model.path is None:
        raise InputError(f"model {model.name!r} has no path", hint="set path to the onnx file in heliotrope.yaml")
    file = read_file(root / model.path, what="model", expected=expected.get("weights"))
    digests = {model.path: file.sha256}
    session = _session(file, root, digests, expected)
    output: OutputKind | None = "values" if wants_values(model) else model.output
    if output is None:
        raise InputError(
            f"nothing says what the outputs of {show(file.path)} are",
            hint="set output: logits, probabilities, labels or values",
        )
    inputs = tuple(OnnxInput.of(node) for node in session.get_inputs())
    chosen = choose_output(session.get_outputs(), output, model)
    normalise = None if is_frame(probe) else normaliser(model.normalisation, tuple(probe.shape[1:]))
    ask = _Asking(session, inputs, chosen, normalise)
    with calling_library("the ONNX model on the first row of the data"):
        names = chosen.names(ask.raw(probe[:1]))
    return tried(model, format="onnx", probe=probe, digests=digests, output=output, ask=ask, names=names)


def _session(file: ReadFile, root: Path, digests: dict[str, str], expected: Mapping[str, str]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtraError("onnx", module="onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL_ONLY
    tensors = _external(file, root, digests, expected)
    if tensors:
        if not hasattr(options, "add_external_initializers_from_files_in_memory"):
            raise InputError(
                "this onnxruntime cannot take external data from memory", hint="install a newer onnxruntime"
            )
        names, data = list(tensors), list(tensors.values())
        options.add_external_initializers_from_files_in_memory(names, data, [len(part) for part in data])
    with calling_library(f"opening {show(file.path)} as ONNX", opening=True):
        return onnxruntime.InferenceSession(file.data, options, providers=["CPUExecutionProvider"])


def _external(file: ReadFile, root: Path, digests: dict[str, str], expected: Mapping[str, str]) -> dict[str, bytes]:
    """Contents of the files that hold tensors, by location; their digests are added to the model's."""
    tensors = {}
    for location, path in external_files(file.data, file.path, root).items():
        part = read_file(path, what="external data", expected=expected.get(f"weights/{location}"))
        digests[path.relative_to(root).as_posix()] = part.sha256
        tensors[location] = part.data
    return tensors


@dataclass(frozen=True, slots=True)
class _Asking:
    session: Any
    inputs: tuple[OnnxInput, ...]
    output: OnnxOutput
    normalise: "Callable[[NDArray[Any]], NDArray[np.float32]] | None"

    def __call__(self, inputs: "Inputs") -> "NDArray[Any]":
        return self.output.scores(self.raw(inputs))

    def raw(self, inputs: "Inputs") -> list[Any]:
        """What the chosen output says, for each run one: a fixed batch size takes several."""
        if self.normalise is not None and not is_frame(inputs):
            inputs = self.normalise(inputs)
        fed = feeds(self.inputs, inputs)
        return [self._run(part, rows) for part, rows in _parts(fed, len(inputs), self._fixed_batch())]

    def _run(self, part: "dict[str, NDArray[Any]]", rows: int) -> Any:
        answer = self.session.run([self.output.name], part)[0]
        return answer[:rows]

    def _fixed_batch(self) -> int | None:
        sizes = {node.batch for node in self.inputs if node.batch is not None}
        return min(sizes) if sizes else None


def _parts(
    fed: "dict[str, NDArray[Any]]", rows: int, size: int | None
) -> "Iterator[tuple[dict[str, NDArray[Any]], int]]":
    """Runs of exactly `size` rows, the last filled up with its last row; all rows in one run where size is None."""
    import numpy as np

    if size is None or size < 1:
        yield fed, rows
        return
    for start in range(0, rows, size):
        taken = np.minimum(np.arange(start, start + size), rows - 1)
        yield {name: value[taken] for name, value in fed.items()}, min(size, rows - start)
