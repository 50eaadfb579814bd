"""Sphinx's settings for the site. `make site` stages the pages first: docs/site/make_site.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import accessible
import docstrings

import flatlab

project = "flatlab"
version = release = flatlab.__version__
copyright = "flatlab's authors. Text and figures: CC BY 4.0. Code: MIT license"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # brings MathJax's files and their path
]
exclude_patterns = ["downloads"]  # the releases, which the pages offer as files

nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
highlight_language = "none"
smartquotes = False  # command lines stand in the text

default_role = "code"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,  # it would offer the page, not the notebook to work in
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # a second search field
}
html_title = "flatlab"
# Without the theme's logo, which stands outside of every landmark; the contents lead home.
html_sidebars = {"**": ["search-button-field.html", "sbt-sidebar-nav.html"]}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # fetched from the pages: not possible on file://


def setup(app):
    app.connect("autodoc-process-docstring", docstrings.on_docstring, priority=400)
    app.connect("build-finished", accessible.on_finished)
