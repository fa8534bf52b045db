"""Settings of the documentation site: `make docs`."""

import pathlib
import sys
import tomllib

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from docs import reference_pages

with (pathlib.Path(__file__).parents[1] / "pyproject.toml").open("rb") as file:
    version = release = tomllib.load(file)["project"]["version"]

project = "digitmill"
author = "The digitmill authors"
extensions = ["myst_nb"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_dark_style = "github-dark"
# The site is of one version, and says which. A switch between versions needs a place that serves several, of
# which there is none before the first release; each source archive brings the docs of its own version.
html_title = f"digitmill {version}"
html_show_sourcelink = False
html_show_copyright = False
# Two hyphens begin a flag.
smartquotes = False
myst_heading_anchors = 4
# The grid of the front page.
myst_enable_extensions = ["colon_fence"]
# A test executes the notebook; the site shows it as it is.
nb_execution_mode = "off"
nitpicky = True
# Sphinx keeps a hash of the settings; functions have none.
suppress_warnings = ["config.cache"]


def setup(app: object) -> None:
    """Write the reference again from the code before anything is read, so that it cannot be out of date."""
    app.connect("builder-inited", lambda app: reference_pages.write(pathlib.Path(app.srcdir)))  # type: ignore[attr-defined]
