"""The catalogue of taxonomy ids covers what we emit, and agrees with its source."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

import heliotrope
from heliotrope.core.findings import Rule
from heliotrope.core.taxonomy import ATLAS_VERSION, TAXONOMY, title_of


def emitted() -> Iterator[tuple[str, str]]:
    """(where, id) of every rule of every room, and of every literal that looks like an id."""
    root = Path(heliotrope.__file__).parent
    for module in sorted(root.glob("*/rules.py")):
        namespace = vars(importlib.import_module(f"heliotrope.{module.parent.name}.rules"))
        found = [
            rule for value in namespace.values() if isinstance(value, tuple) for rule in value if isinstance(rule, Rule)
        ]
        found += [value for value in namespace.values() if isinstance(value, Rule)]
        for rule in found:
            yield from ((rule.id, taxonomy_id) for taxonomy_id in rule.taxonomy)
    for source in root.rglob("*.py"):
        for match in re.finditer(
            r'"(AML\.T\d+(?:\.\d+)?|ML\d\d:20\d\d|LLM\d\d:20\d\d|CWE-\d+)"', source.read_text("utf-8")
        ):
            yield source.relative_to(root).as_posix(), match[1]


def test_every_id_we_emit_is_in_the_catalogue() -> None:
    ids = list(emitted())
    assert len(ids) > 20
    assert {pair for pair in ids if pair[1] not in TAXONOMY} == set()


def test_every_atlas_id_is_one_with_its_title(test_data: Path) -> None:
    text = (test_data / "intel/atlas/ATLAS.yaml").read_text("utf-8")
    atlas = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    assert atlas["version"] == ATLAS_VERSION
    titles = {item["id"]: item["name"] for matrix in atlas["matrices"] for item in matrix["techniques"]}
    ours = {key: title for key, title in TAXONOMY.items() if key.startswith("AML.")}
    assert ours == {key: titles.get(key) for key in ours}


def test_an_unknown_id_is_its_own_title() -> None:
    assert title_of("CWE-502") == "Deserialization of Untrusted Data"
    assert title_of("CWE-0") == "CWE-0"
