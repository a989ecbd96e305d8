"""Pointers of git-lfs: the text that stands where a large file would be. What it points to was not inspected.

Source: the pointer's specification, https://git-lfs.github.com/spec/v1.
"""

import re

from heliotrope.scan.interface import Context, Recognised, Source

__all__ = ["PointerAnalyser"]

_MAX_BYTES = 1024
"""By the specification, pointers are smaller."""
_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\r?\n(?:[a-z0-9.-]+ [^\n]*\n)*?"
    rb"oid sha256:([0-9a-f]{64})\r?\n(?:[a-z0-9.-]+ [^\n]*\n)*?size (\d{1,18})\r?\n?(?:[a-z0-9.-]+ [^\n]*\n)*"
)
_BESIDE = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".mp4", ".webm", ".mp3", ".wav", ".flac", ".ogg",
           ".pdf", ".md", ".txt", ".ttf", ".woff", ".woff2", ".ico", ".csv", ".tsv", ".html")  # fmt: skip
"""Pictures, sounds, prose and tables, which are no models."""


class PointerAnalyser:
    """A file whose content is elsewhere."""

    format = "git-lfs-pointer"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        if source.size >= _MAX_BYTES or source.read(0, 8) != b"version ":
            return False
        return _POINTER.fullmatch(source.read(0, _MAX_BYTES)) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        match = _POINTER.fullmatch(source.read(0, _MAX_BYTES))
        size = int(match[2]) if match else 0
        if name.lower().endswith(_BESIDE):
            return Recognised("git-lfs-pointer", supported=False, model=False)
        reason = f"its content is not here: a git-lfs pointer to {size} bytes; fetch them with git lfs pull"
        context.notes.incomplete(reason, member=context.member)
        return Recognised("git-lfs-pointer")
