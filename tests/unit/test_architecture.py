"""What ARCHITECTURE.md and the habits of the house say of the package as a whole, held true."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYERS = ("routes", "live", "shell", "services", "hardware", "trainers", "executors", "storage", "models", "utils")


def test_every_module_that_the_architecture_names_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(rf"`((?:{'|'.join(LAYERS)})(?:/\w+)+(?:\.py)?)`", text)
    assert len(named) > 30
    there = {str(path.relative_to(ROOT / "api").with_suffix("")) for path in (ROOT / "api").rglob("*")}
    assert [name for name in named if name.removesuffix(".py") not in there] == []


def test_no_class_name_stands_twice():
    homes: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "api").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}


#: Lists of fields, which no cut makes plainer; migrations stay as they were when they first ran.
LISTS = {
    ("runtime/composition.py", "_offer_services"),
    ("services/attempts/watch.py", "__init__"),
    ("services/gpus/view.py", "show_details"),
    ("services/training/dispatcher.py", "__init__"),
    ("services/training/preview.py", "preview"),
}


def test_no_file_is_longer_than_400_lines():
    paths = [path for folder in ("api", "tests", "tools", "deploy") for path in (ROOT / folder).rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in paths}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_no_function_is_longer_than_40_lines():
    long = set()
    for path in sorted((ROOT / "api").rglob("*.py")):
        if path.parent.name == "versions":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and (node.end_lineno or 0) - node.lineno >= 40:
                long.add((str(path.relative_to(ROOT / "api")), node.name))
    assert long == LISTS
