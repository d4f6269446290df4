"""The system's browser: none is downloaded."""

import shutil

from playwright.sync_api import Browser, Playwright

#: The first has no window of its own, which the others keep although nobody sees it: half of their processor time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: What to say when there is none.
ABSENT = f"none of {', '.join(NAMES)} is installed"

# Without a screen, and without a word to any other machine.
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
    """Where it is; None when there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch(play: Playwright, path: str) -> Browser:
    return play.chromium.launch(executable_path=path, args=list(_FLAGS))
