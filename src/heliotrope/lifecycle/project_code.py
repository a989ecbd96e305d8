"""Which files of a project are code: what consent is given to, and what evidence about running it rests on."""

from pathlib import Path

from heliotrope.engine.files import WalkedFile, walk

__all__ = ["code_files"]

_SUFFIXES = frozenset({".py", ".pyi", ".pyc", ".so", ".pyd", ".pth"})
"""What an import can read. Weights named .pth are taken in too: they cannot be told apart by name."""


def code_files(root: Path) -> dict[str, Path]:
    """Relative path to file, of everything below the folder that an import could read."""
    return {
        item.relative: item.path
        for item in walk(root)
        if isinstance(item, WalkedFile) and item.path.suffix in _SUFFIXES
    }
