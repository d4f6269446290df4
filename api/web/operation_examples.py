"""Add the recorded examples to the OpenAPI document: `make examples` records them from real servers."""

import json
from pathlib import Path
from typing import Any

from api.util.envelope import JSON

_TEXTS, _STRUCTURES = ("text/plain",), (JSON, "multipart/form-data")

_FOLDER = Path(__file__).parent / "examples"


def read_examples() -> dict[str, dict[str, Any]]:
    """Return the examples by operation id: `parameters` by name, the `request`, and the `answers` by status."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(_FOLDER.glob("*.json")):
        found |= json.loads(path.read_bytes())
    return found


def add_examples(document: dict[str, Any]) -> None:
    """Add examples to parameters, bodies and successful responses."""
    examples = read_examples()
    for operations in document["paths"].values():
        for operation in operations.values():
            _add(operation, examples.get(operation["operationId"], {}))


def _add(operation: dict[str, Any], example: dict[str, Any]) -> None:
    values = example.get("parameters", {})
    if values:
        operation["parameters"] = [
            {**each, "example": values[each["name"]]} if each["name"] in values else each
            for each in operation["parameters"]
        ]
    if "request" in example:
        _add_to_content(operation["requestBody"], example["request"])
    for status, answer in example.get("answers", {}).items():
        _add_to_content(operation["responses"][status], answer)


def _add_to_content(described: dict[str, Any], example: Any) -> None:
    """Add the example to its media type: a text, or JSON or a form."""
    content = described["content"]
    media_type = next(each for each in content if each in (_TEXTS if isinstance(example, str) else _STRUCTURES))
    # A copy, because several responses may have the same content.
    described["content"] = {**content, media_type: {**content[media_type], "example": example}}
