"""Text files beside weights: which of them say what is to be loaded or run, told by name and by the words in them.

Most files of a folder say nothing of the kind; of them only the words are looked for, and they are not judged.
"""

import re

from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.repositories.documents import Document, DocumentError, note_twice, read_json, read_yaml
from heliotrope.scan.repositories.hf_code import is_loaded
from heliotrope.scan.repositories.hf_configs import check_config, check_spacy, is_config
from heliotrope.scan.repositories.notebooks import check_notebook, is_notebook
from heliotrope.scan.repositories.python_code import check_module
from heliotrope.scan.repositories.secrets import check_secrets
from heliotrope.scan.repositories.targets import check_targets
from heliotrope.scan.repositories.templates import check_template, looks_like_chat

__all__ = ["RepositoryAnalyser"]

_CHUNK = 2**20
_OVERLAP = 64
_MAX_SECRETS = 2**20
"""Bytes of a file that are searched for secrets; they stand in files that people write."""

_TARGETS = (b"_target_", b"class_path", b'"target"')
_WORDS = (
    *_TARGETS, b"auto_map", b"chat_template", b"attn_implementation", b"experts_implementation", b"trust_remote_code",
    b"custom_pipeline", b"custom_generate", b"_class_name", b"base_model_name_or_path", b"weight_map", b'"model_type"',
    b'"architectures"', b'"tokenizer_class"', b'"processor_class"', b"spacy_version", b'"peft_type"', b"sentence_transformers.",
)  # fmt: skip
"""Words of JSON documents that say what is loaded."""
_STRONG = (b'"_target_"', b'"auto_map"', b"attn_implementation")
_YAML_WORDS = (b"_target_", b"target:", b"class_path", b"python/", b"%TAG", b"\xff\xfe", b"\xfe\xff", b"\0")
_ESCAPED = re.compile(rb"\\u00[2-7]|\\x[2-7]|\\U0000")
_SECRETIVE = (".env", ".toml", ".ini", ".cfg", ".conf", ".properties")
_TEMPLATES = (".jinja", ".jinja2", ".j2")
_NAMED_TEMPLATES = re.compile(r"(?:.*[-_.])?chat_template(?:[-_.].*)?\.(?:jinja2?|j2)")
_CONFIG_NAMES = frozenset(
    [
        "config.json",
        "tokenizer_config.json",
        "generation_config.json",
        "processor_config.json",
        "preprocessor_config.json",
        "adapter_config.json",
        "model_index.json",
        "modules.json",
        "chat_template.json",
    ]
)


class RepositoryAnalyser:
    """Configuration, templates, notebooks and modules. It takes part beside other analysers and names a file only alone."""

    format = "hf-config"

    def accepts(self, source: Source, name: str) -> bool:
        del source
        base = name.rpartition("/")[2].lower()
        return base.endswith((".json", ".py", ".yaml", ".yml", ".ipynb", *_TEMPLATES, *_SECRETIVE))

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        """`model` is false for what is read but says nothing about loading."""
        base = name.rpartition("/")[2]
        lower = base.lower()
        if lower.endswith(".json"):
            return _json(source, base, context)
        if lower.endswith(".py"):
            return _python(source, base, context)
        if lower.endswith((".yaml", ".yml")):
            return _yaml(source, context)
        if lower.endswith(".ipynb"):
            return _notebook(source, context)
        if lower.endswith(_TEMPLATES):
            return _template(source, lower, context)
        return _settings(source, lower, context)


def _whole(source: Source, limit: int, name: str, what: str, context: Context) -> bytes | None:
    data = source.read(0, limit + 1)
    if len(data) > limit:
        context.notes.incomplete(f"{what} of more than {limit} bytes", limit=name, member=context.member)
        return None
    return data


def _secrets(data: bytes, context: Context) -> None:
    check_secrets(data[:_MAX_SECRETS], context)


def _json(source: Source, name: str, context: Context) -> Recognised:
    limit = context.limits.max_config_bytes
    if source.size > limit:
        return _large_json(source, name, context)
    data = source.read(0, limit)
    _secrets(data, context)
    wanted = any(word in data for word in _WORDS) or name in _CONFIG_NAMES or _ESCAPED.search(data) is not None
    if not wanted and not context.named:
        return Recognised("json", model=False)
    document = _document(data, context, required=name in _CONFIG_NAMES or context.named)
    if document is None:
        return Recognised("json", model=False)
    if is_notebook(document):
        check_notebook(document, context)
        return Recognised("notebook", model=False)
    configures = is_config(document, name)
    targets = check_targets(document, context)
    check_config(document, name, context)
    if configures or targets:
        note_twice(document, context)
    if targets and not configures:
        return Recognised("hydra-config")
    return Recognised("hf-config" if configures else "json", model=configures)


