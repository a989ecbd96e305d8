"""Every file of a project with its digest and what it seems to be for."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from heliotrope.core.predicates.inventory import FileRole, InventoryFile, InventoryPredicate, InventoryProblem
from heliotrope.core.records import sha256_hex
from heliotrope.core.subjects import Artifact
from heliotrope.engine.files import TreeDigest, digest_tree, valid_name

__all__ = ["role_of", "take_inventory"]

_SUFFIXES: dict[FileRole, str] = {
    "model": "safetensors pt pth pt2 ptl pte bin ckpt pkl pickle dill joblib skops onnx ort h5 hdf5 keras pb tflite gguf ggml "
    "mar nemo caffemodel params mlmodel mlpackage cbm ubj msgpack llamafile model torchscript",
    "data": "npz npy csv tsv parquet arrow feather jsonl ndjson tfrecord tfrecords mat idx png jpg jpeg gif bmp webp tif tiff "
    "wav flac mp3 ogg mp4",
    "code": "py pyi pyx pyw so dll dylib sh bash js mjs ts c cc cpp cu cuh h hpp java rs go r jl sql ps1 bat lua",
    "configuration": "yaml yml toml json ini cfg conf env xml properties in",
    "lock": "lock",
    "notebook": "ipynb",
    "document": "md rst txt pdf html htm tex docx",
}
_BY_SUFFIX = {suffix: role for role, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_BY_NAME: dict[str, FileRole] = {
    "makefile": "code",
    "dockerfile": "code",
    "license": "document",
    "readme": "document",
    "notice": "document",
    "pipfile": "configuration",
    "environment.yml": "lock",
    "environment.yaml": "lock",
    "pylock.toml": "lock",
    "pipfile.lock": "lock",
}
_LOCK = re.compile(r"(?:requirements|constraints)[^/]*\.(?:txt|in)|pylock\.[^/]+\.toml")
_IDX = re.compile(r"-idx[0-9]-ubyte(?:\.gz)?")


def role_of(name: str) -> FileRole:
    """What a file of this name seems to be for; the content is judged by others."""
    lower = name.lower()
    if _LOCK.fullmatch(lower):
        return "lock"
    if _IDX.search(lower):
        return "data"
    if lower in _BY_NAME:
        return _BY_NAME[lower]
    return _BY_SUFFIX.get(lower.rpartition(".")[2], "other") if "." in lower else "other"


def take_inventory(
    root: Path,
    paths: Iterable[str],
    list_tree: Callable[[Path], TreeDigest] = digest_tree,
) -> InventoryPredicate:
    """List the paths below the root. InputError when one of them does not exist."""
    parts: list[tuple[str, TreeDigest]] = []
    for path in paths:
        target = root / path
        folder = path if target.is_dir() else str(Path(path).parent)
        prefix = "" if folder == "." else f"{valid_name(folder)}/"
        parts.append((prefix, list_tree(target)))
    files = {
        f"{prefix}{item.file.relative}": Artifact(
            path=f"{prefix}{item.file.relative}", sha256=item.sha256, size=item.file.size
        )
        for prefix, tree in parts
        for item in tree.files
    }
    problems = tuple(
        InventoryProblem(path=f"{prefix}{problem.relative}", reason=problem.reason)
        for prefix, tree in parts
        for problem in tree.problems
    )
    skipped = tuple(
        InventoryProblem(path=f"{prefix}{item.relative}", reason=item.reason)
        for prefix, tree in parts
        for item in tree.skipped
    )
    return InventoryPredicate(
        files=tuple(
            InventoryFile(artifact=artifact, role=role_of(path.rpartition("/")[2]))
            for path, artifact in sorted(files.items())
        ),
        problems=problems,
        total_files=len(files),
        total_bytes=sum(artifact.size for artifact in files.values()),
        tree_digest=_combined([tree.digest for _, tree in parts]),
        skipped=skipped,
    )


def _combined(digests: list[str]) -> str:
    return digests[0] if len(digests) == 1 else sha256_hex("\n".join(digests).encode())
