"""A model behind HTTP: KServe V2, MLflow or plain JSON.

What identifies it is its address and what it says of itself, not its weights: a host may answer with another model at any
moment, so evidence about it is never reused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rfc8785

from heliotrope.config.schema import EndpointConfig, ModelConfig, OutputKind
from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.subjects._asking import AskedModel, tried, wants_values
from heliotrope.subjects._http import HttpClient
from heliotrope.subjects._protocols import KServeTensors, answer_of, request_of, tensors_of
from heliotrope.subjects._scores import one_hot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Inputs

__all__ = ["open_model"]


def open_model(
    model: ModelConfig,
    *,
    root: Path,  # noqa: ARG001 - nothing lies in the project
    probe: "Inputs",
    columns: "tuple[Column, ...]",  # noqa: ARG001 - the probe says it all
    seed: int,  # noqa: ARG001 - nothing here is random
    expected: Mapping[str, str],  # noqa: ARG001 - no file is read
) -> AskedModel:
    """The adapter of the format endpoint. Only with consent: it sends data to the host that the project names.

    Raises InputError when the host is another machine and nobody is named who allowed it, when the budget is spent, and
    for every answer that is not what was declared.
    """
    endpoint = model.endpoint
    if endpoint is None:
        raise InputError(f"model {model.name!r} has no endpoint", hint="fill endpoint: {url: ..., protocol: ...}")
    output: OutputKind | None = "values" if wants_values(model) else model.output
    if output is None:
        raise InputError(
            "nothing says what the endpoint answers with", hint="set output: logits, probabilities, labels or values"
        )
    if output == "labels" and model.labels is None:
        raise InputError("the endpoint gives labels alone, and nothing names its classes", hint="fill labels")
    client = HttpClient(endpoint)
    try:
        metadata = client.get(_model_url(endpoint)) if endpoint.protocol == "kserve-v2" else None
        tensors = tensors_of(metadata) if metadata is not None else {}
        ask = _Asking(client, endpoint, tensors, output, model.labels)
        described = {"url": endpoint.url, "metadata": sha256_hex(metadata) if metadata is not None else None}
        digests = {"endpoint": sha256_hex(rfc8785.dumps(described))}
        return tried(
            model, format="endpoint", probe=probe, digests=digests, output=output, ask=ask, finish=client.close
        )
    except BaseException:
        client.close()
        raise


def _model_url(endpoint: EndpointConfig) -> str:
    """Where a KServe server describes the model: /v2/models/NAME for /v2/models/NAME/infer."""
    return endpoint.url.partition("?")[0].removesuffix("/").removesuffix("/infer")


@dataclass(frozen=True, slots=True)
class _Asking:
    client: HttpClient
    endpoint: EndpointConfig
    tensors: KServeTensors
    output: OutputKind
    labels: tuple[str, ...] | None

    def __call__(self, inputs: "Inputs") -> "NDArray[Any]":
        import numpy as np

        size = self.endpoint.batch
        rows: list[Any] = []
        for start in range(0, len(inputs), size):
            rows += self._some(inputs[start : start + size])
        if self.output == "labels":
            assert self.labels is not None
            return one_hot([row[0] if isinstance(row, list) and len(row) == 1 else row for row in rows], self.labels)
        whole = self.output != "values" and all(isinstance(row, int) for row in rows)
        if whole or any(
            isinstance(value, bool | str) for row in rows for value in (row if isinstance(row, list) else [row])
        ):
            raise InputError("the endpoint answers with labels, not with scores", hint="set output: labels")
        try:
            return np.array(rows, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InputError(
                "the endpoint's rows are not numbers of one length", hint="it must give one score for each class"
            ) from None

    def _some(self, inputs: "Inputs") -> list[Any]:
        body = request_of(self.endpoint, inputs, self.tensors)
        return answer_of(self.endpoint, self.client.post(body), len(inputs))
