"""Work in batches that become smaller when memory runs out; what is found does not depend on their size."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from heliotrope.attack.gradients.model import GradientModel

__all__ = ["in_batches", "out_of_memory"]

_T = TypeVar("_T")

_SAYINGS = ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator", "std::bad_alloc")


def in_batches(model: "GradientModel", total: int, work: Callable[[slice], _T]) -> list[_T]:
    """Call `work` on consecutive slices of 0..total.

    A slice for which memory ran out is done again in halves, and the model's batch stays that small. What the failed try
    cost is not counted, so that the count is the same on every machine. Raises MemoryError when one sample is too much.
    """
    done: list[_T] = []
    begin = 0
    while begin < total:
        size = min(model.batch, total - begin)
        before = (model.cost.forward, model.cost.gradient, model.calls)
        try:
            done.append(work(slice(begin, begin + size)))
        except Exception as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise MemoryError("memory ran out on a single sample") from error
            model.batch = max(1, size // 2)
            model.cost.forward, model.cost.gradient, model.calls = before
        else:
            begin += size
            continue
        _free()
    return done


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in any of the ways torch says it."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(saying in str(error).lower() for saying in _SAYINGS)


def _free() -> None:
    """Give cached memory of a GPU back; the frames of the failed try are gone by now."""
    import torch

    if torch.cuda.is_available():
        with contextlib.suppress(RuntimeError):
            torch.cuda.empty_cache()
