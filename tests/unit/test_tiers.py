"""Every test is in exactly one tier, and each tier contains the tests that CONTRIBUTING.md describes."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests import tiers

ROOT = Path(__file__).resolve().parents[2]
LISTED = re.compile(r"^(tests/\S+\.py)::\S+ (quick|slow|long)$", re.MULTILINE)

#: Prints each collected test with its tier.
LIST_TIERS = """
import sys
import pytest
from tests.tiers import tier_of

class Lister:
    def pytest_collection_finish(self, session):
        for item in session.items:
            print(item.nodeid.partition("[")[0], tier_of(item))

sys.exit(pytest.main(sys.argv[1:], plugins=[Lister()]))
"""


@pytest.fixture(scope="module")
def files() -> dict[str, set[str]]:
    """Return the files of the slow folders' tests by tier, as pytest collects them."""
    command = [sys.executable, "-c", LIST_TIERS, "--collect-only", "-qq", "-p", "no:cacheprovider"]
    command += ["tests/e2e", "tests/nvml", "tests/simulation"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100)
    found: dict[str, set[str]] = {tier: set() for tier in tiers.TIERS}
    for file, tier in LISTED.findall(done.stdout):
        found[tier].add(file.rpartition("/")[2])
    return found


def test_each_part_has_a_complete_workflow_in_the_quick_tier(files: dict[str, set[str]]) -> None:
    assert files["quick"] >= {
        "test_access.py",
        "test_downloads.py",
        "test_following.py",
        "test_outcome.py",
        "test_pushes.py",
        "test_reports.py",
        "test_scenario.py",
        "test_survival.py",
        "test_tasks.py",
        "test_toy_trainer.py",
        "test_whole_paths.py",
    }


def test_tests_of_minutes_are_long(files: dict[str, set[str]]) -> None:
    assert files["long"] >= {"test_hour.py", "test_image.py", "test_upgrade.py"}
    assert "test_upgrade.py" not in files["slow"]


@dataclass
class Item:
    """What `tier_of` reads of a test."""

    nodeid: str
    marks: tuple[str, ...] = ()

    def iter_markers(self) -> list[pytest.Mark]:
        return [getattr(pytest.mark, name).mark for name in self.marks]


@pytest.mark.parametrize(
    ("item", "tier"),
    [
        (Item("tests/unit/test_x.py::test_x"), "quick"),
        (Item("tests/e2e/test_x.py::test_x"), "slow"),
        (Item("tests/e2e/test_x.py::test_x", ("quick",)), "quick"),
        (Item("tests/unit/test_x.py::test_x", ("timeout", "slow")), "slow"),
        (Item("tests/e2e/test_x.py::test_x", ("long", "slow")), "long"),
    ],
)
def test_closest_marker_names_the_tier_else_the_folder(item: Item, tier: str) -> None:
    assert tiers.tier_of(cast(pytest.Item, item)) == tier


def test_quick_test_may_not_start_what_only_the_slow_tier_needs(request: pytest.FixtureRequest) -> None:
    assert tiers.tier_of(request.node) == "quick"
    tiers.check_program("redis-server")
    with pytest.raises(pytest.fail.Exception, match="needs nginx: mark it slow"):
        tiers.check_program("nginx")
