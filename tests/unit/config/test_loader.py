"""The strict loader: every error says file, line, column, key, what was expected, what is there, and what to do."""

import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heliotrope.config._errors import MAX_REPORTED, PATTERN_MEANINGS
from heliotrope.config._source import MAX_BYTES
from heliotrope.config.loader import load_config, load_yaml_model, load_yaml_text
from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import ConfigError, ExitCode
from heliotrope.core.records import Record, sha256_hex
from heliotrope.core.text import printable

HEAD = "version: 1\nproject: digits\n"


class Anything(Record):
    """A record that takes any YAML value, to see what scalars become."""

    value: str | int | float | bool | list[str | int | float | bool | None] | None
    flag: bool = False
    name: str = ""


def error_of(tmp_path: Path, content: str | bytes, model: type[Record] = HeliotropeConfig) -> ConfigError:
    path = tmp_path / "heliotrope.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(path) if model is HeliotropeConfig else load_yaml_model(path, model)
    assert caught.value.exit_code == ExitCode.USAGE
    caught.value.message = caught.value.message.replace(f"{tmp_path}/", "")
    return caught.value


def value_of(text: str) -> object:
    return load_yaml_text(f"value: {text}\n", Path("x.yaml"), Anything).value.value


EXACT = [
    ("", "heliotrope.yaml: is empty", "it needs at least version and project"),
    ("# only a remark\n", "heliotrope.yaml: is empty", "it needs at least version and project"),
    (
        "- version: 1\n",
        "heliotrope.yaml:1:1: expected a mapping of keys to values, got a list of 1",
        "see docs/reference/configuration.md",
    ),
    (
        "version: 1\n",
        "heliotrope.yaml:1:1: project: is required and missing",
        "project: Its name in reports and URNs; the history in the ledger belongs to it.",
    ),
    (
        "version: true\nproject: a\n",
        "heliotrope.yaml:1:10: version: expected a whole number, got true",
        "write version: 1",
    ),
    (
        "version: 1.0\nproject: a\n",
        "heliotrope.yaml:1:10: version: expected a whole number, got 1.0",
        "write version: 1",
    ),
    ("version: 2\nproject: a\n", "heliotrope.yaml:1:10: version: expected 1, got 2", "version: Of this format."),
    (
        HEAD + "modles: []\n",
        "heliotrope.yaml:3:1: modles: there is no such key",
        "did you mean 'models'?; see docs/reference/configuration.md",
    ),
    (
        HEAD + "models:\n  - name: a\n    threat: {nrom: L2, eps: 0.1}\n",
        "heliotrope.yaml:5:14: models[0].threat.nrom: there is no such key",
        "did you mean 'norm'?; see docs/reference/configuration.md",
    ),
    (
        HEAD + "seed: 1\nseed: 2\n",
        "heliotrope.yaml:4:1: seed: this key is given twice, first in line 3",
        "remove one of the two",
    ),
    (
        HEAD + "checks: {suite: fast}\n",
        "heliotrope.yaml:3:17: checks.suite: expected 'quick', 'standard' or 'deep', got 'fast'",
        "suite: How much is tested: quick takes seconds, standard minutes, deep hours.",
    ),
    (
        HEAD + "checks: {suite: quik}\n",
        "heliotrope.yaml:3:17: checks.suite: expected 'quick', 'standard' or 'deep', got 'quik'",
        "did you mean 'quick'?",
    ),
    (
        HEAD + "seed: '1'\n",
        "heliotrope.yaml:3:7: seed: expected a whole number, got '1'",
        "write the number without quotes, leading zeros or underscores",
    ),
    (
        HEAD + "seed: 1.0\n",
        "heliotrope.yaml:3:7: seed: expected a whole number, got 1.0",
        "seed: Start of everything random; equal seeds give equal results.",
    ),
    (
        HEAD + "models:\n  - name: a\n    labels: [0, 1]\n",
        (
            'heliotrope.yaml:5:14: models[0].labels[0]: expected text, got 0 (put it in quotes: "0")\n'
            'heliotrope.yaml:5:17: models[0].labels[1]: expected text, got 1 (put it in quotes: "1")'
        ),
        "correct each of these",
    ),
    (
        HEAD + "sample: some\n",
        "heliotrope.yaml:3:9: sample: expected a whole number or 'all', got 'some'",
        "sample: How many evaluation samples an attack takes; default by suite.",
    ),
    (
        HEAD + "models:\n  - name: a\n    normalisation: {mean: [0.5]}\n",
        "heliotrope.yaml:5:20: models[0].normalisation.std: is required and missing",
        "std: One value for each channel, in the units of input.range.",
    ),
    (
        HEAD + "models:\n",
        "heliotrope.yaml:3:8: models: expected a list, got nothing",
        "fill in a value, or remove the key",
    ),
    (
        HEAD + "models:\n  - name: a\n    input: {shape: [1, 28, 28], range: [1, 0]}\n",
        "heliotrope.yaml:5:12: models[0].input: range must rise, got [1.0, 0.0]",
        "see docs/reference/configuration.md",
    ),
    (
        HEAD + "models: [{name: a, previous: b}]\n",
        "heliotrope.yaml:1:1: model 'a' has the previous version 'b', which is no model here",
        "see docs/reference/configuration.md",
    ),
    (
        HEAD + "models: [{name: a, previous: a}]\n",
        "heliotrope.yaml:1:1: model 'a' names itself as previous",
        "see docs/reference/configuration.md",
    ),
    (
        HEAD + "models: [{name: a}, {name: a}]\n",
        "heliotrope.yaml:1:1: two models are named 'a'",
        "see docs/reference/configuration.md",
    ),
    (
        HEAD + "models:\n\t- name: a\n",
        "heliotrope.yaml:4:1: models: a tab where only spaces may stand",
        "indent with spaces",
    ),
    (
        HEAD + "base: &base {a: 1}\nmore:\n  <<: *base\n",
        "heliotrope.yaml:5:3: more: merge keys ('<<') are not allowed",
        "write the keys out where they belong",
    ),
    (
        HEAD + "seed: !!python/object/apply:os.system [id]\n",
        "heliotrope.yaml:3:7: seed: the tag '!!python/object/apply:os.system' is not allowed",
        "remove the tag (the word with '!')",
    ),
    (
        HEAD + "seed: !foo 1\n",
        "heliotrope.yaml:3:7: seed: the tag '!foo' is not allowed",
        "remove the tag (the word with '!')",
    ),
    (
        HEAD + "---\nversion: 1\n",
        "heliotrope.yaml:3:1: a second document starts here",
        "one file holds one document: remove '---'",
    ),
    (
        HEAD + "models: &a [*a]\n",
        "heliotrope.yaml:3:13: models[0]: the alias '*a' contains itself",
        "write the value out",
    ),
    (
        HEAD + "seed: *x\n",
        "heliotrope.yaml:3:7: seed: the alias '*x' has no anchor",
        "define &x before, or quote the text",
    ),
    (
        "version: 1\nproject: a: b\n",
        "heliotrope.yaml:2:11: not valid YAML: mapping values are not allowed here",
        "check indentation, quotes and brackets around this place; quote a text that holds ':' or '#'",
    ),
    (
        "\xef\xbb\xbf".encode("latin-1") + HEAD.encode(),
        "heliotrope.yaml:1:1: starts with a byte order mark",
        "save the file as UTF-8 without a byte order mark",
    ),
    (
        HEAD.encode("utf-16"),
        "heliotrope.yaml:1:1: expected UTF-8, got UTF-16",
        "save the file as UTF-8 without a byte order mark",
    ),
    (
        HEAD.encode() + b"# caf\xe9\n",
        "heliotrope.yaml:3:6: expected UTF-8, got the byte 0xe9",
        "save the file as UTF-8",
    ),
    (
        HEAD + "seed: \0\n",
        "heliotrope.yaml:3:7: holds the control character U+0000",
        "remove it; in a quoted text it can be written as an escape",
    ),
    (
        HEAD + 'checks: {skip: ["\\0"]}\n',
        "heliotrope.yaml:3:17: checks.skip[0]: the text holds an escape for NUL or half a character",
        "remove the escape",
    ),
]


