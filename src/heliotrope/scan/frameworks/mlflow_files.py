"""MLflow's description of a model: which code is imported to load it, and what else in the folder runs then.

Source: the MLmodel file of mlflow.models and the flavor python_function of mlflow.pyfunc.
"""

import re
from collections.abc import Iterator

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context, Recognised, Source

__all__ = ["MlflowAnalyser"]

_PROBED = 64 * 1024
_MAX_DEPTH = 50
_SHOWN = 120
_NAMES = frozenset({"MLmodel"})
_HEAD = re.compile(rb"(?m)^(?:flavors|[\"']flavors[\"'])\s*:")
_OWN_LOADER = re.compile(r"mlflow(?:\.[a-z_]\w*)+")
_CODE_KEYS = frozenset({"code", "code_path", "code_paths", "model_code_path", "pip_install_script"})
_PATH_KEYS = frozenset({
    "data", "python_model", "cloudpickle", "pickled_model", "model_path", "model_data", "path", "uri", "env", "conda",
    "virtualenv", "artifacts", "saved_input_example_info", "model_code_path", "code",
})  # fmt: skip


class MlflowAnalyser:
    """MLmodel files."""

    format = "mlflow"

    def accepts(self, source: Source, name: str) -> bool:
        base = name.replace("\\", "/").rpartition("/")[2]
        return base in _NAMES and _HEAD.search(source.read(0, _PROBED)) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        limit = context.limits.max_description_bytes
        data = source.read(0, limit + 1)
        if len(data) > limit:
            reason = f"the description has more than {limit} bytes"
            context.notes.incomplete(reason, limit="max_description_bytes", member=context.member)
        problem = ""
        try:
            for keys, value, offset in _scalars(data[:limit]):
                _judge(keys, value, offset, context)
        except _DescriptionError as error:
            problem = str(error)
        if problem:
            context.notes.incomplete(f"the description cannot be read: {problem}", member=context.member)
        return Recognised("mlflow")


class _DescriptionError(Exception):
    """It is no YAML, or uses what descriptions do not need."""


def _scalars(data: bytes) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """The keys above each plain value, the value, and where it stands. Nothing is constructed, whatever tags say."""
    import yaml

    keys: list[str | None] = []
    """Of each open level: its key, None before one is read; sequences have an empty one."""
    try:
        for event in yaml.parse(data, Loader=yaml.SafeLoader):
            _refuse(event)
            if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                if (keys and keys[-1] is None) or len(keys) >= _MAX_DEPTH:
                    raise _DescriptionError("a key is no text, or it is too deep")
                keys.append(None if isinstance(event, yaml.MappingStartEvent) else "")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                keys.pop()
                _value_ended(keys)
            elif isinstance(event, yaml.ScalarEvent):
                if keys and keys[-1] is None:
                    keys[-1] = event.value
                else:
                    mark = event.start_mark
                    yield tuple(key for key in keys if key), event.value, mark.index if mark is not None else 0
                    _value_ended(keys)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _DescriptionError(type(error).__name__) from None


def _refuse(event: object) -> None:
    import yaml

    if isinstance(event, yaml.AliasEvent):
        raise _DescriptionError("it refers to its own parts")
    tag = getattr(event, "tag", None)
    if tag is not None and "python" in tag:
        raise _DescriptionError(f"it makes an object of Python ({tag[:_SHOWN]})")


def _value_ended(keys: list[str | None]) -> None:
    if keys and keys[-1] != "":
        keys[-1] = None


def _judge(keys: tuple[str, ...], value: str, offset: int, context: Context) -> None:
    key = keys[-1] if keys else ""
    shown = shorten(printable(value), _SHOWN)
    if key == "loader_module" and not _OWN_LOADER.fullmatch(value):
        message = f"{shown} is imported to load the model, which is no module of MLflow's"
        context.notes.add(
            "mlflow-foreign-loader", message, global_name=value[:_SHOWN], member=context.member, offset=offset
        )
    elif "flavors" in keys and key in _CODE_KEYS and value not in ("", "null", "~"):
        message = f"{shown} holds code that travels with the model and is imported when it is loaded"
        context.notes.add("mlflow-shipped-code", message, key=value[:_SHOWN], member=context.member, offset=offset)
    if "flavors" in keys and (key in _PATH_KEYS or "artifacts" in keys) and _leaves(value):
        message = f"{shown} lies outside the model's folder"
        context.notes.add("mlflow-outside-path", message, key=value[:_SHOWN], member=context.member, offset=offset)


def _leaves(value: str) -> bool:
    parts = value.replace("\\", "/").split("/")
    return (
        ".." in parts
        or (parts[0] == "" and len(parts) > 1)
        or "://" in value
        or re.match(r"[A-Za-z]:[\\/]", value) is not None
    )
