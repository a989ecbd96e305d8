"""The strict YAML of configuration files for files of others, such as those of package managers: nodes, not records."""

import re

from heliotrope.config._source import SourceText
from heliotrope.config._yaml import Mapping, Node, Scalar, Sequence, parse, plain_data
from heliotrope.core.errors import ConfigError, InputError
from heliotrope.core.records import sha256_hex

__all__ = ["Mapping", "Node", "Scalar", "Sequence", "parse_document", "plain_data"]

_PLACE = re.compile(r"^document:(\d+):\d+: ")


def parse_document(data: bytes, *, max_values: int) -> Node | None:
    """The root of a YAML document: no tags, no merge keys, no doubles, aliases within the budget; None when it is empty.

    InputError begins with the line of what is wrong.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"line {line}: is not UTF-8 text", hint="save it as UTF-8") from None
    try:
        return parse(SourceText("document", text, sha256_hex(data)), max_nodes=max_values)
    except ConfigError as error:
        raise InputError(_PLACE.sub(r"line \1: ", error.message), hint=error.hint) from None