@pytest.mark.parametrize(("content", "message", "hint"), EXACT, ids=range(len(EXACT)))
def test_each_mistake_is_told_exactly(tmp_path, content, message, hint):
    error = error_of(tmp_path, content)
    assert (error.message, error.hint) == (message, hint)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("? [a]\n: b\n", "a key must be a word"),
        ("{}: 1\n", "a key must be a word"),
        ("a: &x 1\nb: {*x : 2}\n", "cannot be a key"),
        ("a: {? : 2}\n", "a key is missing"),
        ('a: "\\ud800"\n', "half a character"),
        ('a: "\\U00110000"\n', "not valid YAML"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: @b\n", "not valid YAML"),
        ('a: "b\n', "not valid YAML"),
        ("%YAML 9.9\n---\na: 1\n", "not valid YAML"),
        ("a: " + "9" * 5000 + "\n", "more than 30 digits"),
        ("a: " + "[" * 51 + "\n", "nested more than 50 levels"),
        ("- " * 60 + "a\n", "nested more than 50 levels"),
        ("- a\n" * 60_000, "more than 50000 values"),
        (b"a" * (MAX_BYTES + 1), "larger than 1 MiB"),
        ("a\x1b[31m: 1\n", "U+001B"),
    ],
)
def test_hostile_text_is_refused(tmp_path, content, part):
    assert part in error_of(tmp_path, content).message


