"""The dashboard: one page and its files. It loads nothing from other hosts and uses the public API only."""

from functools import cache

from flask import Blueprint, Response

from api.web.packed import answer_packed
from api.web.page_files import DashboardFiles

dashboard = Blueprint("dashboard", __name__)

# No inline scripts, no other hosts; trusted types prevent that a text, such as a task's name, becomes markup.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# The address contains a digest of the content, so the response never changes.
_FILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


@cache
def files() -> DashboardFiles:
    """Return the files, which are read at the first request."""
    return DashboardFiles()


@dashboard.get("/")
def get_page() -> Response:
    """Return the page."""
    return answer_packed(files().page, _PAGE_HEADERS)


@dashboard.get("/favicon.ico")
def get_icon() -> Response:
    """Return the icon for clients that request it by its traditional name."""
    return answer_packed(files().get(files().digest, "favicon.svg"), {"Cache-Control": "no-cache"})


@dashboard.get("/dashboard/<digest>/<path:name>")
def get_file(digest: str, name: str) -> Response:
    """Return a script, a style sheet or a picture of the page."""
    return answer_packed(files().get(digest, name), _FILE_HEADERS)
