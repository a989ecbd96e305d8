"""The report as a browser shows it: drawn at once, without script, in wide and narrow windows, light and dark."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.services


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("HELIOTROPE_REQUIRE_SERVICES") == "1":
            pytest.fail("HELIOTROPE_REQUIRE_SERVICES=1, but Chromium is not installed")
        pytest.skip("Chromium is not installed")
    return found


@pytest.fixture
def page(helio, tmp_path: Path) -> Path:
    """The report on a folder with one dangerous pickle whose name is markup."""
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    (gallery / "<img src=x onerror=alert(1)>.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    assert helio("assess", gallery, "--report-dir", tmp_path / "reports").code == 1
    return tmp_path / "reports" / "report.html"


def shoot(chromium: str, page: Path, folder: Path, *, width: int, more: tuple[str, ...] = ()) -> bytes:
    image = folder / f"{width}-{len(more)}.png"
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
            "--no-first-run", "--disable-component-update", f"--user-data-dir={folder / 'profile'}", "--hide-scrollbars",
            f"--window-size={width},1600", f"--screenshot={image}", *more, page.as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return image.read_bytes()


def colours(png: bytes) -> tuple[tuple[int, int, int], int]:
    """The colour of the top left corner, and how many colours there are."""
    import io

    image_module = pytest.importorskip("PIL.Image", reason="needs pillow to look at the picture")
    image = image_module.open(io.BytesIO(png)).convert("RGB")
    return image.getpixel((2, 2)), len(image.getcolors(2**24) or [])


def test_the_page_is_drawn_wide_and_narrow_light_and_dark(chromium, page, tmp_path):
    for width in (1280, 500):
        background, count = colours(shoot(chromium, page, tmp_path, width=width))
        assert min(background) > 200, "the page is not light"
        assert count > 50, "the page is empty"
    dark = ("--blink-settings=preferredColorScheme=0",)
    background, count = colours(shoot(chromium, page, tmp_path, width=1280, more=dark))
    assert max(background) < 80, "the page is not dark"
    assert count > 50


def test_the_page_asks_for_nothing_and_runs_nothing(page):
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "default-src 'none'" in text
    loads = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?((?:https?:)?//[^"')\s>]+)""", text)
    assert not [target for target in loads if not target.startswith("http://www.w3.org/")]
