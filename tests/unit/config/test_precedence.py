"""Options come before environment variables, these before the file, and the file before the defaults."""

from pathlib import Path

import pytest

from heliotrope.config.loader import LoadedConfig, load_config
from heliotrope.config.precedence import explain, settle
from heliotrope.core.errors import ConfigError


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedConfig:
    path = tmp_path / "heliotrope.yaml"
    path.write_text(
        "version: 1\nproject: a\nseed: 4\nchecks: {suite: quick}\nmodels:\n  - name: m\n    labels: ['0', '1']\n"
    )
    return load_config(path)


def test_each_level_wins_over_the_next(loaded):
    everything = {"HELIOTROPE_SUITE": "deep", "HELIOTROPE_SEED": "5"}
    chosen = settle(loaded, options={"suite": "standard"}, environment=everything)
    assert (chosen.suite.value, chosen.suite.origin) == ("standard", "option --suite")
    assert (chosen.seed.value, chosen.seed.origin) == (5, "environment HELIOTROPE_SEED")
    chosen = settle(loaded, options={"suite": None}, environment={})
    assert (chosen.suite.value, chosen.suite.origin) == ("quick", "heliotrope.yaml:4")
    assert (chosen.seed.value, chosen.seed.origin) == (4, "heliotrope.yaml:3")
    assert (chosen.sample.value, chosen.sample.origin) == (None, "default")
    assert settle(None, environment={}).suite.value == "standard"


def test_a_seed_of_zero_on_the_command_line_is_said(loaded):
    assert settle(loaded, options={"seed": 0}, environment={}).seed.origin == "option --seed"


def test_an_empty_variable_is_not_set(loaded):
    assert settle(loaded, environment={"HELIOTROPE_SEED": ""}).seed.value == 4


def test_the_process_environment_counts_when_none_is_given(monkeypatch, loaded):
    monkeypatch.setenv("HELIOTROPE_SAMPLE", "all")
    assert settle(loaded).sample.value == "all"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("HELIOTROPE_SEED", text) for text in ["x", "-1", "1.0", "1e3", "٣", " 1", "9" * 5000, str(2**53)]),
        *(("HELIOTROPE_SAMPLE", text) for text in ["0", "some", "ALL"]),
        ("HELIOTROPE_SUITE", "fast"),
        ("HELIOTROPE_LEDGER", "a\nb"),
        ("HELIOTROPE_REPORT_DIR", "\x1b[31m"),
    ],
)
def test_a_bad_variable_is_named_with_what_was_expected(name, text):
    with pytest.raises(ConfigError) as caught:
        settle(None, environment={name: text})
    assert caught.value.message.startswith(f"environment variable {name}: expected ")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200
    assert caught.value.hint == f"correct or unset {name}"


def test_explain_tells_value_and_origin_of_every_key(loaded):
    rows = {row.key: (row.value, row.origin) for row in explain(loaded, environment={"HELIOTROPE_SAMPLE": "7"})}
    assert rows["checks.suite"] == ("quick", "heliotrope.yaml:4")
    assert rows["sample"] == ("7", "environment HELIOTROPE_SAMPLE")
    assert rows["models[0].name"] == ("m", "heliotrope.yaml:6")
    assert rows["models[0].labels"] == ("['0', '1']", "heliotrope.yaml:7")
    assert rows["models[0].normalisation"] == ("inside", "default")
    assert rows["report_dir"] == ("", "default")
    assert len(rows) == len(explain(loaded, environment={}))


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:secret@host/db", "postgresql://me:se@cret/x@host/db", "postgresql://host/db?password=secret&x=1"],
)
def test_explain_never_shows_a_password(url):
    (row,) = [row for row in explain(None, environment={"HELIOTROPE_LEDGER": url}) if row.key == "ledger"]
    assert "***" in row.value
    assert "cret" not in row.value
