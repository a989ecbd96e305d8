"""Ordinary files of many frameworks and releases are clean, with nothing above info."""

from collections import Counter
from pathlib import Path

import pytest
from tests.corpus.store import unpack

from heliotrope.scan import scan_paths

ACCUSED: dict[str, str] = {}
"""Files that are not clean yet, as FAMILY/FILE without the version, and why."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    assert len(unpack(folder)) >= 200
    return folder


def test_nothing_ordinary_is_accused(corpus: Path) -> None:
    document = scan_paths([corpus])
    assert document.summary.files_seen == len(list(corpus.glob("*/*")))
    accused = {
        report.path.removeprefix(f"{corpus.as_posix()}/"): (
            report.verdict,
            [item.message for item in report.findings][:2],
        )
        for report in document.files
        if report.verdict != "clean" or any(item.severity != "info" for item in report.findings)
    }
    families = Counter(f"{name.split('-')[0]}/{name.split('/')[1]}" for name in accused)
    assert dict(families.items() - {(name, families[name]) for name in ACCUSED}) == {}, accused


def test_the_corpus_spans_releases(corpus: Path) -> None:
    releases = Counter(folder.name.split("-")[0] for folder in corpus.iterdir())
    assert min(releases[family] for family in ("numeric", "frames", "sklearn_models", "boosting")) >= 4
