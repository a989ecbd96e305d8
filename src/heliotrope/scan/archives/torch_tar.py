"""Torch's first format: a tar archive of pickles with raw numbers between them.

Source: torch.serialization.legacy_load, which torch 2.13 still runs for files that tarfile opens. The number of bytes
between two pickles follows from the storage's class; what is passed over as numbers is searched for pickles all the same.
"""

import re

from heliotrope.scan.interface import Context, Source
from heliotrope.scan.pickles.judge import Judge
from heliotrope.scan.pickles.machine import Machine
from heliotrope.scan.pickles.streams import analyse_streams, search_pickles
from heliotrope.scan.policy import shipped_policy
from heliotrope.scan.sources import SliceSource

__all__ = ["TORCH_MEMBERS", "analyse_torch_member"]

TORCH_MEMBERS = frozenset({"storages", "tensors", "pickle"})
_STORAGE = re.compile(rb"ctorch[\w.]{0,40}\n(\w{1,40})Storage\n")
_TENSOR = re.compile(rb"ctorch[\w.]{0,40}\n\w{1,40}Tensor\n")
_WIDTHS = {b"Double": 8, b"Float": 4, b"Half": 2, b"Long": 8, b"Int": 4, b"Short": 2, b"Char": 1, b"Byte": 1}
_MAX_PICKLE = 4_096
"""Bytes of the pickles that describe one storage or tensor; only those are looked at for a class."""
_MAX_DIMENSIONS = 64


def analyse_torch_member(source: Source, name: str, context: Context) -> None:
    """Judge one of the three members as torch reads it."""
    if name == "pickle":
        analyse_streams(source, context, persistent_ids_known=True)
        return
    at = streams = 0
    while at < source.size:
        streams += 1
        if streams > context.limits.max_streams:
            reason = f"more than {context.limits.max_streams} pickles one after another"
            context.notes.incomplete(reason, limit="max_streams", member=context.member)
            return
        judge = Judge(shipped_policy(), context.limits)
        end = Machine(source, judge, context.limits, context.budget).run(at)
        judge.commit(context)
        if not end.complete:
            reason = f"the pickle breaks off: {end.reason}"
            context.notes.incomplete(reason, limit=end.limit, member=context.member, offset=end.offset)
            search_pickles(source, context, start=min(end.offset, source.size))
            return
        length = _numbers_behind(source, at, end.offset, name)
        if length:
            numbers = SliceSource(source, end.offset, length)
            if numbers.size < length:
                context.notes.incomplete("a tensor is cut short", member=context.member, offset=end.offset)
            search_pickles(numbers, context, start=0)
        at = end.offset + length


def _numbers_behind(source: Source, begin: int, end: int, name: str) -> int:
    """Bytes of raw numbers behind a pickle."""
    if end - begin > _MAX_PICKLE:
        return 0
    described = source.read(begin, end - begin)
    if name == "storages":
        classes = _STORAGE.findall(described)
        if len(classes) != 1:
            return 0
        count = int.from_bytes(source.read(end, 8), "little")
        return 8 + count * _WIDTHS.get(classes[0], 1)
    if not _TENSOR.search(described):
        return 0
    dimensions = min(int.from_bytes(source.read(end, 4), "little"), _MAX_DIMENSIONS)
    return 8 + 16 * dimensions + 8
