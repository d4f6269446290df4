"""Write the OpenAPI document to a file without starting a server: `python tools/openapi.py FILE [--known-values]`.

A FILE that ends in .xz is compressed: tests/clients/released has the documents of earlier releases.

`--known-values` removes the choice "any other string" from the enums of responses. The page is checked against that
document: page and service have the same version, and every value needs its text on the page.
"""

import json
import lzma
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from api.app import create_app
from api.composition.composition import Runtime
from api.config import Config


def close_enums(node: Any) -> Any:
    """Return a part of the document without the open ends of its enums."""
    if isinstance(node, list):
        return [close_enums(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {key: close_enums(value) for key, value in node.items()}
    choices = closed.get("anyOf", [])
    if {"type": "string"} in choices and any("$ref" in each for each in choices):
        closed["anyOf"] = [each for each in choices if each != {"type": "string"}]
    return closed


def document() -> dict[str, Any]:
    """Return the document of a server with the default settings."""
    with TemporaryDirectory() as storage:
        runtime = Runtime(Config(gpu_source="simulated", storage_root=Path(storage)))
        return json.loads(json.dumps(create_app(runtime.services).spec))


def main(target: Path, is_for_the_page: bool) -> None:
    """Write the document only if it changed, so that files generated from it stay up to date."""
    found = json.dumps(close_enums(document()) if is_for_the_page else document()).encode()
    content = lzma.compress(found, preset=9) if target.suffix == ".xz" else found
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_bytes() != content:
        target.write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--known-values" in sys.argv)
