"""Configurations of Keras in files: the members of .keras archives, and JSON by itself as model.to_json writes it.

Source: saving_lib of Keras 3. The members for weights and assets are inspected as files of their own.
"""

from heliotrope.scan.frameworks.keras_config import check_config
from heliotrope.scan.frameworks.keras_text import parse_config, speaks_of_classes
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source, UnreadableError

__all__ = ["KerasArchive", "KerasJsonAnalyser"]

_CONFIG, _METADATA = "config.json", "metadata.json"
_HEAD, _WHOLE = 64 * 1024, 5 * 2**20
"""Of a large file only the head is searched: it is data, or too large to be parsed."""


class KerasArchive:
    """What an archive holds of a model of Keras. `context` is that of the archive."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._found = False

    def take(self, name: str, source: Source) -> bool:
        """Judge a member that a loader would take for the configuration; False when it is none and may be anything else."""
        taken = name == _CONFIG and _judge(source, self._context.inside(name))
        self._found |= taken
        return taken

    def is_model(self, names: set[str]) -> bool:
        """Whether the archive is a model of Keras, by what its members turned out to be and by all members' names."""
        weights = any(name.endswith((".weights.h5", ".weights.npz", ".weights.json")) for name in names)
        return self._found and (_METADATA in names or weights)


class KerasJsonAnalyser:
    """The configuration of a model in a file of its own."""

    format = "keras-json"

    def accepts(self, source: Source, name: str) -> bool:
        if source.read(0, 64).lstrip()[:1] != b"{":
            return False
        text = source.read(0, source.size if source.size <= _WHOLE else _HEAD)
        return speaks_of_classes(text)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        return Recognised("keras-json", model=_judge(source, context))


def _judge(source: Source, context: Context) -> bool:
    """Judge a configuration; False when the bytes are none."""
    try:
        text = source.read(0, context.limits.max_keras_config + 1)
        value = parse_config(text, context)
    except UnreadableError as error:
        context.notes.incomplete(str(error), member=context.member)
        return False
    except LimitReachedError as error:
        context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
        return False
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        return False
    check_config(value, context)
    return True
