"""The memo of the pickle machine: eight bytes an entry for what picklers write, a dictionary for what they never do."""

from array import array

from heliotrope.scan.interface import LimitReachedError

__all__ = ["Memo"]

_UNSET = -1
_MAX_GAP = 16
"""Python 2's pickler starts at 1, so small gaps are filled instead of leaving everything to the dictionary."""


class Memo:
    """Index to tag, with the semantics of the unpickler: MEMOIZE writes at the number of entries there are."""

    def __init__(self, max_sparse: int) -> None:
        self.dense = array("q")
        """Tags by index; -1 where there is none. The machine appends to it directly in its loop."""
        self.sparse: dict[int, int] = {}
        self.holes = 0
        self._max_sparse = max_sparse

    def __len__(self) -> int:
        return len(self.dense) - self.holes + len(self.sparse)

    def get(self, index: int) -> int | None:
        if 0 <= index < len(self.dense):
            tag = self.dense[index]
            return None if tag == _UNSET else tag
        return self.sparse.get(index)

    def put(self, index: int, tag: int) -> None:
        size = len(self.dense)
        if index < size:
            if self.dense[index] == _UNSET:
                self.holes -= 1
            self.dense[index] = tag
        elif index == size and not self.sparse:
            self.dense.append(tag)
        elif index <= size + _MAX_GAP and not self.sparse:
            self.holes += index - size
            self.dense.extend([_UNSET] * (index - size))
            self.dense.append(tag)
        else:
            self.sparse[index] = tag
            if len(self.sparse) > self._max_sparse:
                raise LimitReachedError("max_sparse_memo", f"more than {self._max_sparse} memo entries out of order")
