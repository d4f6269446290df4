"""What the import checker cannot see of the layers."""

import ast
import re
from pathlib import Path

import pytest

API = Path(__file__).parents[2] / "api"

#: What stands above the executor's seam.
ABOVE = [path for room in ("services", "live", "routes", "runtime") for path in (API / room).rglob("*.py")]


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


def _list_lazy_imports(path: Path) -> dict[int, str]:
    """The line of each import within a function, and the comment before it."""
    text = path.read_text(encoding="utf-8")
    lines, found = text.splitlines(), {}
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    first = node.lineno - 1
                    while lines[first - 1].strip().startswith(("import ", "from ")):
                        first -= 1
                    found[node.lineno] = lines[first - 1].strip()
    return found


def test_what_is_imported_late_says_how_many_megabytes_that_spares():
    late = {path.relative_to(API): _list_lazy_imports(path) for path in API.rglob("*.py")}
    told = [(path, line, said) for path, lines in late.items() for line, said in lines.items()]
    assert len(told) > 5
    assert [each for each in told if not re.fullmatch(r"# .* [\d.]+ MB\.", each[2])] == []


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


def test_services_know_nothing_of_how_answers_are_compressed_or_compared():
    of_http = re.compile(r"\b(etag|gzip|zlib|304|if.none.match|content.encoding)\b", re.IGNORECASE)
    services = (API / "services").rglob("*.py")
    assert [path for path in services if of_http.search(path.read_text(encoding="utf-8"))] == []


def test_what_does_not_change_is_frozen_without_being_compiled_at_each_start():
    # `api/errors` lies below `api/utils`, and has one.
    files = [path for path in API.rglob("*.py") if path.parent.name != "errors"]
    dear = [path.relative_to(API) for path in files if "@dataclass(frozen=True" in path.read_text(encoding="utf-8")]
    assert dear == [], "write @frozen (api/utils/frozen.py)"
