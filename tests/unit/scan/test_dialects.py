"""What could make a verdict depend on the Python that runs the scanner; tests/e2e/test_pythons.py compares real ones."""

import ast
import sys
import unicodedata
from pathlib import Path

import pytest
from tests.unit.scan.python_dialects import LATER_SOURCE, as_handler, write_dialects

from heliotrope.core.characters import COMPARED, has_later, names_later, without_later
from heliotrope.core.text import printable
from heliotrope.scan import scan_paths
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.repositories.python_source import SourceError, parse_source


def test_the_characters_of_this_python_were_compared() -> None:
    """For a Python with a newer Unicode: compare, add what is new to core/characters.py, and raise COMPARED."""
    known, mine = (tuple(map(int, text.split("."))) for text in (COMPARED, unicodedata.unidata_version))
    assert mine <= known


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the reference is the Unicode of Python 3.11")
def test_later_characters_are_none_of_unicode_14() -> None:
    every = map(chr, range(0x80, sys.maxunicode + 1))
    later = [character for character in every if has_later(character)]
    assert 15_000 < len(later) < 16_000
    assert {unicodedata.category(character) for character in later} == {"Cn"}


def test_later_characters_are_shown_as_escapes_and_replaced_one_for_one() -> None:
    assert printable("a\U0001fae8é") == "a\\U0001fae8é"
    assert printable("\U0001f917") == "\U0001f917"
    assert without_later("a\U0001fae8b") == "a\ufffeb"


@pytest.mark.parametrize(
    ("text", "later"),
    [
        (r"\N{SHAKING FACE}", True),
        (r"\\N{SHAKING FACE}", False),
        (r"\N{HUGGING FACE} \N{hugging face} \N{NBSP} \N{LINE FEED} \N{ZWJ}", False),
        (r"\N{no such name}", False),
    ],
)
def test_names_of_characters(text: str, later: bool) -> None:  # noqa: FBT001 - a table
    assert names_later(text) is (later and unicodedata.unidata_version != "14.0.0")


@pytest.mark.parametrize("text", LATER_SOURCE.values(), ids=LATER_SOURCE)
def test_source_that_only_later_pythons_read_is_incomplete_and_searched(text: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        parse_source(text, ScanLimits())
    (tmp_path / "handler.py").write_bytes(as_handler(text).encode())
    (report,) = scan_paths([tmp_path]).files
    assert [item.reason for item in report.incomplete] == ["the source is no Python 3.11"]
    words = ("os.system", "eval(")
    assert report.verdict == ("suspicious" if any(word in text for word in words) else "incomplete")


@pytest.mark.parametrize(
    "text",
    ["f'{*a,}'", "f'{a!r:>{b}}'", "x = '\U0001fae8'", "# \U0001fae8", "x = '" + "1" * 900 + "'", "x = 0x" + "f" * 900,
     "try: pass\nexcept* E: pass", "match x:\n  case [1, *_]: pass", "é = 1", "変数 = 1", "x = 1_000"],
)  # fmt: skip
def test_source_that_python_311_reads_is_read(text: str) -> None:
    assert isinstance(parse_source(text, ScanLimits()), ast.Module)


def test_places_inside_formatted_text_are_where_it_begins() -> None:
    tree = parse_source("a = 1\nx = f'''\n{b} {\n  c.d:{e}}'''\n", ScanLimits())
    names = {node.id: (node.lineno, node.col_offset) for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert names == {"a": (1, 0), "x": (2, 0), "b": (2, 4), "c": (2, 4), "e": (2, 4)}


def test_no_words_of_a_library_get_into_a_report(tmp_path: Path) -> None:
    write_dialects(tmp_path)
    files = scan_paths([tmp_path]).files
    reasons = {item.reason for report in files for item in report.incomplete}
    assert reasons == {"the source is no Python 3.11", "a template cannot be parsed", "it is no JSON"}, reasons
    numbers = next(report for report in files if "/number/" in report.path)
    assert (numbers.verdict, numbers.incomplete) == ("malicious", ())
