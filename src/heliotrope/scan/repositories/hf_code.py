"""Code that a repository's configuration names: modules that lie in the folder, and modules of other repositories.

Sources: transformers.dynamic_module_utils; sentence-transformers' modules.json; diffusers' model_index.json and custom
pipelines; Hugging Face's inference endpoints (handler.py); spaCy's packages.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from heliotrope.scan.beside import Folder
from heliotrope.scan.interface import LimitReachedError
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.repositories.documents import Document, DocumentError, Mapping, mappings, read_json, texts

__all__ = ["CodeReference", "is_loaded", "references"]

_CONFIGS = frozenset(
    [
        "config.json",
        "tokenizer_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "video_preprocessor_config.json",
        "generation_config.json",
        "modules.json",
        "model_index.json",
        "adapter_config.json",
        "image_processor_config.json",
        "feature_extractor_config.json",
        "configuration.json",
    ]
)
_REFERENCE = re.compile(
    r"(?:(?P<repo>[\w.-]+(?:/[\w.-]+)?)--)?(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.(?P<name>\w+)"
)
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+\.{0,2}([A-Za-z_]\w*)[\w.]*[ \t]+import|import[ \t]+([A-Za-z_]\w*)|from[ \t]+\.[ \t]+import[ \t]+([\w, \t]+))",
    re.MULTILINE,
)
_MAX_MODULES = 500
_MAX_REFERENCE = 300
"""Characters of a reference; owner, repository, module and class have 96 each at most."""
_LIBRARIES = frozenset(
    ["diffusers", "transformers", "onnxruntime", "optimum", "peft", "flax", "torch", "sentence_transformers"]
)


@dataclass(frozen=True, slots=True)
class CodeReference:
    """A class that a configuration names by the module it stands in."""

    text: str
    key: str
    """Where it stands, as in auto_map."""
    module: str
    """Dotted, without the class."""
    repository: str = ""
    """Of another repository, as in owner/name; empty for a module of the folder."""

    @property
    def file(self) -> str:
        return self.module.replace(".", "/") + ".py"


def references(document: Document, name: str) -> Iterator[CodeReference]:
    """Every class that a configuration names; those of packages are told apart by who asks."""
    for mapping, _ in mappings(document):
        for value in mapping.all("auto_map"):
            entries = (
                [text for _, item in value for text in texts(item)] if isinstance(value, Mapping) else texts(value)
            )
            yield from _parsed(entries, "auto_map")
        for value in mapping.all("custom_pipelines"):
            for _, pipeline in value if isinstance(value, Mapping) else ():
                if isinstance(pipeline, Mapping):
                    yield from _parsed(texts(pipeline.get("impl")), "custom_pipelines")
    if name == "modules.json" and isinstance(document.root, list):
        for module in document.root:
            if isinstance(module, Mapping):
                kinds = [text for text in texts(module.get("type")) if not text.startswith("sentence_transformers.")]
                yield from _parsed(kinds, "modules.json")
    if name == "model_index.json" and isinstance(document.root, Mapping):
        yield from _components(document.root)


def _parsed(entries: list[str], key: str) -> Iterator[CodeReference]:
    for text in entries:
        match = _REFERENCE.fullmatch(text.strip()) if len(text) <= _MAX_REFERENCE else None
        if match is None:
            yield CodeReference(text[:_MAX_REFERENCE], key, text[:_MAX_REFERENCE])
        else:
            yield CodeReference(text, key, match["module"], match["repo"] or "")


def _components(root: Mapping) -> Iterator[CodeReference]:
    """[library, class] of each part; a library that is none of those known is a module of the folder or a package."""
    for key, value in root:
        pair: Any = value
        if not isinstance(pair, list) or isinstance(pair, Mapping) or len(pair) != 2:
            continue
        library, name = pair
        if isinstance(library, str) and isinstance(name, str) and library not in _LIBRARIES:
            module = library.rpartition(".")[2] if library.startswith("diffusers_modules") else library
            yield CodeReference(f"{library}.{name}", f"model_index.json {key}"[:80], module)


def is_loaded(name: str, head: bytes, folder: Folder, limits: ScanLimits) -> bool:
    """Whether a loader of the repository imports the module of that name."""
    if name == "handler.py":
        return b"EndpointHandler" in head
    if name == "generate.py" and folder.name == "custom_generate":
        return True
    return name in _loaded(folder, limits)


def _loaded(folder: Folder, limits: ScanLimits) -> frozenset[str]:
    found = folder.memo.get("loaded-modules")
    if not isinstance(found, frozenset):
        found = frozenset(_closure(_named(folder, limits), folder, limits))
        folder.memo["loaded-modules"] = found
    return found


def _named(folder: Folder, limits: ScanLimits) -> set[str]:
    """Modules of the folder that its configuration names, or that of the folder around it."""
    found: set[str] = set()
    for config in sorted(_CONFIGS & folder.names):
        found |= {item.file for item in _read(folder, config, limits) if not item.repository}
    if "meta.json" in folder.names and "__init__.py" in folder.names:
        data = folder.read("meta.json", limits.max_module_bytes) or b""
        found |= {"__init__.py"} if b'"spacy_version"' in data else set()
    if folder.name == "custom_generate":
        found.add("generate.py")
    if "handler.py" in folder.names and b"EndpointHandler" in (
        folder.read("handler.py", limits.max_module_bytes) or b""
    ):
        found.add("handler.py")
    around = folder.parent if any(name.endswith(".py") for name in folder.names) else None
    if around is not None and "model_index.json" in around.names:
        found |= {item.file for item in _read(around, "model_index.json", limits)}
    return found & folder.names


def _read(folder: Folder, config: str, limits: ScanLimits) -> list[CodeReference]:
    data = folder.read(config, limits.max_config_bytes + 1)
    if data is None or len(data) > limits.max_config_bytes:
        return []  # the configuration's own report says so
    try:
        return list(references(read_json(data, limits), config))
    except (DocumentError, LimitReachedError):
        return []


def _closure(named: set[str], folder: Folder, limits: ScanLimits) -> set[str]:
    """The modules, and those beside them that they import in turn."""
    found: set[str] = set()
    pending = sorted(named)
    while pending and len(found) < _MAX_MODULES:
        module = pending.pop()
        if module in found:
            continue
        found.add(module)
        for match in _IMPORT.finditer(folder.read(module, limits.max_module_bytes) or b""):
            names = (match[1] or match[2] or match[3]).decode("ascii", "replace")
            pending += [file for part in names.split(",") if (file := f"{part.strip()}.py") in folder.names]
    return found
