"""How Sphinx builds these pages: ``python -m sphinx -W -b html docs docs/_build/html``.

Nothing is fetched, neither by the build nor by whoever reads the pages.
"""

from __future__ import annotations

from sphinx.ext.napoleon import GoogleDocstring

import deap_xai

# It takes an attribute's "words: more words" for "type: words".
GoogleDocstring._parse_attribute_docstring = GoogleDocstring._consume_to_end

project = "deap_xai"
release = version = deap_xai.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"deap_xai {release}"
html_show_copyright = html_copy_source = html_show_sourcelink = False

myst_heading_anchors = 3


def setup(app):
    """Links that leave docs/, as readers of the repository need them, become downloads."""
    app.connect("source-read", _outside)


def _outside(app, page, text):
    text[0] = text[0].replace("](../", "](path:../")


autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes, which types can't
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # parameters that share a description stay together
napoleon_custom_sections = ["Returns"]  # prose here, where Napoleon looks for a type
napoleon_use_ivar = True
