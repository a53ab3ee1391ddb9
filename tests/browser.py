"""A headless Chromium for tests of pages; conftest makes its fixture known to every test.

Needs Debian's ``chromium`` and ``chromium-driver``, and the dev extra's packages; tests that ask
for ``browser`` skip with a reason where they are absent.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-extensions "
    "--disable-background-networking --disable-component-update --disable-sync --mute-audio "
    "--disable-dev-shm-usage --force-color-profile=srgb --hide-scrollbars"
).split()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A selenium driver of a fresh Chromium, one for the whole session."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium isn't installed")
    chromium, driver_path = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver_path:
        pytest.skip("no chromium and chromedriver on the PATH: apt install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    # Named, so that selenium doesn't go looking for a driver on the network.
    service = webdriver.ChromeService(executable_path=driver_path)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def open_page(driver, address, width=1280, height=900, scheme="light"):
    """Load a file or an address in a window of that size, in the light or the dark scheme."""
    set_width(driver, width, height)
    set_scheme(driver, scheme)
    console_errors(driver), requests_made(driver)  # what earlier pages left behind
    driver.get(address.resolve().as_uri() if isinstance(address, Path) else address)


def set_width(driver, width, height=900):
    """Make the page's window that large, in CSS pixels; phones are narrower than any window."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def set_scheme(driver, scheme):
    """Have the reader prefer the ``light`` or the ``dark`` colour scheme."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def console_errors(driver):
    """What the console said at level SEVERE since it was last asked."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requests_made(driver):
    """Addresses asked for since this was last called, those inside the page (data:) left out."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    addresses = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    return [address for address in addresses if not address.startswith(("data:", "blob:"))]


def scrolls_sideways(driver):
    """Whether the page is wider than its window."""
    script = "const e = document.documentElement; return e.scrollWidth > e.clientWidth"
    return driver.execute_script(script)


def accessibility_violations(driver):
    """What axe-core finds wrong: a line for each element.

    https://github.com/dequelabs/axe-core; its script comes with axe-playwright-python, of which
    nothing else is used.
    """
    package = importlib.util.find_spec("axe_playwright_python")
    if package is None:
        pytest.skip("axe-playwright-python, which brings axe-core, isn't installed")
    script = Path(package.origin).with_name("axe.min.js").read_text(encoding="utf-8")
    driver.execute_script(script)
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run().then(r => done(r.violations), e => done(String(e)))"
    )
    assert isinstance(found, list), found
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in found
        for node in violation["nodes"]
    ]
