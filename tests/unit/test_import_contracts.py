"""The import contracts detect violations, which the tests plant into a copy of the package."""

import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

IMPORTED = re.compile(r"""(?:from|import|import\()\s*["'](\.[^"']+)["']""")

DOWN = "Packages depend on those below them"

FAULTS = {
    "util/text/ids.py": ("from api.system.service import SystemService", DOWN),
    "gpus/views.py": ("from api.training.view_builders import show_details as _", DOWN),
    "executors/attempt/log.py": ("import api.executors.local", "No package imports itself through another"),
    "db/leases.py": ("import flask", "Flask is imported by the app, the web package and routes only"),
    "gpus/routes.py": ("from api.gpus.sharing.registration_store import X", "Routes call services, not stores"),
    "logs/lines.py": (
        "from api.executors.log_files import LogFiles",
        "The packages above the executors use their interface only",
    ),
    "gpus/gpu_reader.py": ("import pynvml", "NVML is used by the GPU source only"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "api", made / "api", ignore=shutil.ignore_patterns("dashboard", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", made)
    return made


def broken(copy: Path) -> list[str]:
    """Return the names of the broken contracts."""
    result = subprocess.run(
        [LINT, "--no-cache"], cwd=copy, capture_output=True, text=True, check=False, timeout=60
    ).stdout
    assert re.search(r"Contracts: \d+ kept, \d+ broken", result), result
    # Long names are wrapped.
    verdicts = re.findall(r"^(\S.*?) (KEPT|BROKEN)", result.partition("dependencies.")[2], re.DOTALL | re.MULTILINE)
    return [" ".join(name.split()).strip("- ") for name, verdict in verdicts if verdict == "BROKEN"]


def test_every_contract_is_kept(copy: Path):
    assert broken(copy) == []


def test_every_contract_has_a_planted_violation():
    names = re.findall(
        r'^name = "(.*)"$', (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2], re.M
    )
    assert {name for _, name in FAULTS.values()} == set(names)


def test_contract_names_all_routes_and_stores():
    contract = (
        (ROOT / "pyproject.toml").read_text().partition('"Routes call services, not stores"')[2].partition("[[")[0]
    )
    named = re.findall(r'"(api\.[\w.*]+)"', contract)
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "api").rglob("*.py")]
    there = [module for module in modules if re.search(r"(?:_|\.)(?:routes|store)$", module)]
    unnamed = [module for module in there if not any(fnmatch(module, name) for name in _with_packages(named))]
    assert unnamed == []


def _with_packages(names: list[str]) -> list[str]:
    """Return patterns of the modules and the packages' modules; `**` of the contract is any number of packages."""
    patterns = [name.replace("**", "*") for name in names]
    return [*patterns, *(f"{pattern}.*" for pattern in patterns)]


def test_no_module_imports_itself_through_others():
    graph = grimp.build_graph("api", exclude_type_checking_imports=True)
    TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules}).prepare()


def test_no_script_of_the_page_imports_itself_through_others():
    page = ROOT / "api" / "dashboard"
    graph = {
        path: [(path.parent / name).resolve() for name in IMPORTED.findall(_without_comments(path.read_text()))]
        for directory in ("app", "ui", "screens")
        for path in (page / directory).rglob("*.js")
    }
    assert sum(map(len, graph.values())) > 500
    TopologicalSorter(graph).prepare()


def _without_comments(script: str) -> str:
    return re.sub(r"/\*[\s\S]*?\*/|^\s*//.*$", "", script, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("place", FAULTS)
def test_planted_violation_breaks_its_contract(copy: Path, place: str):
    fault, name = FAULTS[place]
    path = copy / "api" / place
    text = path.read_text()
    path.write_text(f"{text}\n\n{fault}\n")
    try:
        assert name in broken(copy)
    finally:
        path.write_text(text)
