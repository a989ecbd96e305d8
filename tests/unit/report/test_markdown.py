import re

import pytest
from tests.unit.report import factories

from heliotrope.core.findings import Finding, Fix, Location
from heliotrope.report import render_markdown
from heliotrope.report._markdown import MAX_CHARACTERS, code, prose

DENIED, _ = factories.denied()
_PIPE = re.compile(r"(?<!\\)\|")


def test_verdict_first_then_rules_then_what_did_not_conclude():
    text = render_markdown(factories.every_outcome())
    places = [
        text.index(part)
        for part in ("denied", "### Policy", "### Checks that did not conclude", "### Findings", "Ledger head")
    ]
    assert places == sorted(places)
    assert text.startswith("## ✗ Heliotrope: denied")
    for name in ("check.error", "check.inconclusive", "check.skipped"):
        assert f"`{name}`" in text


def test_difference_and_new_findings_are_named():
    text = render_markdown(DENIED)
    assert "1 new finding, 1 fixed" in text
    assert "&#40;new&#41;" in text
    assert "0.7012 → 0.6894" in text


def test_no_findings_by_blind_checks_is_not_none():
    blind = factories.every_outcome().model_copy(update={"findings": ()})
    assert "None by the checks that concluded" in render_markdown(blind)


@pytest.mark.parametrize("text", factories.HOSTILE)
def test_hostile_text_changes_no_table_no_fold_and_nothing_invisible(text):
    rendered = render_markdown(factories.hostile(text)[0])
    assert factories.visible(rendered)
    rows = [line for line in rendered.split("\n") if line.startswith("|")]
    columns = {5: "rules", 4: "measurements"}
    assert rows
    for row in rows:
        assert len(_PIPE.findall(re.sub(r"\\\\", "", row))) - 1 in columns
    assert rendered.count("<details>") == rendered.count("</details>") == 1
    assert rendered.count("<summary>") == rendered.count("</summary>") == 1
    tags = set(re.findall(r"<[^ >]*", rendered))
    assert tags <= {"<details", "<summary", "</summary", "</details", "<br"}


@pytest.mark.parametrize(
    "text",
    ["@everyone", "see #1", "https://evil.example", "www.evil.example", "mailto:a@b.example", "HTTP://x.example"],
)
def test_prose_mentions_nobody_and_links_nowhere(text):
    shown = prose(text)
    assert not re.search(r"@\w|(?<!&)#\d|(?i:https?:/|www\.|mailto:\w)", shown)
    assert shown.replace("&#8203;", "").replace("\\", "") == text


@pytest.mark.parametrize("text", ["[a](b)", "![a](b)", "**a**", "_a_", "~~a~~", "a|b", "<b>", "`a`", "$x$", "\\|"])
def test_prose_has_no_active_character(text):
    shown = re.sub(r"\\[\\`*_{}\[\]()|~!$^=+#-]", "", prose(text))
    assert not re.search(r"[\\`*_\[\]()|~!$<>]", shown)


@pytest.mark.parametrize("text", ["a`b", "``", "a|b", "\n", ""])
def test_code_cannot_be_broken_out_of(text):
    shown = code(text)
    assert "`" not in shown.strip("`").replace("\\`", "")
    assert "\n" not in shown
    assert shown


def test_a_flood_of_findings_stays_below_the_limit_and_says_so():
    finding = Finding(
        rule="r" * 200,
        severity="high",
        confidence="high",
        message="<" * 2_000,
        subject=factories.MODEL,
        fingerprint="f" * 32,
        locations=(Location(path="`|" * 1_000),) * 5,
        fix=Fix(text="@" * 2_000),
    )
    rules = DENIED.decision.rules * 200
    flood = DENIED.model_copy(
        update={
            "findings": (finding,) * 3_000,
            "runs": factories.every_outcome().runs * 500,
            "measurements": DENIED.measurements * 500,
            "decision": DENIED.decision.model_copy(
                update={"rules": rules, "reason": "|" * 5_000, "policy": factories.policy(*["#" * 900] * 99)}
            ),
        }
    )
    text = render_markdown(flood)
    assert len(text) <= MAX_CHARACTERS
    assert re.search(r"and 2,\d\d\d more findings in the full report", text)
    assert text.count("<details>") == text.count("</details>")
    assert "Ledger head" in text
