"""Pictures as data URIs. Bytes are taken only when they are the PNG that the evidence names."""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.behaviour import AdversarialExample

__all__ = ["MAX_EXAMPLES", "Picture", "ReadBlob", "picture", "pictures"]

ReadBlob = Callable[[str], bytes | None]

MAX_EXAMPLES = 12
"""Failures shown for one attack; the evidence lists all."""
MAX_PICTURE_BYTES = 512 * 1024
"""A thumbnail is far smaller; this keeps a page of twelve below 25 MB whatever the evidence holds."""
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Picture:
    """One of a failure or of an explanation."""

    title: str
    uri: str | None
    """Null when the bytes are missing, too large, changed or no PNG."""
    problem: str = ""


def pictures(example: AdversarialExample, read_blob: ReadBlob) -> tuple[Picture, ...]:
    """Original, perturbed, their difference, and what the wrong answer rests on where the evidence says it."""
    gain = f"{example.difference_gain:g}"
    named = [
        ("original", example.original),
        ("perturbed", example.perturbed),
        (f"difference × {gain}", example.difference),  # noqa: RUF001 - a multiplication sign is meant
    ]
    if example.attribution is not None:
        named.append(("rests on", example.attribution))
    return tuple(picture(title, blob, read_blob) for title, blob in named)


def picture(title: str, blob: Blob | None, read_blob: ReadBlob) -> Picture:
    """One that evidence names, or why it cannot be shown."""
    if blob is None:
        return Picture(title, None, "no picture of this kind of input")
    if blob.media_type != "image/png":
        return Picture(title, None, "not a PNG")
    if blob.size > MAX_PICTURE_BYTES:
        return Picture(title, None, "too large to show")
    data = read_blob(blob.sha256)
    if data is None:
        return Picture(title, None, "not in the blob store")
    if len(data) > MAX_PICTURE_BYTES or hashlib.sha256(data).hexdigest() != blob.sha256 or not data.startswith(_PNG):
        return Picture(title, None, "the stored bytes are not the picture that was recorded")
    return Picture(title, f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}")