def test_alias_bombs_are_refused_quickly(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    started = time.process_time()
    error = error_of(tmp_path, "\n".join(lines))
    assert "aliases expand to more than 50000 values" in error.message
    assert time.process_time() - started < 5


def test_aliases_cannot_nest_deeper_than_text(tmp_path):
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100)]
    assert "aliases nest more than 50 levels" in error_of(tmp_path, "\n".join(lines)).message


def test_honest_aliases_work():
    text = HEAD + "models:\n  - {name: a, threat: &t {eps: 0.1}}\n  - {name: b, threat: *t}\n"
    config = load_yaml_text(text, Path("x"), HeliotropeConfig).value
    assert config.models[0].threat == config.models[1].threat


def test_a_tag_never_executes(tmp_path):
    marker = tmp_path / "marker"
    error_of(
        tmp_path, f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{marker}']]\n"
    )
    assert not marker.exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (trap, trap)
            for trap in ["yes", "no", "on", "off", "y", "N", "012", "0o12", "0x1F", "1_000", "1:30", "1:30:00"]
        ),
        *((trap, trap) for trap in ["2026-11-24", "2026-11-24T10:00:00Z", ".nan", ".inf", "=", "1e", "+", "0b1"]),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("0", 0),
        ("-12", -12),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("6.0", 6.0),
        ("'1'", "1"),
        ('"true"', "true"),
        ("[a, 1]", ["a", 1]),
    ],
)
def test_scalars_are_what_they_look_like(text, value):
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("word", ["yes", "on", "1", "'true'"])
def test_no_word_but_true_and_false_is_a_truth_value(tmp_path, word):
    error = error_of(tmp_path, f"value: 1\nflag: {word}\n", Anything)
    assert error.message.startswith("heliotrope.yaml:2:7: flag: expected true or false, got ")


@pytest.mark.parametrize("word", ["012", "1_000", "1:30", ".inf", "0x10", "1e999", "true"])
def test_what_yaml_1_1_would_turn_into_a_number_is_no_number(tmp_path, word):
    error = error_of(tmp_path, HEAD + f"checks: {{time_limit: {word}}}\n")
    assert "heliotrope.yaml:3:22: checks.time_limit: expected a" in error.message


