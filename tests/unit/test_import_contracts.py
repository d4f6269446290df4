"""The contracts on imports break when somebody breaks them: a fault is planted into a copy of the package."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

FAULTS = {
    "utils/ids.py": ("from api.services.system import SystemService", "Imports go down"),
    "models/gpu.py": ("from api.storage.tasks import TaskStore", "Imports go down"),
    "services/gpus/view.py": (
        "from api.services.training.view import show_details as _",
        "The rooms of the services stand on each other in one order",
    ),
    "executors/attempt/log.py": ("import api.executors.local", "No folder is in a circle with another"),
    "storage/tasks.py": ("import flask", "Flask is known to the app, the routes and their responses only"),
    "routes/gpu.py": (
        "from api.storage.tasks import TaskStore",
        "Routes reach hardware, executors, trainers and storage through services",
    ),
    "services/logs/lines.py": (
        "from api.executors.log_files import LogFiles",
        "Of the executors only the seam is known above them",
    ),
    "services/attempts/watch.py": (
        "def late():\n    from api.executors.local import LocalExecutor",
        "Of the executors only the seam is known above them",
    ),
    "services/gpus/slots.py": ("import pynvml", "NVML is behind the source"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "api", made / "api", ignore=shutil.ignore_patterns("dashboard", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", made)
    return made


def broken(copy: Path) -> list[str]:
    """The names of the contracts that do not hold."""
    told = subprocess.run(
        [LINT, "--no-cache"], cwd=copy, capture_output=True, text=True, check=False, timeout=60
    ).stdout
    assert re.search(r"Contracts: \d+ kept, \d+ broken", told), told
    # Long names are wrapped.
    verdicts = re.findall(r"^(\S.*?) (KEPT|BROKEN)", told.partition("dependencies.")[2], re.DOTALL | re.MULTILINE)
    return [" ".join(name.split()).strip("- ") for name, verdict in verdicts if verdict == "BROKEN"]


def test_every_contract_is_kept(copy: Path):
    assert broken(copy) == []


def test_a_fault_is_known_for_every_contract():
    names = re.findall(
        r'^name = "(.*)"$', (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")[2], re.M
    )
    assert {name for _, name in FAULTS.values()} == set(names)


@pytest.mark.slow
@pytest.mark.parametrize("place", FAULTS)
def test_a_planted_fault_breaks_its_contract(copy: Path, place: str):
    fault, name = FAULTS[place]
    path = copy / "api" / place
    text = path.read_text()
    path.write_text(f"{text}\n\n{fault}\n")
    try:
        assert name in broken(copy)
    finally:
        path.write_text(text)
