"""What is installed, and by which Python it can be started."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_start_can_be_read_by_old_pythons_and_asks_for_a_new_one_first():
    tree = ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 7))
    kinds = [type(node).__name__ for node in tree.body[1:3]]
    assert kinds == ["Import", "If"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert "sys.version_info < (3, 11)" in ast.unparse(tree.body[2])
    assert wanted == ">=3.11"


def test_every_directory_of_the_service_with_python_is_a_package():
    directories = {path.parent for path in (ROOT / "api").rglob("*.py")}
    assert [path for path in directories if not (path / "__init__.py").exists()] == []