def _document(data: bytes, context: Context, *, required: bool) -> Document | None:
    """The parsed JSON; what cannot be parsed is noted where it should be JSON, or names something to load."""
    try:
        return read_json(data, context.limits)
    except LimitReachedError as error:
        context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
    except DocumentError as error:
        if required or any(word in data for word in _STRONG):
            context.notes.incomplete(f"it {error}", member=context.member)
    return None


def _large_json(source: Source, name: str, context: Context) -> Recognised:
    """Vocabularies and forests of trees: only a word that names code keeps them from being passed over."""
    found = name in _CONFIG_NAMES
    for offset in range(0, source.size if not found else 0, _CHUNK):
        piece = source.read(offset, _CHUNK + _OVERLAP)
        if any(word in piece for word in _STRONG):
            found = True
            break
    if found:
        limit = context.limits.max_config_bytes
        reason = f"a configuration of more than {limit} bytes"
        context.notes.incomplete(reason, limit="max_config_bytes", member=context.member)
    return Recognised("json", supported=found or not context.named, model=found)


def _yaml(source: Source, context: Context) -> Recognised:
    head = source.read(0, min(source.size, context.limits.max_config_bytes) + 1)
    _secrets(head, context)
    wanted = any(word in head for word in _YAML_WORDS) or (b"\\" in head and b'"' in head)
    if not wanted and not context.named:
        return Recognised("yaml", model=False)
    data = _whole(source, context.limits.max_config_bytes, "max_config_bytes", "a configuration", context)
    if data is None:
        return Recognised("yaml", model=True)
    try:
        document = read_yaml(data, context.limits)
    except LimitReachedError as error:
        context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
        return Recognised("yaml")
    except DocumentError as error:
        if context.named or any(word in data for word in (b"_target_", b"!!python", b"!python")):
            context.notes.incomplete(f"it {error}", member=context.member)
        return Recognised("yaml", model=False)
    targets = check_targets(document, context)
    if targets:
        note_twice(document, context)
    return Recognised("hydra-config") if targets else Recognised("yaml", model=False)


def _python(source: Source, name: str, context: Context) -> Recognised:
    limit = context.limits.max_module_bytes
    loaded = context.named
    if not loaded and context.beside is not None:
        head = source.read(0, limit) if name == "handler.py" else b""
        loaded = is_loaded(name, head, context.beside, context.limits)
    if loaded:
        data = source.read(0, limit + 1)
        check_module(data, context)
        _secrets(data, context)
    return Recognised("python-module", model=loaded)


def _notebook(source: Source, context: Context) -> Recognised:
    data = _whole(source, context.limits.max_config_bytes, "max_config_bytes", "a notebook", context)
    if data is None:
        return Recognised("notebook")
    check_secrets(data, context)
    document = _document(data, context, required=True)
    if document is not None and is_notebook(document):
        check_notebook(document, context)
    elif document is not None:
        context.notes.incomplete("it is no notebook", member=context.member)
    return Recognised("notebook", model=False)


def _template(source: Source, name: str, context: Context) -> Recognised:
    data = _whole(source, context.limits.max_template * 4, "max_template", "a template", context)
    if data is None:
        return Recognised("jinja-template")
    text = data.decode("utf-8", "replace")
    chat = _NAMED_TEMPLATES.fullmatch(name) is not None or looks_like_chat(text)
    if not chat and not context.named:
        beside = context.beside
        chat = beside is not None and beside.name == "additional_chat_templates"
    if chat or context.named:
        check_template(text, context, chat=chat)
    return Recognised("jinja-template", model=chat)


def _settings(source: Source, name: str, context: Context) -> Recognised:
    data = source.read(0, _MAX_SECRETS)
    _secrets(data, context)
    if name == "config.cfg" and check_spacy(data, context):
        return Recognised("spacy-config")
    return Recognised("settings", model=False, supported=not context.named)
