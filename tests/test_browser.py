"""The eyes of the page tests: they see what a bad page does."""

from __future__ import annotations

from browser import (
    accessibility_violations,
    console_errors,
    open_page,
    requests_made,
    scrolls_sideways,
)

BAD = """<!doctype html><html><body>
<img src="http://localhost:9/picture.png"><div style="width: 900px">x</div>
<script>undefinedFunction()</script></body></html>"""

GOOD = """<!doctype html><html lang="en"><head><title>Good</title></head><body>
<main><h1>Good</h1><p id="scheme"></p></main>
<script>document.getElementById("scheme").textContent =
matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"</script></body></html>"""


def test_a_bad_page_is_seen(browser, tmp_path):
    (tmp_path / "bad.html").write_text(BAD)
    open_page(browser, tmp_path / "bad.html", width=390)
    assert any("undefinedFunction" in line for line in console_errors(browser))
    assert "http://localhost:9/picture.png" in requests_made(browser)
    assert scrolls_sideways(browser)
    assert any(line.startswith("image-alt: ") for line in accessibility_violations(browser))


def test_a_good_page_passes(browser, tmp_path):
    (tmp_path / "good.html").write_text(GOOD)
    open_page(browser, tmp_path / "good.html", width=390, scheme="dark")
    assert console_errors(browser) == []
    assert requests_made(browser) == [(tmp_path / "good.html").as_uri()]
    assert not scrolls_sideways(browser)
    assert accessibility_violations(browser) == []
    assert browser.find_element("id", "scheme").text == "dark"
