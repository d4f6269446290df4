"""Whether a page fits into its window."""

from typing import Any

import pytest
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as StillSo

#: Charts follow a changed window some frames later, and frames are late while other tests have the processor.
SETTLING_MS = 5_000


def assert_fits(page: Page, where: Any = "") -> None:
    """Fails when there is something to scroll to the side, and still is after a moment; `where` is told then."""
    try:
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=SETTLING_MS)
    except StillSo:
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        pytest.fail(f"{wide} pixels reach beyond the window: {where}")
