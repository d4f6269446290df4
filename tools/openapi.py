"""Write the OpenAPI document to a file without starting a server: `python tools/openapi.py FILE`."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from api.app import create_app
from api.composition.composition import Runtime
from api.config import Config


def main(target: Path) -> None:
    """Write the document only if it changed, so that files generated from it stay up to date."""
    with TemporaryDirectory() as storage:
        runtime = Runtime(Config(gpu_source="simulated", storage_root=Path(storage)))
        text = json.dumps(create_app(runtime.services).spec)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_text() != text:
        target.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
