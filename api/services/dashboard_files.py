"""The files of the dashboard: read once, compressed once, and addressed by what is in them.

The page names its files below a digest of all of them, so that a browser keeps them for good and never mixes two
versions.
"""

import gzip
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from api.errors import NotFound

FOLDER = Path(__file__).resolve().parent.parent / "dashboard"
PAGE = "index.html"

#: The one script that is no module: it runs before anything is painted.
_EARLY = "js/early.js"

#: Where the page says that its files go: replaced by the digest.
_PLACE = b"/dashboard/@/"
#: Where the page says which modules it needs: a browser that knows them all at once asks for them at once.
_PRELOADS = b"<!-- modulepreload -->"
#: What `make install` fetches; without it the page shows tables instead of charts.
_CHARTS = ("vendor/uPlot.min.css", "vendor/uPlot.iife.min.js")

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class DashboardFile:
    """A file as it is sent; `compressed` by gzip."""

    content_type: str
    content: bytes
    compressed: bytes
    etag: str


class DashboardFiles:
    """All files below a folder whose kind is known; others are not there."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {name: path.read_bytes() for name, path in _walk(folder)}
        self.digest = _digest(found)
        page = found.pop(PAGE)
        self.page = _file(PAGE, _finish_page(page, self.digest, found))
        self._files: Mapping[str, DashboardFile] = {name: _file(name, content) for name, content in found.items()}

    def get(self, digest: str, name: str) -> DashboardFile:
        """A file of this version. Raises NotFound."""
        found = self._files.get(name)
        if digest != self.digest or found is None:
            raise NotFound
        return found

    @property
    def weight(self) -> Mapping[str, int]:
        """The bytes of each file, uncompressed."""
        return {PAGE: len(self.page.content), **{name: len(file.content) for name, file in self._files.items()}}


def _walk(folder: Path) -> list[tuple[str, Path]]:
    files = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES and path.is_file())
    return [(path.relative_to(folder).as_posix(), path) for path in files]


def _digest(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _finish_page(page: bytes, digest: str, names: Collection[str]) -> bytes:
    modules = [name for name in names if name.startswith("js/") and name != _EARLY]
    links = [f'<link rel="modulepreload" href="/dashboard/@/{name}">' for name in modules]
    style, script = _CHARTS
    if style in names and script in names:
        links.append(f'<link rel="stylesheet" href="/dashboard/@/{style}">')
        links.append(f'<script defer src="/dashboard/@/{script}"></script>')
    return page.replace(_PRELOADS, "\n".join(links).encode()).replace(_PLACE, f"/dashboard/{digest}/".encode())


def _file(name: str, content: bytes) -> DashboardFile:
    # mtime=0: the same content is the same bytes, whenever it was compressed.
    compressed = gzip.compress(content, compresslevel=9, mtime=0)
    etag = hashlib.sha256(content).hexdigest()[:24]
    return DashboardFile(_TYPES[Path(name).suffix], content, compressed, etag)
