"""Templates to pages. Whatever comes from outside is escaped, and no page may reach the network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from deap_xai.wording import counted, decimal

__all__ = ["encoded", "render"]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("deap_xai.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["decimal"] = decimal
    made.filters["counted"] = counted
    return made


def render(name: str, **values: Any) -> str:
    """The page of a template, with the style sheet and the script of that name inside.

    The page's content security policy forbids every request, and every script but this one, so
    that a name that slipped through the escaping couldn't run either.
    """
    style, script = (
        _source(f"shared.{kind}") + _source(f"{name}.{kind}") for kind in ("css", "js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = _environment().get_template(f"{name}.html")
    return template.render(style=Markup(style), script=Markup(script), digest=digest, **values)


def _source(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def encoded(page: str) -> bytes:
    r"""The bytes of a page, in UTF-8.

    File names that are no text, as old disks have them, come with characters that UTF-8 doesn't
    know. They are escaped, and browsers show a question mark in their place.

    Examples
    --------
    >>> encoded("<p>fr\udcf6g.jpg")
    b'<p>fr&#56566;g.jpg'
    """
    return page.encode("utf-8", "xmlcharrefreplace")
