"""What a repository holds, as far as names and headers tell: weights, data, loaders, lock files."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heliotrope.config.schema import ModelFormat
from heliotrope.engine.files import WalkedFile, WalkProblem, walk
from heliotrope.lifecycle._discovery_code import Loader, find_loaders
from heliotrope.lifecycle._headers import (
    ArrayHeader,
    idx_header,
    is_torch_file,
    npy_header,
    npz_headers,
    png_shape,
    safetensors_counts,
    table_columns,
)
from heliotrope.subjects.formats import FORMATS
from heliotrope.subjects.planning import TABLE_SUFFIXES

__all__ = ["DataSet", "Discovery", "Split", "Weights", "discover"]

_TORCH_SUFFIXES = frozenset({".safetensors", ".pt", ".pth", ".bin", ".ckpt"})
_FORMATS: dict[str, ModelFormat] = {
    suffix: descriptor.format
    for descriptor in FORMATS.values()
    if descriptor.format != "torch"
    for suffix in descriptor.suffixes
}
_OTHER_SUFFIXES = frozenset({*_FORMATS, ".h5", ".keras", ".gguf", ".tflite"})
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_LOCK = re.compile(
    r"requirements[^/]*\.txt|uv\.lock|poetry\.lock|pdm\.lock|pylock(\.[^/]+)?\.toml|environment\.ya?ml|Pipfile\.lock"
)
_SHARD = re.compile(r"(.+)-\d{5}-of-(\d{5})\.(safetensors|bin)")
_IMAGE_KEYS = ("images", "x", "X", "inputs", "data", "features")
_LABEL_KEYS = ("labels", "y", "Y", "targets", "target", "label")
_EVALUATION_WORDS = frozenset(
    {"test", "t10k", "eval", "evaluate", "evaluation", "val", "valid", "validation", "heldout"}
)
_TRAINING_WORDS = frozenset({"train", "training"})
_MAX_CLASSES = 10_000
"""Class folders: ten times ImageNet."""

_MAX_SIDE = 65_536
"""The schema's bound for a side of an input."""

