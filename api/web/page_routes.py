"""The dashboard: one page and its files. It loads nothing from other hosts and uses the public API only."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from posixpath import normpath

from flask import Blueprint, Response

import api
from api.errors import NotFound
from api.web.packed_responses import CONTENT_TYPES, PackedFile, answer_packed, pack
from api.web.page_texts import CHINESE, add_chinese

dashboard = Blueprint("dashboard", __name__)

# No inline scripts, no other hosts; trusted types prevent that a text, such as a task's name, becomes markup. Their
# only policy is that for the address of the service worker.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types notices"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# The address contains a digest of the content, so the response never changes.
_FILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


FOLDER = Path(api.__file__).resolve().parent / "dashboard"
PAGE = "index.html"

#: The page's first module. It imports screens when they are opened, one language, and charts when needed.
_MAIN = "app/main.js"

#: Matches the static imports `import … from "./there.js";` and `import "./there.js";`.
_IMPORT = re.compile(rb'^(?:import|export)\s+(?:[\w*{},\s]+?\s+from\s+)?"(\.[^"]+)";', re.MULTILINE)

#: Matches the dynamic imports of screens: `import("../screens/there.js")`.
_SCREEN = re.compile(rb'import\("(\.\./screens/[^"]+)"\)')

#: Matches the dynamic imports of a screen's parts: `await import("./there.js")`.
_PART = re.compile(rb'await import\("(\.\.?/[^"]+)"\)')

#: Matches the style sheets of all screens in the page, which are sent as one file.
_STYLES = re.compile(rb'(?:<link rel="stylesheet" href="/dashboard/@/css/\w+\.css">\n)+')
_STYLE = "css/page.css"

#: Matches the indentation of our scripts and whole lines of comments: a third of their bytes. No string in them has
#: several lines.
_NOTES = re.compile(rb"^[ \t]*(?:(?://.*|/\*\*(?s:(?!\*/).)*\*/[ \t]*)$)?", re.MULTILINE)

#: The file that lists the libraries to install; not part of the page.
_PACKAGE = "package.json"

#: The placeholder in the page for the digest of its files.
_PLACE = b"/dashboard/@/"
#: The placeholder in the page for the list of its modules, so that browsers request all of them immediately.
_LINKS = b"<!-- links -->"
#: The placeholder in the page for the modules that each screen needs besides.
_NEEDED = b"<!-- modules -->"

#: Libraries that `make install` fetches. Without them the page shows tables instead of charts and accepts no files.
_CHART_STYLE = "vendor/uPlot.min.css"
_CHART_MODULE = "vendor/uPlot.js"
_UPLOAD_MODULE = "vendor/tus.js"
#: Their scripts as modules, which the page imports; the originals only set a global variable.
_MODULES = {
    "vendor/uPlot.iife.min.js": (_CHART_MODULE, b"\nexport default uPlot;\n"),
    "vendor/tus.min.js": (_UPLOAD_MODULE, b"\nexport default globalThis.tus;\n"),
}


class DashboardFiles:
    """All files below a folder whose type is known.

    The page names them below a digest of all, so that browsers cache them forever and never mix two versions.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {name: _without_notes(name, path.read_bytes()) for name, path in _walk(folder)}
        for script, (module, export) in _MODULES.items():
            if script in found:
                found[module] = found.pop(script) + export
        if CHINESE in found:
            found[CHINESE] = add_chinese(found[CHINESE])
        page = _join_styles(found.pop(PAGE), found)
        self.digest = _digest({PAGE: page, **found})
        self.page = pack(PAGE, _finish_page(page, self.digest, found))
        self._files: Mapping[str, PackedFile] = {name: pack(name, content) for name, content in found.items()}

    def get(self, digest: str, name: str) -> PackedFile:
        """Return a file of this version. Raises NotFound."""
        found = self._files.get(name)
        if digest != self.digest or found is None:
            raise NotFound
        return found


def _without_notes(name: str, content: bytes) -> bytes:
    """Return one of our scripts without comments and indentation; line numbers stay the same for debugging."""
    if not name.endswith(".js") or name.startswith("vendor/"):
        return content
    return _NOTES.sub(lambda found: b"\n" * found[0].count(b"\n"), content)


def _walk(folder: Path) -> list[tuple[str, Path]]:
    files = sorted(path for path in folder.rglob("*") if path.suffix in CONTENT_TYPES and path.is_file())
    named = [(path.relative_to(folder).as_posix(), path) for path in files]
    return [(name, path) for name, path in named if name != _PACKAGE]


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _join_styles(page: bytes, files: dict[str, bytes]) -> bytes:
    """Return the page with one style sheet instead of those of all screens, and add its file."""
    links = _STYLES.search(page)
    if links is None:
        return page
    names = re.findall(r"/@/(css/\w+\.css)", links[0].decode())
    files[_STYLE] = b"\n".join(files[name] for name in names)
    return page.replace(links[0], f'<link rel="stylesheet" href="/dashboard/@/{_STYLE}">\n'.encode())


def _finish_page(page: bytes, digest: str, files: Mapping[str, bytes]) -> bytes:
    first = _modules(files, _MAIN)
    links = [f'<link rel="modulepreload" href="/dashboard/@/{name}">' for name in first]
    # What each screen needs besides, so that the browser requests it at once and not import by import.
    screens = (normpath(f"app/{path.decode()}") for path in _SCREEN.findall(files.get(_MAIN, b"")))
    needed = {name: [each for each in _modules(files, name) if each not in first] for name in screens}
    for screen in list(needed):
        for path in _PART.findall(files.get(screen, b"")):
            name = normpath(PurePosixPath(screen).parent / path.decode())
            needed.setdefault(name, [each for each in _modules(files, name) if each not in (*first, *needed[screen])])
    if _CHART_STYLE in files and _CHART_MODULE in files:
        links.append(f'<meta name="charts" content="/dashboard/@/{_CHART_STYLE}">')
    if _UPLOAD_MODULE in files:
        links.append('<meta name="uploads" content="tus">')
    listed = json.dumps(needed, separators=(",", ":"))
    page = page.replace(_NEEDED, f'<meta name="modules" base="/dashboard/@/" content=\'{listed}\'>'.encode())
    return page.replace(_LINKS, "\n".join(links).encode()).replace(_PLACE, f"/dashboard/{digest}/".encode())


def _modules(files: Mapping[str, bytes], entry: str) -> list[str]:
    """Return the names of a module and of all modules that it imports statically."""
    found = [entry] if entry in files else []
    for name in found:
        folder = PurePosixPath(name).parent
        imported = (normpath(folder / path.decode()) for path in _IMPORT.findall(files[name]))
        found += [each for each in dict.fromkeys(imported) if each in files and each not in found]
    return found


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
