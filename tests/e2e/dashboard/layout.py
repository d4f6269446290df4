"""Checks that a page fits into its window."""

from typing import Any

import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

#: Charts resize some frames after the window, and frames are late on a busy machine.
SETTLING_MS = 5_000


def assert_fits(page: Page, where: Any = "") -> None:
    """Fail with `where` if the page still scrolls horizontally after a moment."""
    try:
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=SETTLING_MS)
    except PlaywrightTimeout:
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        pytest.fail(f"{wide} pixels reach beyond the window: {where}")
