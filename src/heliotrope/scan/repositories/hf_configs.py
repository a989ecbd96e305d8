"""Configuration of Hugging Face's libraries: which code it has imported, from where, and which files it points to.

Sources: transformers, diffusers, peft and sentence-transformers; CVE-2026-4372 (an attention implementation that names a
repository of kernels is fetched and run, without trust_remote_code).
"""

import re
from typing import Any

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context
from heliotrope.scan.policy import target_names
from heliotrope.scan.repositories.documents import Document, Mapping, mappings, texts
from heliotrope.scan.repositories.hf_code import CodeReference, references
from heliotrope.scan.repositories.python_code import check_module
from heliotrope.scan.repositories.shards import check_index
from heliotrope.scan.repositories.targets import danger_of
from heliotrope.scan.repositories.templates import check_template

__all__ = ["check_config", "check_spacy", "is_config"]

_MARKS = frozenset(
    [
        "architectures",
        "model_type",
        "auto_map",
        "tokenizer_class",
        "chat_template",
        "peft_type",
        "base_model_name_or_path",
        "processor_class",
        "image_processor_type",
        "feature_extractor_type",
        "transformers_version",
        "weight_map",
        "custom_pipelines",
        "_class_name",
        "_diffusers_version",
        "spacy_version",
        "custom_generate",
        "auto_mapping",
        "sentence_bert_config",
        "_attn_implementation",
        "_attn_implementation_internal",
        "attn_implementation",
    ]
)
_KERNELS = re.compile(r"_?(?:attn|attention|experts)_implementation(?:_internal|_autoset)?")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(?:[@:].*)?")
_PATH = re.compile(r"^(?:[/~\\]|[A-Za-z]:[\\/]|file:)|(?:^|[\\/])\.\.(?:[\\/]|$)")
_SHOWN = 120
_SPACY_NAME = re.compile(rb"^@(\w{1,40})[ \t]*=[ \t]*\"([^\"\n]{1,200})\"", re.MULTILINE)
_SPACY_KNOWN = ("spacy.", "spacy-", "thinc.", "span_", "curated-")
_PIPELINE_MODULE = re.compile(r"[a-z][a-z0-9_]*")


def is_config(document: Document, name: str) -> bool:
    """Whether a JSON document configures one of these libraries."""
    if name == "modules.json" and isinstance(document.root, list):
        return any(isinstance(item, Mapping) and item.has("type") and item.has("path") for item in document.root)
    return isinstance(document.root, Mapping) and any(key in _MARKS for key, _ in document.root)


def check_config(document: Document, name: str, context: Context) -> None:
    """Judge what the libraries would do with it."""
    _Config(document, name, context).check()


