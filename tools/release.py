"""Builds what is released, and tries it in an empty environment: `make release`. It uploads and tags nothing."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
START_SECONDS = 60
STOP_SECONDS = 20

#: Without what is fetched the page shows tables and takes no files: not what is released.
_VENDOR = "api/dashboard/vendor"
NEEDED = (
    "api/dashboard/index.html",
    "api/dashboard/app/main.js",
    f"{_VENDOR}/uPlot.iife.min.js",
    f"{_VENDOR}/tus.min.js",
)


class Unfit(Exception):
    """Why this cannot be released."""


def version() -> str:
    """The one place of it is api/__init__.py: pyproject.toml, /health and the document take it from there."""
    text = (ROOT / "api" / "__init__.py").read_text()
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def check_changelog(text: str, wanted: str) -> None:
    """Raises Unfit unless the newest released heading is this version's, and has a date."""
    released = re.findall(r"^## (\d\S*) — (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    if not released or released[0][0] != wanted:
        found = released[0][0] if released else "none"
        raise Unfit(f"api/__init__.py says {wanted}; the newest version in CHANGELOG.md is {found}")


def build() -> Path:
    """The wheel, made of the source archive, which stands beside it."""
    for left in (DIST, *ROOT.glob("*.egg-info")):
        shutil.rmtree(left, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", DIST, ROOT], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unfit(f"it cannot be built:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    (wheel,) = DIST.glob("*.whl")
    missing = set(NEEDED) - set(ZipFile(wheel).namelist())
    if missing:
        raise Unfit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    return wheel


def install(wheel: Path, place: Path) -> Path:
    """An environment with nothing but the wheel and what it asks for; its programs."""
    venv.create(place, with_pip=True)
    pip: list[str | Path] = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, wheel], check=False).returncode:
        raise Unfit(f"{wheel.name} cannot be installed")
    return place / "bin"


def try_out(command: Sequence[str | Path], place: Path, wanted: str) -> None:
    """Serves on a free port, asks for health, page, script and charts, and ends. Raises Unfit when any of it fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place.mkdir()
    log = place / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--storage-root", place / "data"], cwd=place, stdout=output, stderr=output
        )
    try:
        look(f"http://127.0.0.1:{port}", server, wanted)
        server.terminate()
        if server.wait(STOP_SECONDS):
            raise Unfit(f"it ended with code {server.returncode}")
    except (Unfit, OSError, subprocess.TimeoutExpired) as error:
        told = log.read_text(errors="replace")[-2000:]
        raise Unfit(f"{' '.join(map(str, command))}: {error}\n{told}") from error
    finally:
        server.kill()
        server.wait()


def look(address: str, server: subprocess.Popen[bytes], wanted: str) -> None:
    """Whether the version, the page and what the page loads are there."""
    health = json.loads(_wait_for(f"{address}/health", server))
    if health["data"]["version"] != wanted:
        raise Unfit(f"/health says {health['data']['version']}")
    page = _get(f"{address}/").decode()
    scripts = re.findall(r'src="(/dashboard/[^"]+/app/main\.js)"', page)
    charts = re.findall(r'<meta name="?charts"? content="([^"]+)"', page)
    if not scripts or not charts:
        raise Unfit("the page at / names no script, or no charts")
    for path in (scripts[0], charts[0], scripts[0].replace("app/main.js", "vendor/uPlot.js")):
        if not _get(address + path):
            raise Unfit(f"{path} is empty")


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> bytes:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            return _get(url)
        except urllib.error.URLError:
            time.sleep(0.1)
    raise Unfit(f"it does not answer at {url}")


def _get(url: str) -> bytes:
    # Never by a proxy: it is this machine.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def main() -> int:
    """0 when it can be released."""
    wanted = version()
    try:
        check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), wanted)
        wheel = build()
        with tempfile.TemporaryDirectory() as name:
            place = Path(name)
            programs = install(wheel, place / "venv")
            try_out([programs / "diffusion-pipe-api", "serve"], place / "command", wanted)
            try_out([programs / "python", "-m", "api"], place / "module", wanted)
    except Unfit as error:
        print(f"Not released: {error}", file=sys.stderr)
        return 1
    names = " and ".join(sorted(f"dist/{path.name}" for path in DIST.iterdir()))
    print(
        f"Built and tried: {names}. To release: git tag -a v{wanted} -m 'Version {wanted}' && git push origin v{wanted}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
