"""Many claimants in two processes and eight GPUs: no GPU ever has two holders.

CLAIM_ROUNDS=1000 makes it a long run: each claimant then claims a thousand times. `-s` prints its figures.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.training.records.attempt_store import AttemptStore
from api.util.clock import SystemClock
from tests.databases import BACKENDS, fresh_postgres
from tests.e2e.claimants import CLAIMANTS, GPUS, Tally, Witness

#: Claims by each claimant.
ROUNDS = int(os.environ.get("CLAIM_ROUNDS", "60"))

PROCESSES = 2

#: Seconds that a claim and its work may take on a slow machine, over all claimants.
SECONDS_A_ROUND = 2


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database with tables."""
    if request.param == "postgresql":
        with fresh_postgres() as fresh:
            yield _migrated(fresh)
    else:
        yield _migrated(sqlite_url(tmp_path / "database.sqlite"))


def _migrated(url: str) -> str:
    database = Database(url)
    database.migrate()
    database.close()
    return url


def claim_immediately(url: str, directory: Path) -> list[Tally]:
    """Return the tally of each process; all begin when all are ready."""
    command = [sys.executable, "-m", "tests.e2e.claimants", url, str(directory)]
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen([*command, f"p{number}", str(ROUNDS)], stdin=pipe, stdout=pipe, text=True)
        for number in range(PROCESSES)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        said = [process.communicate(timeout=60 + ROUNDS * SECONDS_A_ROUND)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [Tally(**json.loads(text)) for text in said]


@pytest.mark.timeout(120 + ROUNDS * SECONDS_A_ROUND)
def test_no_gpu_ever_has_two_holders(url: str, tmp_path: Path):
    tallies = claim_immediately(url, tmp_path)
    errors = sum((Counter(tally.errors) for tally in tallies), Counter())
    claimed, refused = sum(tally.claimed for tally in tallies), sum(tally.refused for tally in tallies)
    seconds = max(tally.seconds for tally in tallies)
    sys.stdout.write(f"{claimed} claimed, {refused} refused, {errors.total()} errors {dict(errors)}, {seconds:.1f} s\n")
    assert [double for tally in tallies for double in tally.doubles] == []
    assert claimed + refused <= PROCESSES * CLAIMANTS * ROUNDS
    assert claimed > GPUS
    assert refused > GPUS
    # A database with more clients than it can serve may refuse; no other error is allowed.
    others = [error for error in errors if not error.startswith("DatabaseUnavailable: ") or "deadlock" in error]
    assert others == []
    assert still_held(url) == []


def still_held(url: str) -> list[str]:
    """Return the leases that are left after all releases."""
    database = Database(url)
    leases = [lease.resource for lease in AttemptStore(database).leases()]
    programs = [task.task_id for task in DatabaseRegistrations(database, "node", SystemClock()).list()]
    database.close()
    return [*leases, *programs]


def test_witness_sees_two_holders(tmp_path: Path):
    witness = Witness(tmp_path)
    assert witness.use([0, 1], 0.0) == []
    with (tmp_path / "GPU-1").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert witness.use([0, 1, 2], 0.0) == ["GPU-1"]
