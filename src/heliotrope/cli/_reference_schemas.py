"""The JSON Schemas of everything that is published, and the page that lists them."""

import json
from collections.abc import Iterator
from typing import Any

from heliotrope.config.reference import config_json_schema, constraints_json_schema
from heliotrope.lifecycle.plugins import PLUGINS_SCHEMA, PluginList
from heliotrope.report import json_schemas
from heliotrope.report.schemas import schema_of

__all__ = ["schema_pages"]

_CONFIG = "heliotrope.config/v1"
_CONSTRAINTS = "heliotrope.constraints/v1"

_HEAD = """\
# JSON Schemas

Every JSON document that Heliotrope prints names its schema in the key `schema`, and the name ends in a version: within a version keys
are added, never removed or changed in meaning. The schemas follow JSON Schema, draft 2020-12. Read them from the files below, or
from `reference/schemas/` of this site.

An editor that speaks to a YAML language server completes and checks `heliotrope.yaml` with the last one of them: put
`# yaml-language-server: $schema=` and the path of the file in its first line. The one before it does so for `constraints.yaml`.
"""


def schema_pages() -> dict[str, str]:
    """File name to content: every schema, and the page."""
    schemas = {
        **json_schemas(),
        PLUGINS_SCHEMA: schema_of(PLUGINS_SCHEMA, PluginList),
        _CONSTRAINTS: constraints_json_schema(),
        _CONFIG: config_json_schema(),
    }
    files = {_file(name): json.dumps(schema, indent=2, sort_keys=True) + "\n" for name, schema in schemas.items()}
    sections = [_section(name, schema) for name, schema in schemas.items()]
    return {**files, "schemas.md": "\n".join([_HEAD, *sections])}


def _file(name: str) -> str:
    return f"schemas/{name.replace('/', '-')}.json"


def _section(name: str, schema: dict[str, Any]) -> str:
    about = " ".join(schema.get("description", "").split())
    required = set(schema.get("required", ()))
    rows = "\n".join(
        f"| `{key}` | {' or '.join(_types(value))} | {'always' if key in required else 'may be left out'} |"
        for key, value in schema["properties"].items()
    )
    return (
        f"## {name}\n\n{about}\n\nFile: [`{_file(name)}`]({_file(name)})\n\n"
        f"| key | type | present |\n|---|---|---|\n{rows}\n"
    )


def _types(value: dict[str, Any]) -> Iterator[str]:
    if "anyOf" in value:
        for inner in value["anyOf"]:
            yield from _types(inner)
    elif "$ref" in value:
        yield f"`{value['$ref'].rpartition('/')[2]}`"
    elif value.get("type") == "array":
        inner = value.get("items", {})
        yield f"list of {' or '.join(_types(inner)) if isinstance(inner, dict) and inner else 'anything'}"
    elif "const" in value or "enum" in value:
        yield " or ".join(f"`{json.dumps(item)}`" for item in value.get("enum", [value.get("const")]))
    else:
        yield str(value.get("type", "anything"))
