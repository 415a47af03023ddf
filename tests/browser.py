"""A headless Chromium for tests, found on PATH."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def path_of_chromium() -> str:
    """The browser's program. Fails with the command that brings it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found is not None, (
        f"none of {', '.join(NAMES)} is on PATH; the tests of pages need a browser: apt-get install -y chromium"
    )
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; nothing is downloaded for it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path_of_chromium(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
