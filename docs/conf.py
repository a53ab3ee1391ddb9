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
    """What Sphinx asks on its way."""
    app.connect("source-read", _outside)
    app.connect("autodoc-skip-member", _skip)


def _skip(app, what, name, member, skip, options):
    """Leave out what a named tuple says of its fields; its docstring says more."""
    return True if str(member.__doc__).startswith("Alias for field") else None


def _outside(app, page, text):
    """Links that leave docs/, as readers of the repository need them, become downloads."""
    text[0] = text[0].replace("](../", "](path:../")


autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say shapes, which types can't
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # parameters that share a description stay together
# Prose and lists of names here, where Napoleon looks for types.
napoleon_custom_sections = ["Returns", "Attributes"]
napoleon_use_ivar = True
