"""The site: every warning an error, every page reached, nothing asked for outside it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import ROOT

from heliotrope.cli._reference import pages as reference_pages

_ASKED_FOR = re.compile(
    r"<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\bsrc\s*=\s*[\"']?(?P<src>[^\"' >]+)"
    r"|<link\b[^>]*?\bhref\s*=\s*[\"']?(?P<href>[^\"' >]+)"
    r"|(?:url\(|@import\s+)[\"']?(?P<url>[^\"')]+)",
    re.IGNORECASE,
)
"""What a browser fetches by itself; a link that a person may follow is not among it."""


def asked_for(text: str) -> set[str]:
    """Addresses outside the site."""
    found = {next(filter(None, match.groups())) for match in _ASKED_FOR.finditer(text)}
    return {address for address in found if re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the pages as they are, with the reference as the code says it now."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "docs"
    shutil.copytree(ROOT / "docs", source)
    for name, text in reference_pages().items():
        path = source / "reference" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-n", "-q", source, folder / "built"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "built"


def test_every_page_becomes_one_and_is_reached_from_the_first(site):
    wanted = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    reached, waiting = set(), [Path("index.html")]
    while waiting:
        page = waiting.pop()
        if page in reached or not (site / page).is_file():
            continue
        reached.add(page)
        for target in re.findall(r'<a[^>]*\bhref="([^"#:]+\.html)', (site / page).read_text("utf-8")):
            waiting.append(Path(os.path.normpath(page.parent / target)))  # noqa: PERF401
    assert wanted <= reached


def test_nothing_is_asked_for_outside_the_site(site):
    outside = {
        f"{path.relative_to(site)}: {address}"
        for path in site.rglob("*")
        if path.suffix in {".html", ".css", ".svg"}
        for address in asked_for(path.read_text("utf-8"))
    }
    assert outside == set()


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.org/a.js">',
        "<link rel=stylesheet href=//example.org/a.css>",
        '<img alt="" src="http://example.org/a.png">',
        "@font-face { src: url('https://example.org/a.woff2') }",
        '@import "https://example.org/a.css";',
    ],
)
def test_what_would_be_asked_for_is_seen(text):
    assert asked_for(text)
    assert not asked_for('<a href="https://example.org/">x</a> <img src="a.png"> url(data:image/png;base64,AA)')


def test_schemas_are_published_at_their_address(site):
    for name, text in reference_pages().items():
        if name.startswith("schemas/"):
            assert (site / "reference" / name).read_text("utf-8") == text


@pytest.mark.services
def test_it_opens_from_a_folder(site, tmp_path):
    """Without a server: a browser draws the page, styles and scripts included."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("HELIOTROPE_REQUIRE_SERVICES") == "1":
            pytest.fail("chromium is required and not installed")
        pytest.skip("chromium is not installed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    options += ["--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    command = [program, *options, f"{(site / 'search.html').as_uri()}?q=scorecard"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "how-to/write-a-plugin.html" in done.stdout, "the search finds nothing without a server"
    assert "ERR_" not in done.stderr