def test_problems_are_told_together_in_the_order_of_the_file_up_to_ten(tmp_path):
    error = error_of(tmp_path, HEAD + "".join(f"k{index}: 1\n" for index in range(MAX_REPORTED + 3)) + "seed: x\n")
    lines = error.message.splitlines()
    assert len(lines) == MAX_REPORTED
    assert lines[0].startswith("heliotrope.yaml:3:1: k0: ")
    assert lines[9].startswith("heliotrope.yaml:12:1: k9: ")
    assert error.hint == "4 more problems are not shown"


def test_what_is_wrong_inside_a_union_is_told_not_the_union(tmp_path):
    error = error_of(tmp_path, HEAD + "models:\n  - name: a\n    normalisation: {mean: [x], std: [1], bad: 1}\n")
    assert [line.split(" (")[0] for line in error.message.splitlines()] == [
        "heliotrope.yaml:5:28: models[0].normalisation.mean[0]: expected a number, got 'x'",
        "heliotrope.yaml:5:42: models[0].normalisation.bad: there is no such key",
    ]


def test_untrusted_text_is_escaped_and_shortened(tmp_path):
    error = error_of(tmp_path, HEAD + 'checks: {suite: "\\e[31m\\u202e' + "x" * 500 + '"}\n')
    assert "\\x1b[31m\\u202e" in error.message
    assert len(error.message) < 200
    assert error.message.isprintable()


def test_what_is_no_readable_file_says_so(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, reason in {
        "gone.yaml": "no such file",
        "": "is a folder, not a file",
        "pipe": "is a pipe, socket or device",
        "loop": "cannot be read: Too many levels of symbolic links",
        "x" * 300: "cannot be read: File name too long",
    }.items():
        with pytest.raises(ConfigError, match=reason) as caught:
            load_config(tmp_path / name)
        assert caught.value.hint
    with pytest.raises(ConfigError, match="is a pipe, socket or device"):
        load_config(Path("/dev/zero"))


def test_a_good_file_keeps_digest_and_lines(tmp_path):
    text = HEAD + "models:\n  - name: a\n    threat:\n      eps: 0.1\nseed: 3\n"
    path = tmp_path / "h.yaml"
    path.write_text(text)
    loaded = load_config(path)
    assert loaded.config.models[0].threat.eps == 0.1
    assert loaded.digest == sha256_hex(text.encode())
    assert loaded.path == path
    assert [loaded.origin(key) for key in ("seed", "models[0].threat.eps", "models[0]", "sample")] == [7, 6, 4, None]


def test_every_pattern_of_the_schema_is_explained_in_words():
    schema = str(HeliotropeConfig.model_json_schema())
    patterns = {part.split("'}")[0].split("',")[0].replace("\\\\", "\\") for part in schema.split("'pattern': '")[1:]}
    assert patterns
    assert patterns <= set(PATTERN_MEANINGS)


def error_in(text: str) -> ConfigError | None:
    """What is wrong with a text; any other exception fails the test."""
    try:
        load_yaml_text(text, Path("x.yaml"), HeliotropeConfig)
    except ConfigError as error:
        return error
    return None


@given(st.text(max_size=200))
def test_any_text_is_a_record_or_a_config_error(text):
    error = error_in(text)
    if error is not None:
        assert all(printable(line) == line for line in error.message.split("\n"))
        assert error.hint


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["version", "project", "models", "name", "threat", "eps", "data", "train", "path", "kind", "x"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_structure_is_a_record_or_a_config_error_with_a_place(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    error = error_in(text)
    if error is not None:
        assert all(line.startswith("x.yaml:") for line in error.message.splitlines())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50))
def test_any_text_survives_in_quotes(text):
    written = yaml.safe_dump({"value": 1, "name": text}, default_style='"', allow_unicode=False).replace(
        '"value": !!int "1"', "value: 1"
    )
    assert load_yaml_text(written, Path("x"), Anything).value.name == text
