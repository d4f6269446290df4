"""Types that openapi-typescript makes of the document fit what is asked and answered."""

import json
from pathlib import Path
from typing import Any

from tests.clients.conftest import HERE, MEDIA, NODE_MODULES, run
from tests.e2e.training_server import TrainingServer


def test_typed_client_calls_every_operation(
    tools: Path, document: dict[str, Any], document_file: Path, server: TrainingServer, tmp_path: Path
):
    for path in (HERE / "tsconfig.json", *HERE.glob("walk*.ts")):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    run(tools / "openapi-typescript", document_file, "--output", tmp_path / "schema.d.ts")
    run(tools / "tsc", "--project", tmp_path)
    walk = ("node", tmp_path / "walk.js", str(server.client.base_url), str(server.directory / MEDIA))
    called = json.loads(run(*walk, DIFFUSION_PIPE_API_KEY=server.first_key()))
    assert set(called) == {f"{method} {path}" for path, ways in document["paths"].items() for method in ways}
