import json
import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import jsonschema
import pytest
from tests.unit.report import factories

from heliotrope.report import render_sarif
from heliotrope.report._text import file_uri

DENIED, _ = factories.denied()


def run_of(result, rules=factories.RULES, **options):
    return json.loads(render_sarif(result, rules, **options))["runs"][0]


@pytest.fixture(scope="module")
def schema():
    data = os.environ.get("HELIOTROPE_TEST_DATA")
    if not data:
        pytest.skip("HELIOTROPE_TEST_DATA is not set: the SARIF schema is not part of this project")
    return json.loads((Path(data) / "schemas/sarif/sarif-schema-2.1.0.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "result",
    [
        DENIED,
        factories.every_outcome(),
        factories.static_empty(),
        factories.scan_document(),
        factories.scan_document(()),
    ],
    ids=["denied", "every", "empty", "scan", "scan of nothing"],
)
def test_valid_against_the_standard(schema, result):
    jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).validate(
        json.loads(render_sarif(result, factories.RULES, docs_base="https://docs.example.org/heliotrope"))
    )


@pytest.mark.parametrize("text", factories.HOSTILE)
def test_valid_with_hostile_text(schema, text):
    times = {"started_at": DENIED.started_at, "finished_at": DENIED.finished_at}
    assessment = factories.hostile(text)[0].model_copy(update=times)
    for result in (assessment, factories.hostile_scan(text)):
        rendered = render_sarif(result, [factories.hostile_rule(text)])
        assert rendered.isascii()
        jsonschema.Draft4Validator(schema).validate(json.loads(rendered))


def test_the_schema_test_can_fail(schema):
    broken = json.loads(render_sarif(DENIED, factories.RULES))
    del broken["runs"][0]["invocations"][0]["executionSuccessful"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(schema).validate(broken)


def test_findings_with_place_fingerprint_and_advice():
    run = run_of(DENIED)
    found = next(item for item in run["results"] if item["ruleId"] == "pickle-dangerous-call")
    place = found["locations"][0]
    assert found["level"] == "error"
    assert found["occurrenceCount"] == 2
    assert place["physicalLocation"]["artifactLocation"] == {"uri": "downloads/resnet.pt", "uriBaseId": "%SRCROOT%"}
    assert "region" not in place["physicalLocation"]  # the offset counts inside the member
    assert place["logicalLocations"][0]["fullyQualifiedName"] == "downloads/resnet.pt!/archive/data.pkl"
    assert "Do not load the file" in found["message"]["text"]
    assert found["partialFingerprints"] == {"heliotrope/v1": DENIED.findings[0].fingerprint}
    assert found["properties"]["evidence"] in {entry.id for entry in DENIED.evidence}
    assert found["properties"]["new"] is True


def test_offsets_of_plain_files_are_byte_regions():
    run = run_of(factories.every_outcome())
    related = run["results"][0]["relatedLocations"][0]["physicalLocation"]
    assert run["results"][0]["locations"][0]["physicalLocation"]["region"] == {"startLine": 3}
    assert related["region"] == {"byteOffset": 9, "byteLength": 0}


def test_only_rules_that_are_used_with_severity_and_taxonomy():
    driver = run_of(DENIED)["tool"]["driver"]
    rules = {item["id"]: item for item in driver["rules"]}
    assert "never-used" not in rules
    pickle = rules["pickle-dangerous-call"]
    assert pickle["properties"]["security-severity"] == "9.5"
    assert "external/cwe/cwe-502" in pickle["properties"]["tags"]
    assert pickle["helpUri"] == "https://cwe.mitre.org/data/definitions/502.html"
    for result in run_of(DENIED)["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_help_leads_to_our_own_pages_where_they_are_published():
    rules = run_of(DENIED, docs_base="https://docs.example.org")["tool"]["driver"]["rules"]
    assert rules[0]["helpUri"] == "https://docs.example.org/reference/rules.md#pickle-dangerous-call"


def test_taxa_point_at_the_taxonomies_of_the_run():
    run = run_of(DENIED)
    names = [item["name"] for item in run["taxonomies"]]
    for result in run["results"]:
        for taxon in result.get("taxa", []):
            component = taxon["toolComponent"]
            assert names[component["index"]] == component["name"]
            assert taxon["id"] in [item["id"] for item in run["taxonomies"][component["index"]]["taxa"]]


def test_a_rule_of_no_catalogue_is_described_from_its_finding():
    assert run_of(factories.every_outcome(), ())["tool"]["driver"]["rules"][0]["id"] == "rule-critical"


def test_what_did_not_conclude_is_a_notification_and_no_success():
    assessment = factories.every_outcome()
    invocation = run_of(assessment)["invocations"][0]
    told = {item["descriptor"]["id"]: item for item in invocation["toolExecutionNotifications"]}
    assert invocation["executionSuccessful"] is False
    assert set(told) == {"check.error", "check.inconclusive", "check.skipped"}
    assert told["check.error"]["level"] == "error"
    assert "models\\[0\\].input.range" in told["check.inconclusive"]["message"]["text"]
    concluded = tuple(run for run in assessment.runs if run.outcome in ("passed", "failed", "not_applicable"))
    assert run_of(assessment.model_copy(update={"runs": concluded}))["invocations"][0]["executionSuccessful"] is True


def test_policy_rules_that_stand_in_the_way_are_results():
    kinds = {
        item["ruleId"]: (item["kind"], item["level"])
        for item in run_of(factories.every_outcome())["results"]
        if item["ruleId"].startswith("policy/")
    }
    assert kinds == {"policy/rule-fail": ("fail", "error"), "policy/rule-unknown": ("open", "none")}


def test_a_file_that_was_not_analysed_makes_a_scan_unsuccessful():
    invocation = run_of(factories.scan_document())["invocations"][0]
    assert invocation["executionSuccessful"] is False
    assert "downloads/half.pkl" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_links_and_placeholders_in_messages_are_disarmed():
    text = "[click](https://evil.example) {0}"
    message = run_of(factories.hostile(text)[0])["results"][0]["message"]["text"]
    assert message.startswith("\\[click\\](https://evil.example) {{0}}")


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a b/ü#?.pt", "a%20b/%C3%BC%23%3F.pt"),
        ("c:evil", "c%3Aevil"),
        ("tab\there\x1b", "tab%09here%1B"),
        ("name\udcff.pkl", "name%FF.pkl"),
        ("lone\ud800", "lone%ED%A0%80"),
        ("/abs/a b", "file:///abs/a%20b"),
        ("//host/share", "file:///host/share"),
        ("C:\\models\\x.pt", "file:///C%3A/models/x.pt"),
        ("100%", "100%25"),
        ("", "."),
    ],
)
def test_paths_become_uris(path, uri):
    assert file_uri(path) == uri


@pytest.mark.parametrize("path", factories.HOSTILE)
def test_every_name_survives_as_a_relative_uri(path):
    parts = urlsplit(file_uri(path))
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    if "\ud800" not in path:
        assert unquote_to_bytes(parts.path) == path.encode("utf-8", "surrogateescape")


def test_a_finding_without_a_place_is_shown_at_the_configuration():
    weak = next(item for item in run_of(DENIED)["results"] if item["ruleId"] == "evasion-weak")
    assert weak["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "heliotrope.yaml"
