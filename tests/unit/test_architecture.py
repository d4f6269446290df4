"""ARCHITECTURE.md and the naming rules match the code."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = [path.parent.name for path in (ROOT / "api").glob("*/__init__.py")]


def test_every_named_module_exists():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(rf"`((?:{'|'.join(PACKAGES)})(?:/\w+)+(?:\.py)?)`", text)
    assert len(named) > 30
    there = {str(path.relative_to(ROOT / "api").with_suffix("")) for path in (ROOT / "api").rglob("*")}
    assert [name for name in named if name.removesuffix(".py") not in there] == []


def test_public_class_names_are_unique():
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "api").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: locations for name, locations in homes.items() if len(locations) > 1} == {}
