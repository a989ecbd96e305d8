"""Which kind of model archive its members' names make, and what code of that kind lies in a member."""

import json
import re
from collections.abc import Iterable

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.python_source import check_python
from heliotrope.scan.frameworks.torch_export import check_program, text_values
from heliotrope.scan.frameworks.torch_script import check_bytecode, check_script
from heliotrope.scan.interface import Context, LimitReachedError, Source

__all__ = ["ArchiveCode"]

_SCRIPT = re.compile(r"(?:.*/)?code/.*\.py", re.DOTALL)
_PACKAGED_SCRIPT = re.compile(r"(?:.*/)?\.data/ts_code/.*\.py", re.DOTALL)
"""No name of a Python module leads there."""
_BYTECODE = re.compile(r"(?:.*/)?(?:bytecode|mobile_debug_handles)\.pkl", re.DOTALL)
_PROGRAM = re.compile(r"(?:.*/)?(?:models/[^/]*\.json|serialized_exported_program\.json)", re.DOTALL)
_INDUCTOR = re.compile(r"(?:.*/)?data/aotinductor/.*", re.DOTALL)
_NATIVE = re.compile(
    r".*\.(?:so|dll|dylib|pyd|o|obj|a|lib|cpp|cc|cxx|c|cu|cubin|ptx|hsaco|spv|metal)", re.DOTALL | re.IGNORECASE
)
_RAW = re.compile(r"(?:.*/)?(?:\.data/\d+\.storage|data/weights/[^/.]+|data/constants/[^/.]+|constants/\d+)", re.DOTALL)
_HANDLERS = frozenset({"image_classifier", "image_segmenter", "object_detector", "text_classifier", "base_handler"})
"""What TorchServe brings itself."""
_MAX_MANIFEST = 64 * 1024
_SHOWN = 120


class ArchiveCode:
    """The code in one archive. It is told every member, and knows what the whole is from the beginning."""

    def __init__(self, names: Iterable[str]) -> None:
        """`names` are those of the directory."""
        listed = list(names)
        last = {name.rpartition("/")[2] for name in listed}
        scripted = any(_SCRIPT.fullmatch(name) for name in listed)
        self.format: str | None = None
        """None for an archive of which nothing is known here."""
        if any(name.endswith((".data/extern_modules", ".data/python_version")) for name in listed):
            self.format = "torch-package"
        elif "archive_format" in last or any(
            name.endswith("serialized_exported_program.json") or _INDUCTOR.fullmatch(name) for name in listed
        ):
            self.format = "torch-export"
        elif "data.pkl" in last and (scripted or "constants.pkl" in last or "bytecode.pkl" in last):
            self.format = "torchscript"
        elif any(name.endswith("MAR-INF/MANIFEST.json") for name in listed):
            self.format = "torch-archive"

    def is_weights(self, name: str) -> bool:
        """Whether the member is raw numbers in this kind of archive."""
        return self.format in ("torch-package", "torch-export") and _RAW.fullmatch(name) is not None

    def inspect(self, source: Source, name: str, context: Context) -> None:
        """Judge a member by what this kind of archive does with it; its own format is judged elsewhere."""
        if self.format is None:
            return
        try:
            self._inspect(source, name, context)
        except LimitReachedError as error:
            context.notes.incomplete(error.reason, limit=error.limit, member=context.member)

    def _inspect(self, source: Source, name: str, context: Context) -> None:
        scripted = _PACKAGED_SCRIPT if self.format == "torch-package" else _SCRIPT
        if self.format != "torch-archive" and scripted.fullmatch(name):
            message = "TorchScript code, of which the operators were checked"
            context.notes.add("torch-script-code", message, key="code", member=context.member)
            check_script(source, context)
        elif _BYTECODE.fullmatch(name):
            check_bytecode(source, context)
        elif self.format == "torch-export" and _PROGRAM.fullmatch(name):
            check_program(source, context)
        elif self.format in ("torch-export", "torch-package", "torch-archive") and _NATIVE.fullmatch(name):
            shown = shorten(printable(name), _SHOWN)
            message = f"{shown} is a program or its source, which loading runs in the process"
            context.notes.add("packaged-native-code", message, key="native", member=context.member)
        elif self.format in ("torch-package", "torch-archive", "torch-export") and name.lower().endswith(".py"):
            runs = {
                "torch-package": "is imported when the package is loaded",
                "torch-archive": "runs when the model is served",
            }
            check_python(source, context, what=runs.get(self.format, "is Python source beside the program"))
        elif self.format == "torch-archive" and name.endswith("MAR-INF/MANIFEST.json"):
            _manifest(source, context)


def _manifest(source: Source, context: Context) -> None:
    """Source: the model archive of TorchServe; a handler is one of its own, or a file with an optional function behind a colon."""
    for key, value, offset in text_values(source, context):
        file = value.partition(":")[0]
        if (
            key == "handler"
            and value
            and value not in _HANDLERS
            and not file.endswith(".py")
            and f"{file}" not in _HANDLERS
        ):
            message = f"the handler is {shorten(printable(value), _SHOWN)}, which TorchServe does not bring"
            context.notes.add(
                "packaged-source", message, key=f"handler {value[:_SHOWN]}", member=context.member, offset=offset
            )
    try:
        json.loads(source.read(0, _MAX_MANIFEST))
    except (ValueError, RecursionError):
        context.notes.incomplete("the manifest is no JSON", member=context.member)
