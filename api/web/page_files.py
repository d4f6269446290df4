"""The dashboard's files: read once, compressed once, and addressed by their content.

The page names its files below a digest of all of them. Browsers can cache them forever and never mix two versions.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from posixpath import normpath

import api
from api.errors import NotFound
from api.util.packed_files import CONTENT_TYPES, PackedFile, pack

FOLDER = Path(api.__file__).resolve().parent / "dashboard"
PAGE = "index.html"

#: The page's first module. It imports screens when they are opened, one language, and charts when needed.
_MAIN = "app/main.js"

#: Matches the static imports `import … from "./there.js";` and `import "./there.js";`.
_IMPORT = re.compile(rb'^(?:import|export)\s+(?:[\w*{},\s]+?\s+from\s+)?"(\.[^"]+)";', re.MULTILINE)

#: Matches whole lines of comments in our scripts: a quarter of their bytes. No string in them has several lines.
_NOTES = re.compile(rb"^[ \t]*(?://.*|/\*\*(?s:(?!\*/).)*\*/[ \t]*)$", re.MULTILINE)

#: The file that lists the libraries to install; not part of the page.
_PACKAGE = "package.json"

#: The placeholder in the page for the digest of its files.
_PLACE = b"/dashboard/@/"
#: The placeholder in the page for the list of its modules, so that browsers request all of them immediately.
_LINKS = b"<!-- links -->"

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
    """All files below a folder whose type is known."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {name: _without_notes(name, path.read_bytes()) for name, path in _walk(folder)}
        for script, (module, export) in _MODULES.items():
            if script in found:
                found[module] = found.pop(script) + export
        self.digest = _digest(found)
        page = found.pop(PAGE)
        self.page = pack(PAGE, _finish_page(page, self.digest, found))
        self._files: Mapping[str, PackedFile] = {name: pack(name, content) for name, content in found.items()}

    def get(self, digest: str, name: str) -> PackedFile:
        """Return a file of this version. Raises NotFound."""
        found = self._files.get(name)
        if digest != self.digest or found is None:
            raise NotFound
        return found


def _without_notes(name: str, content: bytes) -> bytes:
    """Return one of our scripts without its comments; line numbers stay the same for debugging."""
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


def _finish_page(page: bytes, digest: str, files: Mapping[str, bytes]) -> bytes:
    links = [f'<link rel="modulepreload" href="/dashboard/@/{name}">' for name in _modules(files)]
    if _CHART_STYLE in files and _CHART_MODULE in files:
        links.append(f'<meta name="charts" content="/dashboard/@/{_CHART_STYLE}">')
    if _UPLOAD_MODULE in files:
        links.append('<meta name="uploads" content="tus">')
    return page.replace(_LINKS, "\n".join(links).encode()).replace(_PLACE, f"/dashboard/{digest}/".encode())


def _modules(files: Mapping[str, bytes]) -> list[str]:
    """Return the names of the first module and of all modules that it imports statically."""
    found = [_MAIN] if _MAIN in files else []
    for name in found:
        folder = PurePosixPath(name).parent
        imported = (normpath(folder / path.decode()) for path in _IMPORT.findall(files[name]))
        found += [each for each in dict.fromkeys(imported) if each in files and each not in found]
    return found
