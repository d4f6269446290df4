"""Every command of the documents and of `make help` runs as written; curl lines are in `test_documentation`.

Blocks that name what they need are checked by the unit test of the documents.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import DOCUMENTS, ROOT, prose, runnable
from tests.own_service import free_port

#: The commands that do not run here, each with the reason. A command is matched as a whole.
NOT_RUN = {
    r"(?:[A-Z_]+=(?:\"[^\"]*\"|\S+) )*make (?:dev|logs|worker)(?: .*)?": "serves until it is stopped",
    r"diffusion-pipe-api|python -m api": "serves until it is stopped",
    r"\.venv/bin/websockets.*": "serves until it is stopped",
    r"make (?:install|install-dev|charts|lock)(?: .*)?": "asks a package registry; CI and a newcomer run it",
    r"make (?:test|test-\w+|lint|script-types|docs|examples|check|coverage|bench|format)(?: .*)?": (
        "CI runs it, or it takes minutes"
    ),
    r"make simulate COUNT=\d+|python docs/screenshots\.py": "takes minutes or hours",
    r"make (?:release|clean)|\.venv/bin/pre-commit install": "releases, deletes, or changes how git works",
    r"make (?:demo|simulate)": "test_demo and the simulation's tests run the same program",
    r"(?:sudo|ssh|docker|npx) .*": "needs root, another machine, or a registry",
    r"promtool (?:query|check config /etc).*": "needs a Prometheus that is installed",
    r"\.venv/bin/python (?:-c .*|- <<.*|-m api key (?:revoke|file data/).*)": "test_documentation runs its block",
    r"make|make restore|make audit-verify ARGS=.*|promtool(?: check| test rules)?": "names a program without arguments",
    r"(?:diffusion-pipe-api|python -m api|python run\.py) check-trainer(?: .*)?": "fails where no trainer is installed",
    r"diffusion-pipe-api[.@].*|python -m benchmarks.*": "names a unit of systemd, or takes minutes",
}

COMMAND = re.compile(
    r"(?:[A-Z_]+=(?:\"[^\"]*\"|\S+) )*"
    r"(?:make|python|\.venv/bin/[\w-]+|sh deploy/\S+|promtool|diffusion-pipe-api|sudo|ssh|docker|npx)\b(?! *=)[^\n]*"
)


def commands(text: str) -> set[str]:
    """Return the commands in shell blocks, and those in running text between single backquotes."""
    found = set()
    consoles = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in [*runnable(text), *consoles]:
        for line in block.replace("\\\n", " ").splitlines():
            found.add(re.sub(r" +#.*| +&.*$", "", line.removeprefix("$ ")).strip())
    found |= {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))}
    return {command for command in found if COMMAND.fullmatch(command)}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


WRITTEN = set().union(*map(commands, DOCUMENTS.values()))
RUN = sorted(
    command
    for command in WRITTEN | {f"make {target}" for target in targets() - {"key", "restore"}}
    if not any(re.fullmatch(pattern, command) for pattern in NOT_RUN)
)

#: The server runs before each command; make would compile everything again to find that out.
RUNNING = "sh deploy/server-process.sh data/run/server.pid find || make background"

#: The prerequisites of a command, which its document states.
BEFORE = {"make restore": "make backup FILE=/backups/monday.tar.gz FORCE=1 && make stop && rm data/database.sqlite"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install a copy of the checkout, with a server in the background."""
    if not (ROOT / ".venv" / "bin" / ".installed-dev").exists() or shutil.which("make") is None:
        pytest.skip("needs make, and what make install-dev makes")
    root = tmp_path_factory.mktemp("documented") / "checkout"
    made = (
        ".git",
        ".venv",
        "node_modules",
        "data",
        "build",
        "dist",
        "vendor",
        ".env",
        "__pycache__",
        ".*_cache",
        "api.egg*",
    )
    shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*made), symlinks=True)
    for name in (".venv", "node_modules", "api/dashboard/vendor"):
        (root / name).symlink_to(ROOT / name)
    # Older than what was installed: npm ci would delete the packages behind the link.
    for name in (
        "package-lock.json",
        "requirements/service.lock",
        "requirements/dev.lock",
        "api/dashboard/package.json",
    ):
        os.utime(root / name, (0, 0))
    (root.parent / "backups").mkdir()
    port = free_port()
    (root / ".env").write_text(f"API_PORT={port}\nGPU_SOURCE=simulated\n")
    yield root
    run(root, "make stop")


def run(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a line in the checkout, with the port and the folder of backups replaced by those of the test."""
    port = (root / ".env").read_text().split()[0].partition("=")[2]
    line = command.replace("8080", port).replace("/backups/", f"{root.parent}/backups/").replace("…", "7")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", line],
        cwd=root,
        env={"PATH": path, "HOME": str(root.parent), "LANG": "C.UTF-8", "URL": f"http://127.0.0.1:{port}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.parametrize("command", RUN)
def test_documented_command_runs_as_written(checkout: Path, command: str):
    for line in [RUNNING, *(text for name, text in BEFORE.items() if command.startswith(name))]:
        before = run(checkout, line)
        assert before.returncode == 0, before.stderr
    done = run(checkout, command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_every_reason_for_not_running_a_command_is_still_needed():
    listed = WRITTEN | {f"make {target}" for target in targets()}
    assert [pattern for pattern in NOT_RUN if not any(re.fullmatch(pattern, command) for command in listed)] == []


def test_backup_takes_a_name_with_spaces(checkout: Path):
    assert run(checkout, "make background").returncode == 0
    done = run(checkout, 'make backup FILE="/backups/my backup.tar.gz"')
    assert (done.returncode, (checkout.parent / "backups" / "my backup.tar.gz").is_file()) == (0, True), done.stderr


def test_restore_of_a_missing_file_names_the_file(checkout: Path):
    done = run(checkout, "make -s stop && make restore FILE=/missing.tar.gz")
    assert "the backup /missing.tar.gz cannot be opened: No such file or directory" in done.stderr
