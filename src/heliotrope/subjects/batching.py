"""How many rows a model may be asked about at once."""

from heliotrope.subjects.interface import Opened
from heliotrope.subjects.prepare import MAX_BATCH, batch_size
from heliotrope.subjects.torch_model import TorchModel

__all__ = ["MAX_TABLE_ROWS", "rows_at_once"]

MAX_TABLE_ROWS = 65_536
"""Larger batches of a table gain nothing and cost memory: 26 MB for 50 columns of numbers."""

_BYTES_A_CELL = 64
"""A cell of a table as it passes through reader, frame, the library's own matrix and back; text takes more."""

_SHARE = 32
"""Of the memory limit: the rest is for the library, the model and what a check keeps."""


def rows_at_once(opened: Opened, memory_bytes: int) -> int:
    """At least one; for an endpoint what one request carries."""
    model, endpoint = opened.model, opened.parameters.model.endpoint
    if endpoint is not None:
        return endpoint.batch
    if opened.data.kind == "table":
        width = max(1, len(opened.data.columns))
        return max(1, min(MAX_TABLE_ROWS, memory_bytes // _SHARE // (_BYTES_A_CELL * width)))
    if isinstance(model, TorchModel):
        import numpy as np
        import torch

        first = opened.data.take(np.zeros(1, dtype=np.int64)).inputs
        return batch_size(model, torch.from_numpy(np.array(first, dtype=np.float32))[0], memory_bytes)
    return MAX_BATCH
