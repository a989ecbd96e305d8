"""heliotrope.yaml as people and attackers write it: one clear error with file, line and key, exit code 2."""

import pytest

GOOD = "version: 1\nproject: demo\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
CASES = {
    "unknown key": (GOOD + "modles: []\n", "heliotrope.yaml:3"),
    "duplicate key": (GOOD + "project: other\n", "heliotrope.yaml:3"),
    "wrong type": (GOOD + "seed: many\n", "seed"),
    "nested wrong type": (GOOD + "threat:\n  eps: -1\n", "threat.eps"),
    "tabs": (GOOD + "checks:\n\tsuite: quick\n", "tab"),
    "alias bomb": (GOOD + BOMB, "heliotrope.yaml"),
    "python tag": (GOOD + "sample: !!python/object/apply:os.system [true]\n", "heliotrope.yaml:3"),
    "empty": ("", "empty"),
    "list": ("- 1\n", "heliotrope.yaml:1"),
    "wrong version": ("version: 2\nproject: demo\n", "version"),
    "two models of one name": (GOOD + "models: [{name: a}, {name: a}]\n", "'a'"),
    "control characters": (GOOD + 'modles: "\\x1b[31m"\n', "heliotrope.yaml:3"),
    "unknown floor": (GOOD + "gates: {floors: {robsut_accuracy: 0.9}}\n", "robust_accuracy"),
    "age without end": (GOOD + "gates: {maximum_age: 99999999999999999999d}\n", "gates.maximum_age"),
    "memory without end": (GOOD + "checks: {memory_limit: 1e308}\n", "checks.memory_limit"),
    "unknown check": (GOOD + "checks: {skip: [no.such]}\n", "checks.skip"),
    "a pack that never ends": (GOOD + "gates: {pack: /dev/zero}\n", "/dev/zero"),
    "missing pack": (GOOD + "gates: {pack: nowhere.yaml}\n", "nowhere.yaml"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_configuration_is_one_clear_error(helio, tmp_path, name):
    text, needle = CASES[name]
    (tmp_path / "heliotrope.yaml").write_text(text)
    said = helio("assess", ".", timeout=30)
    assert said.code == 2
    assert needle in said.err
    assert said.err.startswith("error[")
    assert "hint:" in said.err
    assert "\x1b" not in said.err
    assert said.out == ""
    assert not (tmp_path / ".heliotrope").exists()


def test_bytes_that_are_no_text(helio, tmp_path):
    (tmp_path / "heliotrope.yaml").write_bytes(b"version: 1\nproject: \xff\n")
    assert helio("assess", ".").code == 2


def test_what_is_not_known_is_inconclusive_and_names_the_key(helio, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert helio("init", ".").code == 0
    assert helio("init", ".").code == 2, "a second init overwrites nothing"
    said = helio("assess", ".", "--format", "json")
    assert said.code == 3
    needs = {need for run in said.json()["runs"] for need in run["needs"]}
    assert {"models[0].loader", "models[0].data.evaluate", "models[0].threat"} <= needs
    assert "gates.floors.robust_accuracy" in {
        need for rule in said.json()["decision"]["rules"] for need in rule["needs"]
    }


def test_environment_beats_file_and_option_beats_environment(helio, tmp_path):
    (tmp_path / "heliotrope.yaml").write_text(GOOD + "seed: 1\nchecks: {suite: deep}\n")
    rows = {
        row["key"]: row
        for row in helio("config", "explain", ".", "--format", "json", env={"HELIOTROPE_SEED": "7"}).json()["settings"]
    }
    assert (rows["seed"]["value"], rows["seed"]["origin"]) == ("7", "environment HELIOTROPE_SEED")
    assert rows["checks.suite"]["origin"] == "heliotrope.yaml:4"
    assert helio("assess", ".", env={"HELIOTROPE_SEED": "many"}).code == 2
    said = helio("assess", ".", "--seed", "9", "--format", "json", env={"HELIOTROPE_SEED": "7"})
    assert {run["seed"] for run in said.json()["runs"]} == {9}