Split = str
"""`train`, `evaluate`, or empty when the names do not say."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model file."""

    path: str
    torch: bool
    format: ModelFormat | None = None
    """Of other kinds than torch, as far as the name tells; None: nothing can ask it."""
    remark: str = ""
    also: tuple[str, ...] = ()
    """The same model in other formats, by the name."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """Labelled samples, as a data source of heliotrope.yaml."""

    keys: tuple[tuple[str, str], ...]
    place: str
    """The path by which it is matched with models."""
    split: Split
    header: ArrayHeader | None = None
    shape: tuple[int, ...] | None = None
    """One sample, channel first."""
    channels_last: bool = False
    labels: tuple[str, ...] = ()
    table: bool = False
    columns: tuple[str, ...] = ()
    """Of a table, where its header can be read."""
    constraints: str = ""
    """Of a table: the file of what changed rows must keep, if one was drafted."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """All that was found, each in path order, and notes on what was not looked at."""

    weights: tuple[Weights, ...]
    loaders: tuple[Loader, ...]
    data: tuple[DataSet, ...]
    locks: tuple[str, ...]
    notes: tuple[str, ...]


def discover(root: Path) -> Discovery:
    """Look through a folder. Reads names, headers and Python syntax; imports and executes nothing."""
    files: dict[str, WalkedFile] = {}
    notes: list[str] = []
    for found in walk(root):
        if isinstance(found, WalkedFile):
            name = os.path.relpath(os.fsencode(found.path), os.fsencode(os.path.realpath(root)))
            if name == found.relative.encode():
                files[found.relative] = found
            else:
                notes.append(f"{found.relative}: its name is not valid UTF-8, so that heliotrope.yaml cannot name it")
        elif isinstance(found, WalkProblem):
            notes.append(f"{found.relative}: {found.reason}")
    weights, more = _find_weights(files)
    loaders, left_out = find_loaders([item for item in files.items() if item[0].endswith(".py")])
    return Discovery(
        weights=weights,
        loaders=loaders,
        data=tuple(sorted(_find_data(files), key=lambda item: (item.place, item.split))),
        locks=tuple(path for path in files if _LOCK.fullmatch(path.rpartition("/")[2])),
        notes=(*notes, *more, *left_out),
    )


def _find_weights(files: dict[str, WalkedFile]) -> tuple[tuple[Weights, ...], list[str]]:
    notes: list[str] = []
    by_stem: dict[str, list[str]] = defaultdict(list)
    shards: dict[str, int] = defaultdict(int)
    for path, file in files.items():
        suffix = Path(path).suffix.lower()
        shard = _SHARD.fullmatch(path)
        if shard is not None:
            shards[shard.group(1)] += 1
        elif (
            suffix in _TORCH_SUFFIXES and (suffix != ".bin" or is_torch_file(file.path))
        ) or suffix in _OTHER_SUFFIXES:
            by_stem[path[: -len(suffix)]].append(path)
    for stem, count in shards.items():
        notes.append(f"{stem}: {count} shards are not listed as a model; name a loader that reads them itself")
    weights = []
    for paths in by_stem.values():
        first, *others = sorted(paths, key=_preference)
        counts = safetensors_counts(files[first].path) if first.endswith(".safetensors") else None
        remark = f"{counts[0]} tensors, {counts[1]} parameters" if counts is not None else ""
        torch = Path(first).suffix.lower() in _TORCH_SUFFIXES
        weights.append(Weights(first, torch, _FORMATS.get(Path(first).suffix.lower()), remark, tuple(others)))
    return tuple(sorted(weights, key=lambda item: item.path)), notes


def _preference(path: str) -> tuple[bool, bool, str]:
    """Formats that hold nothing but numbers first."""
    suffix = Path(path).suffix.lower()
    return suffix != ".safetensors", suffix not in _TORCH_SUFFIXES, path


def _find_data(files: dict[str, WalkedFile]) -> list[DataSet]:
    found: list[DataSet] = []
    for path, file in files.items():
        lower = path.lower()
        if lower.endswith(".npz"):
            found += _npz_sets(path, file.path)
        elif lower.endswith(".npy"):
            found += _pair(path, _npy_partner(path), files, npy_header(file.path))
        elif Path(lower).suffix in TABLE_SUFFIXES:
            columns = table_columns(file.path, Path(lower).suffix)
            found.append(DataSet((("path", path),), path, _split(path), table=True, columns=columns))
        elif re.search(r"idx\d-ubyte(\.gz)?$", lower):
            partner = path.replace("images", "labels").replace("idx3", "idx1")
            found += _pair(path, partner, files, idx_header(file.path))
    return found + _image_folders(files)


def _npz_sets(path: str, file: Path) -> list[DataSet]:
    headers = npz_headers(file)
    found = []
    for suffix in ("", "_train", "_test", "_val"):
        images = next((key + suffix for key in _IMAGE_KEYS if key + suffix in headers), None)
        labels = next((key + suffix for key in _LABEL_KEYS if key + suffix in headers), None)
        if images is not None and labels is not None:
            keys = [("path", path)]
            keys += [("images_key", images)] if images != "images" else []
            keys += [("labels_key", labels)] if labels != "labels" else []
            found.append(_data_set(tuple(keys), path, _split(suffix) or _split(path), headers[images]))
    return found


def _npy_partner(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    for mine, theirs in (("images", "labels"), ("x", "y"), ("X", "y"), ("inputs", "targets")):
        changed = re.sub(rf"(?<![A-Za-z0-9]){mine}(?![A-Za-z0-9])", theirs, name.replace("_", " ")).replace(" ", "_")
        if changed != name:
            return f"{folder}{slash}{changed}"
    return path


def _pair(path: str, partner: str, files: dict[str, WalkedFile], header: ArrayHeader | None) -> list[DataSet]:
    if partner == path or partner not in files or header is None:
        return []
    return [_data_set((("images", path), ("labels", partner)), path, _split(path), header)]


def _data_set(keys: tuple[tuple[str, str], ...], place: str, split: Split, header: ArrayHeader) -> DataSet:
    shape, channels_last = _sample_shape(header.shape)
    return DataSet(keys, place, split, header, shape, channels_last)


def _sample_shape(shape: tuple[int, ...]) -> tuple[tuple[int, ...] | None, bool]:
    """Channel, height and width of one image of N, and whether they are stored with the channels last."""
    sample = shape[1:]
    if not all(1 <= size <= _MAX_SIDE for size in sample):
        return None, False
    if len(sample) == 2:
        return (1, *sample), False
    if len(sample) == 3 and sample[0] in {1, 3}:
        return sample, False
    if len(sample) == 3 and sample[2] in {1, 3}:
        return (sample[2], *sample[:2]), True
    return None, False


def _image_folders(files: dict[str, WalkedFile]) -> list[DataSet]:
    """Folders whose sub-folders (two at least) hold nothing but images."""
    members: dict[str, list[str]] = defaultdict(list)
    for path in files:
        members[path.rpartition("/")[0]].append(path)
    children = _children(files)
    parents: dict[str, list[str]] = defaultdict(list)
    for folder, paths in members.items():
        parent, _, name = folder.rpartition("/")
        if name and all(Path(path).suffix.lower() in _IMAGE_SUFFIXES for path in paths):
            parents[parent].append(name)
    found = []
    for parent, classes in parents.items():
        if parent and 2 <= len(classes) <= _MAX_CLASSES and children[parent] == set(classes):
            shape = png_shape(files[min(members[f"{parent}/{min(classes)}"])].path)
            sized = shape if shape is not None and all(1 <= side <= _MAX_SIDE for side in shape) else None
            keys = (("path", parent),)
            found.append(DataSet(keys, parent, _split(parent), None, sized, labels=tuple(sorted(classes))))
    return found


def _children(paths: Iterable[str]) -> dict[str, set[str]]:
    """Folder to the names of what lies directly in it."""
    children: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        rest = path
        while rest:
            folder, _, name = rest.rpartition("/")
            if name in children[folder]:
                break
            children[folder].add(name)
            rest = folder
    return children


def _split(path: str) -> Split:
    """What the names say, the innermost first."""
    for part in reversed(path.lower().split("/")):
        words = set(re.split(r"[^a-z0-9]+", part))
        if words & _EVALUATION_WORDS:
            return "evaluate"
        if words & _TRAINING_WORDS:
            return "train"
    return ""
