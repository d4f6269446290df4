"""The container of `deploy/container`, checked without an engine: lint, and agreement with README and Makefile."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "container"
CONTAINERFILE = (CONTAINER / "Containerfile").read_text()


def _program(name: str) -> str:
    """Return a program of a package in requirements/dev.txt; skip the test if this platform has none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def test_linter_accepts_the_containerfile():
    done = subprocess.run(
        [_program("hadolint"), CONTAINER / "Containerfile"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.nvidia.yaml"]])
def test_compose_accepts_its_files(files: list[str]):
    chosen = [part for name in files for part in ("--file", str(CONTAINER / name))]
    command = [_program("docker-compose"), *chosen, "config", "--quiet"]
    done = subprocess.run(
        command, env={"POSTGRES_PASSWORD": "x"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stderr, done.returncode) == ("", 0)
    without = subprocess.run(command, env={}, capture_output=True, text=True, check=False, timeout=60)
    assert "put POSTGRES_PASSWORD into deploy/container/.env" in without.stderr


def test_image_installs_and_serves_like_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    (serve,) = re.findall(r"^dev: install .*\n\t@(.*) \$\(ARGS\)$", makefile, re.MULTILINE)
    command = serve.replace("$(BIN)", ".venv/bin").split()
    assert "CMD [" + ", ".join('"' + word + '"' for word in command) + "]" in CONTAINERFILE
    assert re.search(r"^RUN make install\b", CONTAINERFILE, re.MULTILINE)
    assert re.search(r"^make dev$", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_guide_contains_the_commands_of_the_files():
    guide = (ROOT / "docs" / "guides" / "install-as-a-service.md").read_text()
    for name in ("Containerfile", "compose.yaml"):
        (command,) = re.findall(r"^#   (docker .*)$", (CONTAINER / name).read_text(), re.MULTILINE)
        assert command in guide, name


def test_image_contains_only_listed_files():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    stored = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    tools = {"tools/install.sh", "tools/npm.sh", "tools/uv.lock"}
    assert stored == {"api", "LICENSE", "Makefile", "requirements", "requirements.txt", "run.py"} | tools
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|KEY)=", CONTAINERFILE)
