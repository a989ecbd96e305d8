"""The reference page is what the schema says."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from heliotrope.config._docs import field_docs, models_in
from heliotrope.config.reference import render_reference
from heliotrope.config.schema import HeliotropeConfig

PAGE = Path(__file__).parents[3] / "docs/reference/configuration.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text("utf-8") == render_reference(), (
        "run: python -m heliotrope.config.reference > docs/reference/configuration.md"
    )


def all_models() -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    waiting: list[type[BaseModel]] = [HeliotropeConfig]
    while waiting:
        model = waiting.pop()
        if model not in found:
            found.add(model)
            waiting += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return found


@pytest.mark.parametrize("model", sorted(all_models(), key=lambda model: model.__name__))
def test_every_key_has_a_meaning_and_a_row(model):
    page = render_reference()
    for name, field in model.model_fields.items():
        assert field_docs(model).get(name) or any(inner.__doc__ for inner in models_in(field.annotation)), name
        assert f"{field.alias or name}` |" in page
