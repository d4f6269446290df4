"""The hook of `make docs` (mkdocs.yml): adds the reference, which the code generates, and documents outside of docs/.

Links work in the files as they are and on the site: here they are changed to the site's addresses. Names of settings,
operations, error codes and permissions, written as code, become links to the reference.
"""

import json
import os
import posixpath
import re
import subprocess
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_log = get_plugin_logger("docs")

#: Documents outside of docs/, and their pages.
INCLUDED = {
    "QUICKSTART.md": "get-started/quickstart.md",
    "TRAINING_API.md": "guides/use-the-http-api.md",
    "SECURITY.md": "concepts/security.md",
    "ARCHITECTURE.md": "concepts/architecture.md",
    "CONTRIBUTING.md": "concepts/contributing.md",
    "CHANGELOG.md": "changelog.md",
    "dpipe/README.md": "guides/dpipe.md",
    "deploy/README.md": "reference/deployment-files.md",
    "deploy/slurm/README.md": "guides/set-up-slurm.md",
}
_SOURCES = {page: source for source, page in INCLUDED.items()}

_MARKER = re.compile(r"<!-- generated: ([\w-]+) -->")
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
#: A fenced block, a heading, a link, or a name as code, whichever begins first.
_SPAN = re.compile(
    r"(?P<kept>^ *```.*?^ *```|^#+ .*?$|!?\[(?:[^\[\]]|\[[^\]]*\])*\]\([^)]*\))|`(?P<name>[^`\n]+)`(?!\{)",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]*)?\)")
_OPERATION = re.compile(r"(GET|POST|PATCH|PUT|DELETE) (/\S+)")

_reference: dict[str, Any] = {}


def on_config(config: MkDocsConfig) -> None:
    """Generate the reference, with the service's own environment."""
    python = os.environ.get("SERVICE_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    done = subprocess.run([python, ROOT / "tools" / "reference.py"], stdout=subprocess.PIPE, check=True, text=True)
    _reference.update(json.loads(done.stdout))


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are not in docs/."""
    for source, page in INCLUDED.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for page, text in _reference["pages"].items():
        files.append(File.generated(config, page, content=text))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert the generated parts, and change the links."""
    here = page.file.src_uri
    if here in _SOURCES or here not in _reference["pages"]:
        markdown = _outside_fences(lambda text: _LINK.sub(lambda link: _site_link(link, here), text), markdown)
    markdown = _MARKER.sub(lambda marker: _reference["parts"][marker[1]], markdown)
    if here != "changelog.md":
        markdown = _SPAN.sub(lambda span: span[0] if span["kept"] else _named(span["name"], here), markdown)
    return markdown


def _outside_fences(change: Any, text: str) -> str:
    parts, at = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(text[at:])])


def _site_link(link: re.Match[str], here: str) -> str:
    """Return a link between files of the repository as one between pages. Other files have no page: only the text."""
    is_image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
    if not target:
        return link[0]
    source = _SOURCES.get(here, f"docs/{here}")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    page = INCLUDED.get(path) or INCLUDED.get(f"{path}/README.md") or path.removeprefix("docs/")
    if page == path or here == "changelog.md":
        return text  # a changelog names files of its time
    location = posixpath.relpath(page, posixpath.dirname(here) or ".")
    if location.endswith("-light.png"):
        # The picture in the reader's theme.
        dark = location.replace("-light.png", "-dark.png")
        return f"![{text}]({location}#only-light)\n![{text}]({dark}#only-dark)"
    return f"{is_image}[{text}]({location}{anchor})"


def _named(name: str, here: str) -> str:
    """Return a name as code, with a link if the reference explains it."""
    links, key = _reference["links"], name
    operation = _OPERATION.fullmatch(name)
    if operation is not None:
        key = _find_operation(operation[1], operation[2])
        if key is None:
            _log.warning("%s: no operation is %s", here, name)
    elif re.fullmatch(r"[A-Z][A-Z0-9_]+=\S+", name):
        key = name.partition("=")[0]
    location = links.get(key or name)
    if location is None or location.partition("#")[0] == here:
        return f"`{name}`"
    page, _, anchor = location.partition("#")
    return f"[`{name}`]({posixpath.relpath(page, posixpath.dirname(here) or '.')}#{anchor})"


def _find_operation(method: str, address: str) -> str | None:
    """Return the key of an operation whose address is written with or without its prefix, and with any parameters."""
    path = address.partition("?")[0].removeprefix("/api/v1")
    for key in _reference["links"]:
        known_method, _, known = key.partition(" ")
        pattern = re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(known))
        if known_method == method and known.startswith("/") and re.fullmatch(pattern, path):
            return str(key)
    return None
