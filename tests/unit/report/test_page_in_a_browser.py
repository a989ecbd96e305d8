"""The page as a browser lays it out: nothing to scroll sideways, on a wide and on a narrow window."""

import os
import re
import shutil
import subprocess

import pytest
from tests.unit.report import factories

from heliotrope.report import render_html

pytestmark = pytest.mark.services

_MEASURE = "<script>document.title = 'W' + document.documentElement.scrollWidth + '/' + innerWidth</script></body>"
_FRAME = """<iframe id=f src="page.html" style="width:{width}px;height:900px;border:0"></iframe>
<script>onload = () => setTimeout(() => document.body.append(f.contentDocument.title), 50)</script>"""


@pytest.fixture(scope="module")
def chromium():
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("HELIOTROPE_REQUIRE_SERVICES") == "1":
            pytest.fail("chromium is required and not installed")
        pytest.skip("chromium is not installed")
    return program


def overflow(program, folder, page, width):
    """How much wider than its window the page is. The script that measures needs the page without its own policy."""
    measured = re.sub(r"<meta http-equiv=[^>]*>", "", page).replace("</body>", _MEASURE)
    (folder / "page.html").write_text(measured, encoding="utf-8")
    (folder / "frame.html").write_text(_FRAME.format(width=width), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    options += ["--allow-file-access-from-files", "--virtual-time-budget=5000", f"--user-data-dir={folder / 'profile'}"]
    command = [program, *options, (folder / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"W(\d+)/(\d+)", done.stdout)
    assert found, done.stderr[-2000:]
    return int(found[1]) - int(found[2])


@pytest.mark.parametrize("width", [360, 400, 1280])
@pytest.mark.parametrize("kind", ["denied", "hostile"])
def test_nothing_to_scroll_sideways(chromium, tmp_path, width, kind):
    long_text = "".join(text for text in factories.HOSTILE if len(text) < 6_000)
    assessment, blobs = factories.denied() if kind == "denied" else factories.hostile(long_text)
    assert overflow(chromium, tmp_path, render_html(assessment, read_blob=blobs.get, rules=factories.RULES), width) <= 0


def test_the_measure_can_say_no(chromium, tmp_path):
    page = "<!doctype html><html><body><div style='width:900px'>x</div></body></html>"
    assert overflow(chromium, tmp_path, page, 400) > 0
