"""What the import checker cannot see of the layers."""

import ast
import re
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "api"

#: What stands above the executor's seam.
BELOW = {"executors", "trainers", "jobs", "db", "files", "config", "util"}
BESIDE = {"commands", "notifiers", "sources", "web", "main.py"}
ABOVE = [path for path in API.rglob("*.py") if not (BELOW | BESIDE).intersection(path.relative_to(API).parts)]


def _name_what_only_a_machine_knows(text: str) -> list[str]:
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


def test_above_the_executor_nobody_binds_a_socket_or_reads_proc():
    found = {path.relative_to(API): _name_what_only_a_machine_knows(path.read_text(encoding="utf-8")) for path in ABOVE}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "fault",
    [
        "import socket\nsocket.socket().bind(place)",
        "from socket import create_server",
        'open(f"/proc/{pid}/fd")',
    ],
)
def test_a_planted_one_is_found(fault: str):
    assert _name_what_only_a_machine_knows(fault)


def test_a_string_imports_nothing_but_the_parts_of_the_supervisor_that_it_stands_in():
    by_string = re.compile(r"(?:import_module|__import__)\(\s*([^,)]*)")
    found = {
        (str(path.relative_to(API)), name)
        for path in API.rglob("*.py")
        for name in by_string.findall(path.read_text(encoding="utf-8"))
    }
    # The checker sees no string: where the supervisor's program executes itself anew, its parts lie in the room below.
    parts = {name for place, name in found if place == "executors/supervisor.py"}
    assert {place for place, _ in found} == {"executors/supervisor.py"}
    assert parts == {'"api.executors.attempt.subreaper"', '"api.executors.attempt.supervision"'}
