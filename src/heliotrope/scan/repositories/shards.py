"""The index of weights in several files: the files it names must be in the folder, and hold what it says.

Only headers of shards are read, so that 70 GB of them cost no more than their tables of contents.
"""

import json
import re
from typing import Any

from heliotrope.core.text import counted, printable, shorten
from heliotrope.scan.beside import Folder
from heliotrope.scan.interface import Context
from heliotrope.scan.repositories.documents import Mapping

__all__ = ["check_index"]

_OUTSIDE = re.compile(r"^(?:[/~\\]|[A-Za-z]:|[a-z][a-z0-9+.-]*://)|(?:^|[\\/])\.\.(?:[\\/]|$)|\0")
_SHOWN = 100


def check_index(weight_map: Mapping, context: Context) -> None:
    """Note names that leave the folder, shards that are missing, and tensors that the named shard does not hold."""
    tensors: dict[str, set[str]] = {}
    for tensor, shard in weight_map:
        if isinstance(shard, str):
            tensors.setdefault(shard, set()).add(tensor)
        else:
            _note(context, "hf-index-mismatch", f"{_shown(tensor)} lies in no file", "no file")
    safe = []
    for shard in tensors:
        if _OUTSIDE.search(shard):
            _note(context, "hf-unsafe-path", f"the index names {_shown(shard)}, outside the folder", _shown(shard))
        else:
            safe.append(shard)
    limit = context.limits.max_shards
    if len(safe) > limit:
        reason = f"the index names {len(safe)} files, more than the limit of {limit}"
        context.notes.incomplete(reason, limit="max_shards", member=context.member)
    if context.beside is not None:
        _compare(safe[:limit], tensors, context.beside, context)


def _compare(shards: list[str], tensors: dict[str, set[str]], folder: Folder, context: Context) -> None:
    states = {shard: folder.look(shard).state for shard in shards}
    for shard, state in states.items():
        if state == "leaves":
            _note(context, "hf-unsafe-path", f"{_shown(shard)} is a link out of the folder", _shown(shard))
    missing = [shard for shard, state in states.items() if state in ("missing", "odd")]
    if missing:
        message = f"{counted(len(missing), 'file')} of the index not here, as in {_shown(missing[0])}"
        _note(context, "hf-missing-shard", message, "missing")
    for shard in shards:
        if states[shard] == "file" and shard.endswith(".safetensors"):
            held = _names(folder, shard, context.limits.max_safetensors_header)
            absent = sorted(tensors[shard] - held) if held is not None else []
            if absent:
                message = f"{_shown(shard)} does not hold {_shown(absent[0])}, which the index says"
                _note(context, "hf-index-mismatch", message, _shown(shard))


def _names(folder: Folder, shard: str, limit: int) -> set[str] | None:
    """Names of the tensors in a shard; None when its header says nothing, which its own report tells."""
    head = folder.read(shard, 8)
    length = int.from_bytes(head or b"", "little")
    if head is None or len(head) < 8 or not 1 < length <= limit:
        return None
    try:
        header: Any = json.loads(folder.read(shard, length, offset=8) or b"")
    except (ValueError, RecursionError):
        return None
    return set(header) if isinstance(header, dict) else None


def _note(context: Context, rule: str, message: str, key: str) -> None:
    context.notes.add(rule, message, key=key, member=context.member)


def _shown(text: str) -> str:
    return shorten(printable(text), _SHOWN)
