"""The installed browser; none is downloaded."""

import shutil

from playwright.sync_api import Browser, Playwright

#: The headless shell comes first: without a window it needs half of the CPU time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Message if no browser is installed.
ABSENT = f"none of {', '.join(NAMES)} is installed"

# No display, and no connections to other machines.
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find_browser() -> str | None:
    """Return the path of the browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch(play: Playwright, path: str) -> Browser:
    return play.chromium.launch(executable_path=path, args=list(_FLAGS))