class _Config:
    def __init__(self, document: Document, name: str, context: Context) -> None:
        self._document = document
        self._name = name
        self._context = context

    def check(self) -> None:
        for reference in references(self._document, self._name):
            self._code(reference)
        for mapping, _ in mappings(self._document):
            self._mapping(mapping)
        root = self._document.root
        if isinstance(root, Mapping):
            if isinstance(root.get("weight_map"), Mapping):
                check_index(root.get("weight_map"), self._context)
            if root.has("base_model_name_or_path"):
                self._base_model(root)
            self._auto_mapping(root.get("auto_mapping"))
            self._class_name(root)
        elif self._name == "modules.json" and isinstance(root, list):
            for module in root:
                for path in texts(module.get("path")) if isinstance(module, Mapping) else ():
                    self._path(path, "path")

    # code

    def _code(self, reference: CodeReference) -> None:
        shown = _shown(reference.text)
        if reference.repository:
            message = f"{reference.key} takes code from the repository {_shown(reference.repository)}: {shown}"
            self._note("hf-remote-code", message, shown)
        elif self._is_here(reference.file):
            self._local(reference.file, f"{reference.key} names {shown}")
        elif reference.key == "modules.json" or reference.key.startswith("model_index.json"):
            self._package(reference)
        else:
            self._missing(reference.file, reference.key)

    def _is_here(self, file: str) -> bool:
        beside = self._context.beside
        return beside is not None and beside.look(file).state == "file"

    def _local(self, file: str, message: str) -> None:
        self._note("hf-custom-code", f"{message}, which is code of the repository", file)
        beside = self._context.beside
        if self._context.named and beside is not None and file not in beside.memo:
            beside.memo[file] = True
            data = beside.read(file, self._context.limits.max_module_bytes + 1)
            if data is not None:
                check_module(data, self._context.inside(file))

    def _missing(self, file: str, key: str) -> None:
        reason = f"{key} names code in {_shown(file)}, which is not here"
        self._context.notes.incomplete(reason, member=self._context.member)

    def _package(self, reference: CodeReference) -> None:
        """A module that is imported by its name from what is installed, or from a component's folder."""
        name = reference.text.rpartition("--")[2]
        root = reference.module.partition(".")[0]
        component = reference.key.partition(" ")[2]
        if component and self._is_here(f"{component}/{reference.file}"):
            self._local(f"{component}/{reference.file}", f"{reference.key} names {_shown(name)}")
        elif (entry := danger_of(name)) is not None:
            message = f"{reference.key} imports {_shown(name)}, which {entry.reason}"
            self._note("hf-dangerous-import", message, _shown(name), name)
        elif root not in target_names().packages and not (component and _PIPELINE_MODULE.fullmatch(reference.module)):
            message = f"{reference.key} imports {_shown(name)}, which is neither here nor of a known package"
            self._note("hf-unknown-import", message, _shown(name), name)

    def _class_name(self, root: Mapping) -> None:
        """Diffusers takes a pipeline of its own from a module of the folder: ["module", "Class"]."""
        names = root.get("_class_name")
        if isinstance(names, list) and len(texts(names)) == 2:
            file = f"{texts(names)[0]}.py"
            if self._is_here(file):
                self._local(file, f"_class_name names {_shown(texts(names)[1])}")
            else:
                self._missing(file, "_class_name")

    def _auto_mapping(self, value: Any) -> None:
        """Peft imports the library that an adapter's mapping names."""
        library = value.get("parent_library") if isinstance(value, Mapping) else None
        if not isinstance(library, str) or not library:
            return
        root = library.partition(".")[0]
        entry = danger_of(f"{library}.x")
        if entry is not None:
            message = f"auto_mapping imports {_shown(library)}, which {entry.reason}"
            self._note("hf-dangerous-import", message, _shown(library), library)
        elif root == "transformers_modules":
            self._note("hf-custom-code", f"auto_mapping names {_shown(library)}, code of a repository", library)
        elif root not in target_names().packages:
            message = f"auto_mapping imports {_shown(library)}, which is not a known package"
            self._note("hf-unknown-import", message, _shown(library), library)

    # values at any depth

    def _mapping(self, mapping: Mapping) -> None:
        for key, value in mapping:
            if _KERNELS.fullmatch(key):
                self._kernels(key, value)
            elif key == "trust_remote_code" and value is True:
                self._note("hf-trust-remote-code", "trust_remote_code is switched on in the file", "trust_remote_code")
            elif key == "custom_generate" and isinstance(value, str) and value:
                message = f"custom_generate takes code from the repository {_shown(value)}"
                self._note("hf-remote-code", message, _shown(value))
            elif key == "custom_pipeline" and isinstance(value, str) and "/" in value:
                message = f"custom_pipeline takes code from the repository {_shown(value)}"
                self._note("hf-remote-code", message, _shown(value))
            elif key == "chat_template":
                self._templates(value)

    def _kernels(self, key: str, value: Any) -> None:
        values = [text for _, item in value for text in texts(item)] if isinstance(value, Mapping) else texts(value)
        for text in values:
            if _REPOSITORY.fullmatch(text.rpartition("|")[2].strip()):
                message = f"{key} names the repository {_shown(text)}, whose code is fetched and run (CVE-2026-4372)"
                self._note("hf-kernel-repository", message, _shown(text))

    def _templates(self, value: Any) -> None:
        found: list[tuple[str, str]] = [("chat_template", value)] if isinstance(value, str) else []
        if isinstance(value, Mapping):
            found = [(f"chat_template.{key}", item) for key, item in value if isinstance(item, str)]
        elif isinstance(value, list) and all(isinstance(item, str) for item in value):
            found = [("chat_template", "".join(value))]  # its lines, as llama.cpp's server takes them
        elif isinstance(value, list):
            for item in value:
                text = item.get("template") if isinstance(item, Mapping) else item
                label = item.get("name") if isinstance(item, Mapping) else ""
                if isinstance(text, str):
                    found.append((f"chat_template.{_shown(str(label))}", text))
        for label, text in found:
            check_template(text, self._context.inside(label))

    def _base_model(self, root: Mapping) -> None:
        for base in texts(root.get("base_model_name_or_path")):
            if _PATH.search(base):
                message = f"the base model is a path of another machine or outside the folder: {_shown(base)}"
                self._note("hf-local-base-model", message, "base")
            elif base and root.get("revision") is None:
                message = f"the base model {_shown(base)} is named without a revision"
                self._note("hf-unpinned-reference", message, "base")

    def _path(self, path: str, key: str) -> None:
        if _PATH.search(path):
            self._note("hf-unsafe-path", f"{key} leaves the folder: {_shown(path)}", _shown(path))

    def _note(self, rule: str, message: str, key: str, name: str | None = None) -> None:
        self._context.notes.add(rule, message, key=key, global_name=name, member=self._context.member)


def check_spacy(data: bytes, context: Context) -> bool:
    """Judge the config.cfg of a spaCy pipeline; False when it is none."""
    found = list(_SPACY_NAME.finditer(data))
    for match in found:
        name = match[2].decode("utf-8", "replace")
        if not name.startswith(_SPACY_KNOWN):
            message = f"@{match[1].decode()} names {_shown(name)}, a function of a package that must be installed"
            context.notes.add("hf-registered-function", message, key=_shown(name), member=context.member)
    return bool(found)


def _shown(text: str) -> str:
    return shorten(printable(text), _SHOWN)
