import xml.etree.ElementTree as ET
from functools import cache

import pytest
import xmlschema
from tests.unit.report import factories

from heliotrope.report import junit_schema, render_junit

DENIED, _ = factories.denied()


@cache
def schema():
    return xmlschema.XMLSchema(str(junit_schema()))


def case(root, name):
    return next(item for item in root.iter("testcase") if item.get("classname") == name or name in item.get("name"))


@pytest.mark.parametrize(
    "assessment", [DENIED, factories.every_outcome(), factories.static_empty()], ids=["denied", "every", "empty"]
)
def test_valid_against_our_schema(assessment):
    schema().validate(render_junit(assessment))


@pytest.mark.parametrize("text", factories.HOSTILE)
def test_valid_with_hostile_text(text):
    rendered = render_junit(factories.hostile(text)[0])
    schema().validate(rendered)
    assert factories.visible(rendered)


@pytest.mark.parametrize(
    "change",
    [
        ('tests="', 'test="'),
        ("<testcase", "<case"),
        ('time="', 'time="-'),
        ('type="unknown"', ""),
    ],
)
def test_the_schema_can_say_no(change):
    broken = render_junit(factories.every_outcome()).replace(*change).replace("</testcase", "</testcase")
    with pytest.raises((xmlschema.XMLSchemaException, ET.ParseError)):
        schema().validate(broken)


def test_each_outcome_looks_like_what_it_is():
    root = ET.fromstring(render_junit(factories.every_outcome()))
    seen = {}
    for item in root.iter("testcase"):
        child = next(iter(item), None)
        seen[item.get("classname")] = (child.tag, child.get("type")) if child is not None else None
    assert seen["check.passed"] is None
    assert seen["check.failed"] == ("failure", "failed")
    assert seen["check.error"] == ("error", "timeout")
    assert seen["check.inconclusive"] == ("error", "inconclusive")
    assert seen["check.skipped"] == ("skipped", None)
    assert seen["check.not_applicable"] == ("skipped", None)


def test_policy_rules_are_cases():
    root = ET.fromstring(render_junit(factories.every_outcome()))
    assert next(iter(case(root, "rule-fail"))).get("type") == "fail"
    assert next(iter(case(root, "rule-unknown"))).get("type") == "unknown"
    assert next(iter(case(root, "rule-not_applicable"))).tag == "skipped"
    assert list(case(root, "rule-pass")) == []
    assert next(iter(case(root, "decision"))).get("type") == "deny"


def test_nothing_at_all_is_not_green():
    root = ET.fromstring(render_junit(factories.static_empty()))
    assert (root.get("tests"), root.get("failures")) == ("1", "1")


def test_allow_is_green_only_with_exit_code_0():
    decision = DENIED.decision.model_copy(update={"verdict": "allow", "rules": ()})
    green = DENIED.model_copy(update={"decision": decision, "runs": (), "exit_code": 0})
    assert ET.fromstring(render_junit(green)).get("failures") == "0"
    assert ET.fromstring(render_junit(green.model_copy(update={"exit_code": 4}))).get("failures") == "1"


def test_totals_are_sums():
    root = ET.fromstring(render_junit(DENIED))
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(root.get(name)) == sum(int(suite.get(name)) for suite in root)
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert len(list(root.iter(tag))) == int(root.get(name))


def test_findings_stand_in_the_case_that_found_them():
    root = ET.fromstring(render_junit(DENIED))
    text = next(iter(case(root, "scan.files"))).text
    assert "pickle-dangerous-call" in text
    assert "evasion-weak" not in text
    assert "Do not load the file" in text


def test_a_check_named_like_the_policy_suite_is_not_lost():
    run = factories.run_entry("heliotrope policy", "error", reason="crashed", code="crashed")
    root = ET.fromstring(render_junit(DENIED.model_copy(update={"runs": (run,)})))
    assert len(list(root)) == 2
    assert root.get("errors") == "1"
