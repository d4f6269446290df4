"""Machines, daemons and the network fail under trainings on a cluster, each in its own network.

No training is lost, none runs twice, and each ends with its steps in order.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lengths import IN_FULL, length
from tests.netns_machines import in_a_network_of_its_own, require_namespaces
from tests.slurm_cluster import require_slurm

ROOT = Path(__file__).parents[3]

#: The scenarios: command-line arguments by name. They play the executor alone, or the whole service.
SHORT = {
    "partition": ("--fault", "partition"),
    "service: head": ("--service", "--fault", "head", "--steps", "60"),
}
ALONE = {
    fault: ("--fault", fault) for fault in ("machine", "node daemon", "controller", "both controllers", "slurmrestd")
} | {
    f"service: {fault}": ("--service", "--fault", fault)
    for fault in ("machine", "partition", "node", "controller", "slurmrestd", "database", "redis")
}
#: 304 faults at the executor, and 80 at the service.
PAIRS = {f"pairs of seed {seed}": ("--pairs", "38", "--seed", str(seed), "--steps", "300") for seed in (1, 2, 3, 4)} | {
    f"service: pairs of seed {seed}": ("--service", "--pairs", "20", "--seed", str(seed)) for seed in (11, 12)
}

PLAYS = {**SHORT, **(ALONE | PAIRS if IN_FULL else {})}

pytestmark = pytest.mark.timeout(length(7200, 240))


@pytest.fixture(scope="module")
def plays(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """Play the selected scenarios at the same time, as most of it is waiting."""
    require_namespaces()
    require_slurm()
    asked = [name for name in PLAYS if any(f"[{name}]" in item.nodeid for item in request.session.items)]
    # Not a directory of pytest's, which Slurm's user cannot read.
    with ThreadPoolExecutor(4) as pool:
        yield {name: pool.submit(play, PLAYS[name]) for name in asked}


def play(arguments: tuple[str, ...]) -> dict[str, Any]:
    command = in_a_network_of_its_own(["-m", "tests.netns_play", *arguments])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=7000, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    seen["said"] = done.stderr[-4000:]
    return seen


@pytest.mark.parametrize("name", PLAYS)
def test_trainings_end_once_and_in_order(name: str, plays: dict[str, Future[dict[str, Any]]]) -> None:
    seen = plays[name].result()
    assert seen["violations"] == [], seen
    assert seen["is_done"], seen["said"]
    assert seen["struck"] == len(seen["faults"])
    assert seen["trainings"] >= 4
    assert seen["looks"] > 20
