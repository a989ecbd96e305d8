"""How the pages become a site: `make docs`. Nothing in the result asks for anything outside it."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

import heliotrope

project = "Heliotrope"
author = "The Heliotrope authors"
project_copyright = author
version = release = heliotrope.__version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["reference/schemas"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

html_theme = "furo"
html_title = f"Heliotrope {release}"
html_static_path = ["_static"]
html_logo = "_static/heliotrope.svg"
html_favicon = "_static/heliotrope.svg"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#6b3fa0", "color-brand-content": "#6b3fa0"},
    "dark_css_variables": {"color-brand-primary": "#b794e6", "color-brand-content": "#b794e6"},
}
pygments_style = "friendly"
pygments_dark_style = "native"


def setup(app: Sphinx) -> None:
    app.connect("build-finished", _publish_schemas)


def _publish_schemas(app: Sphinx, error: Exception | None) -> None:
    """The schemas as files of their own, at the address that the reference names."""
    if error is None and app.builder.format == "html":
        shutil.copytree(
            Path(app.srcdir, "reference", "schemas"), Path(app.outdir, "reference", "schemas"), dirs_exist_ok=True
        )
