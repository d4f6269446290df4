"""Rules about layers that the import checker cannot check."""

import ast
import re
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "api"

#: The modules that use executors only through their interface.
BELOW = {"executors", "trainers", "jobs", "db", "files", "config", "util"}
BESIDE = {"commands", "notifiers", "sources", "web", "main.py"}
ABOVE = [path for path in API.rglob("*.py") if not (BELOW | BESIDE).intersection(path.relative_to(API).parts)]


def _find_machine_access(text: str) -> list[str]:
    nodes = list(ast.walk(ast.parse(text)))
    has_sockets = any(alias.name == "socket" for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    found = [f"from {node.module}" for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "socket"]
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and has_sockets:
            if node.value.id == "socket" and node.attr != "gethostname":
                found.append(f"socket.{node.attr}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("/proc"):
            found.append(node.value)
    return found


def test_packages_above_the_executors_neither_bind_sockets_nor_read_proc():
    found = {path.relative_to(API): _find_machine_access(path.read_text(encoding="utf-8")) for path in ABOVE}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "fault",
    [
        "import socket\nsocket.socket().bind(place)",
        "from socket import create_server",
        'open(f"/proc/{pid}/fd")',
    ],
)
def test_planted_machine_access_is_found(fault: str):
    assert _find_machine_access(fault)


#: Runs in the trainer's Python, where it imports packages of the trainer by name, and none of this service.
TRAINERS_PROGRAM = API / "trainers" / "diffusion_pipe" / "installation" / "program.py"


def test_code_in_a_string_imports_only_the_package_of_the_supervisor():
    by_string = re.compile(r"(?:import_module|__import__)\(\s*([^,)]*)")
    found = {
        (str(path.relative_to(API)), name)
        for path in API.rglob("*.py")
        if path != TRAINERS_PROGRAM
        for name in by_string.findall(path.read_text(encoding="utf-8"))
    }
    # The import checker cannot see strings. The supervisor imports by name when it executes itself.
    parts = {name for place, name in found if place == "executors/supervisor.py"}
    assert {place for place, _ in found} == {"executors/supervisor.py"}
    assert parts == {'"api.executors.attempt.subreaper"', '"api.executors.attempt.supervision"'}
