import json

import jsonschema
import pytest
from tests.unit.report import factories

from heliotrope.core.assessments import Assessment
from heliotrope.core.predicates.scan import ScanDocument
from heliotrope.report import json_schemas, render_json

SCHEMAS = json_schemas()


@pytest.mark.parametrize(
    "document",
    [factories.denied()[0], factories.every_outcome(), factories.static_empty()],
    ids=["denied", "all", "empty"],
)
def test_assessments_validate_and_read_back(document):
    data = json.loads(render_json(document))
    jsonschema.validate(data, SCHEMAS["heliotrope.assessment/v1"], cls=jsonschema.Draft202012Validator)
    assert Assessment.model_validate(data) == document


@pytest.mark.parametrize("document", [factories.scan_document(), factories.scan_document(())], ids=["found", "nothing"])
def test_scans_validate_and_read_back(document):
    data = json.loads(render_json(document))
    jsonschema.validate(data, SCHEMAS["heliotrope.scan/v1"], cls=jsonschema.Draft202012Validator)
    assert ScanDocument.model_validate(data) == document


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_are_schemas_and_say_no(name):
    schema = SCHEMAS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    document = factories.denied()[0] if "assessment" in name else factories.scan_document()
    data = json.loads(render_json(document))
    wrong = (
        {**data, "schema": "heliotrope.other/v1"},
        {**data, "extra": 1},
        {k: v for k, v in data.items() if k != "tool"},
    )
    for bad in (*wrong, {k: v for k, v in data.items() if k != "schema"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("text", factories.HOSTILE)
def test_hostile_text_is_ascii_on_the_page_and_itself_in_the_data(text):
    rendered = render_json(factories.hostile_scan(text))
    assert rendered.isascii()
    assert rendered.replace("\n", "").isprintable()
    assert rendered.endswith("}\n")
    assert json.loads(rendered)["files"][0]["path"] == text
