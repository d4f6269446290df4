"""Build the release, test it in an empty environment, and tag it: `make release`. Uploads and pushes nothing."""

import json
import lzma
import os
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

#: Without these fetched libraries the page has no charts and no uploads, so a release must contain them.
_VENDOR = "api/dashboard/vendor"
NEEDED = (
    "api/dashboard/index.html",
    "api/dashboard/app/main.js",
    "api/web/openapi/examples/training.json",
    f"{_VENDOR}/uPlot.iife.min.js",
    f"{_VENDOR}/tus.min.js",
)


class Unfit(Exception):
    """The release cannot be made; the message names the reason."""


def version() -> str:
    """Return the version from api/__init__.py, the only place where it is set."""
    text = (ROOT / "api" / "__init__.py").read_text()
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def check_changelog(text: str, wanted: str) -> None:
    """Raise Unfit unless the changelog's newest dated heading names this version."""
    released = re.findall(r"^## (\d\S*) — (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    if not released or released[0][0] != wanted:
        found = released[0][0] if released else "none"
        raise Unfit(f"api/__init__.py says {wanted}; the newest version in CHANGELOG.md is {found}")


def check_repository(root: Path, wanted: str) -> None:
    """Raise Unfit if a change is not committed, or if the tag exists."""
    if changed := _git(root, "status", "--porcelain", "--untracked-files=no"):
        raise Unfit(f"these changes are not committed:\n{changed}")
    if _git(root, "tag", "--list", f"v{wanted}"):
        raise Unfit(f"the tag v{wanted} exists; change the version in api/__init__.py")


def check_description(stored: Path) -> None:
    """Raise Unfit unless this file has the OpenAPI document of this tree, for the tests of later versions."""
    with tempfile.TemporaryDirectory() as name:
        current = Path(name) / "openapi.json"
        subprocess.run([sys.executable, ROOT / "tools" / "openapi.py", current], check=True)
        if not stored.exists() or lzma.decompress(stored.read_bytes()) != current.read_bytes():
            raise Unfit(f"run python tools/openapi.py {stored.relative_to(ROOT)}, and commit that file")


def check_tests() -> None:
    """Run the checks and all quick and slow tests, unless CHECKED=1 says that they have passed."""
    if (
        os.environ.get("CHECKED") != "1"
        and subprocess.run(["make", "lint", "test-all"], cwd=ROOT, check=False).returncode
    ):
        raise Unfit("checks or tests failed")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unfit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def build() -> Path:
    """Build the source archive and, from it, the wheel; return the wheel's path."""
    for left in (DIST, *ROOT.glob("*.egg-info")):
        shutil.rmtree(left, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", DIST, ROOT], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unfit(f"the build failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    (wheel,) = DIST.glob("*.whl")
    if wheel.name.split("-")[1] != version():
        raise Unfit(f"{wheel.name} has another version than api/__init__.py")
    missing = set(NEEDED) - set(ZipFile(wheel).namelist())
    if missing:
        raise Unfit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    return wheel


def install(wheel: Path, directory: Path) -> Path:
    """Create an environment with only the wheel and its dependencies; return its directory of programs."""
    venv.create(directory, with_pip=True)
    programs = directory / "bin"
    pip: list[str | Path] = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*pip, wheel], check=False).returncode:
        raise Unfit(f"{wheel.name} cannot be installed")
    return programs


def check_command(program: Path, wanted: str) -> None:
    """Raise Unfit unless the installed command prints this version."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if said != wanted:
        raise Unfit(f"diffusion-pipe-api --version prints {said!r}")


def try_out(command: Sequence[str | Path], directory: Path, wanted: str) -> None:
    """Serve on a free port, request health, page, script and charts, and stop. Raise Unfit if any of it fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    directory.mkdir()
    log = directory / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--storage-root", directory / "data"],
            cwd=directory,
            stdout=output,
            stderr=output,
        )
    try:
        check_server(f"http://127.0.0.1:{port}", server, wanted)
        server.terminate()
        if server.wait(STOP_SECONDS):
            raise Unfit(f"the server ended with exit code {server.returncode}")
    except (Unfit, OSError, subprocess.TimeoutExpired) as error:
        end_of_log = log.read_text(errors="replace")[-2000:]
        raise Unfit(f"{' '.join(map(str, command))}: {error}\n{end_of_log}") from error
    finally:
        server.kill()
        server.wait()


def check_server(address: str, server: subprocess.Popen[bytes], wanted: str) -> None:
    """Raise Unfit unless the server returns the version, the page and the page's files."""
    health = json.loads(_wait_for(f"{address}/health", server))
    if health["data"]["version"] != wanted:
        raise Unfit(f"/health returns version {health['data']['version']}")
    described = json.loads(_get(f"{address}/openapi.json"))["info"]["version"]
    if described != wanted:
        raise Unfit(f"/openapi.json describes version {described}")
    page = _get(f"{address}/").decode()
    scripts = re.findall(r'src="(/dashboard/[^"]+/app/main\.js)"', page)
    charts = re.findall(r'<meta name="?charts"? content="([^"]+)"', page)
    if not scripts or not charts:
        raise Unfit("the page at / has no script or no charts")
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
    raise Unfit(f"no answer from {url}")


def _get(url: str) -> bytes:
    # The server runs on this machine: ignore proxies.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def main() -> int:
    """Build, test and tag the release; return the exit code."""
    wanted = version()
    try:
        check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), wanted)
        check_repository(ROOT, wanted)
        check_description(ROOT / "tests" / "clients" / "released" / f"{wanted}.json.xz")
        check_tests()
        wheel = build()
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            programs = install(wheel, directory / "venv")
            check_command(programs / "diffusion-pipe-api", wanted)
            try_out([programs / "diffusion-pipe-api", "serve"], directory / "command", wanted)
            try_out([programs / "python", "-m", "api"], directory / "module", wanted)
        _git(ROOT, "tag", "--annotate", f"v{wanted}", "--message", f"Version {wanted}")
    except Unfit as error:
        print(f"Not released: {error}", file=sys.stderr)
        return 1
    names = " and ".join(sorted(f"dist/{path.name}" for path in DIST.iterdir()))
    print(f"Built, tested and tagged: {names}. To publish: git push origin v{wanted}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
