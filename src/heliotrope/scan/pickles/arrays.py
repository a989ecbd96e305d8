"""Arrays whose bytes lie between the opcodes, as joblib writes them: their size is computed, and the stream goes on behind.

Source: NumpyArrayWrapper of joblib.numpy_pickle, releases 0.10 to 1.6.
"""

import math
from typing import Any, Protocol

from heliotrope.scan.interface import LimitReachedError
from heliotrope.scan.pickles.machine import Machine
from heliotrope.scan.pickles.replay import Dtype, Name, Unclear, replay
from heliotrope.scan.pickles.state import BrokenStreamError, State

__all__ = ["ArrayObserver", "follow_array"]

_KEYS = frozenset({"subclass", "shape", "order", "dtype", "allow_mmap"})
_ALIGNMENT = "numpy_array_alignment_bytes"
_MAX_PADDING = 64
"""joblib pads to 16 bytes."""
_MAX_DIMENSIONS = 64
_MAX_SIDE = 2**52
_SUBCLASSES = frozenset({"ndarray", "matrix", "memmap"})


class ArrayObserver(Protocol):
    """What is asked of the judge of the stream that holds an array."""

    def lookup(self, tag: int) -> Name | Dtype | None: ...
    def apart(self) -> Any: ...
    def inside(self, judge: Any) -> None: ...
    def besides(self, judge: Any) -> None: ...
    def subclass(self, name: Name) -> None: ...


def follow_array(judge: ArrayObserver, machine: State, begun: int, offset: int) -> int:
    """Where the stream goes on behind the array of a wrapper that was made before `begun` and built at `offset`.

    `begun` is 0 for one that stands where joblib puts none: in an array's own pickle, or recalled from the memo. Raises Unclear for a description that joblib does not write, BrokenStreamError and LimitReachedError as the machine.
    """
    if begun == 0:
        raise Unclear("it stands where joblib puts none")
    state = replay(machine, begun, offset, judge.lookup)
    dtype, shape = _description(state)
    judge.subclass(state["subclass"])
    start = offset + 1
    if machine.frame_end > start:
        raise Unclear("it lies in the middle of a frame")
    if dtype.objects:
        return _objects(judge, machine, start)
    if state.get(_ALIGNMENT) is None:
        _as_opcodes(judge, machine, start)
    else:
        padding = machine.source.read(start, 1)
        if not padding:
            raise BrokenStreamError("it ends where an array should begin")
        if padding[0] > _MAX_PADDING:
            raise Unclear(f"it is padded by {padding[0]} bytes")
        start += 1 + padding[0]
    size = math.prod(shape) * dtype.size
    if start + size > machine.source.size:
        raise BrokenStreamError(f"an array of {size} bytes is announced, which the file does not have")
    return start + size


def _description(state: Any) -> tuple[Dtype, tuple[int, ...]]:
    if not isinstance(state, dict) or not _KEYS <= set(state) <= _KEYS | {_ALIGNMENT}:
        raise Unclear("its description has other parts")
    dtype, shape, alignment = state["dtype"], state["shape"], state.get(_ALIGNMENT)
    if not isinstance(dtype, Dtype):
        raise Unclear("its type is not known")
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise Unclear("its shape is not known")
    if not all(type(side) is int and 0 <= side < _MAX_SIDE for side in shape):
        raise Unclear("its shape has sides that are no sizes")
    if state["order"] not in ("C", "F") or not (alignment is None or type(alignment) is int):
        raise Unclear("its description has other values")
    subclass = state["subclass"]
    if not isinstance(subclass, Name) or subclass.name not in _SUBCLASSES or subclass.module.split(".")[0] != "numpy":
        raise Unclear("it is no array of numpy")
    return dtype, shape


def _objects(judge: ArrayObserver, machine: State, start: int) -> int:
    """A pickle of its own lies there."""
    inner = judge.apart()
    end = Machine(machine.source, inner, machine.limits, machine.budget).run(start)
    judge.inside(inner)
    if end.complete:
        return end.offset
    if end.limit is not None:
        raise LimitReachedError(end.limit, end.reason)
    raise BrokenStreamError(f"the objects of an array break off: {end.reason}")


def _as_opcodes(judge: ArrayObserver, machine: State, start: int) -> None:
    """Without padding in front, a plain unpickler would run the array's bytes as opcodes."""
    other = judge.apart()
    Machine(machine.source, other, machine.limits, machine.budget).run(start, lenient=True)
    if other.dangerous:
        judge.besides(other)
