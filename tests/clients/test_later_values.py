"""A value that is not in today's enums does not break a client generated today."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.clients.conftest import HERE, NODE_MODULES, example_answers, generate, run
from tests.clients.later_values import LATER, with_later_values
from tests.clients.walking import Walk

#: It answers with a picture or JSON, and the generator supports one content type per status.
AS_PICTURE = "get_item_as_trained"


@pytest.fixture(scope="module")
def client(document_file: Path, tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return generate(document_file, tmp_path_factory.mktemp("later"), "client_of_today")


def later_answers(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, Any]]:
    """Yield the example answers with later values."""
    for name, path, method, status, answer in example_answers(document):
        schema = document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        yield name, path, method, status, with_later_values(answer, schema, document)


def test_python_client_accepts_later_values(client: ModuleType, document: dict[str, Any]):
    walk, answers = Walk(client, "http://127.0.0.1:9", "dp_none"), list(later_answers(document))
    assert json.dumps(answers).count(LATER) > 200
    for name, _, _, status, answer in answers:
        if name == AS_PICTURE:
            continue
        response = httpx.Response(int(status), json=answer)
        parsed = walk.operations[name]._parse_response(client=walk.client, response=response)
        assert json.dumps(parsed.to_dict()).count(LATER) == json.dumps(answer).count(LATER), name


def test_typescript_types_accept_later_values(
    tools: Path, document: dict[str, Any], document_file: Path, tmp_path: Path
):
    run(tools / "openapi-typescript", document_file, "--output", tmp_path / "schema.d.ts")
    lines = ['import type { paths } from "./schema.js";']
    for place, (_, path, method, status, answer) in enumerate(later_answers(document)):
        kind = f'paths["{path}"]["{method}"]["responses"]["{status}"]["content"]["application/json"]'
        lines.append(f"export const answer{place}: {kind} = {json.dumps(answer)};")
    (tmp_path / "answers.ts").write_text("\n".join(lines))
    (tmp_path / "tsconfig.json").write_text((HERE / "tsconfig.json").read_text().replace("walk.ts", "answers.ts"))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    run(tools / "tsc", "--project", tmp_path)
