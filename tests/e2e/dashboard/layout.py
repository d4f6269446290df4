"""Checks that a page fits into its window."""

import time
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.patience import BUSY_SECONDS

#: Charts resize some frames after the window, and frames are late on a busy machine.
SETTLING_SECONDS = 5.0
_PAUSE_MS = 50


def becomes_true(page: Page, expression: str, arg: Any = None, seconds: float = BUSY_SECONDS) -> bool:
    """Return whether a condition holds within this time.

    `Page.wait_for_function` would evaluate it in the page, whose Content-Security-Policy forbids that after the first
    time.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(_PAUSE_MS)
    return True


def follow(page: Page, address: str) -> None:
    """Open another screen without loading the page again."""
    page.evaluate("address => { location.hash = address; }", address)


def assert_fits(page: Page, where: Any = "") -> None:
    """Fail with `where` if the page still scrolls horizontally after a moment."""
    if not becomes_true(page, "document.documentElement.scrollWidth <= innerWidth", seconds=SETTLING_SECONDS):
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        pytest.fail(f"{wide} pixels reach beyond the window: {where}")
