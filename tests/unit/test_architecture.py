"""What ARCHITECTURE.md and the habits of the house say of the package as a whole, held true."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("routes", "live", "shell", "services", "hardware", "trainers", "executors", "storage", "models", "utils")


def test_every_module_that_the_architecture_names_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(rf"`((?:{'|'.join(LAYERS)})(?:/\w+)+(?:\.py)?)`", text)
    assert len(named) > 30
    missing = [name for name in named if not (ROOT / "api" / f"{name.removesuffix('.py')}.py").is_file()]
    assert missing == []
