"""What is released says the same of itself everywhere."""

import pytest

from api import __version__
from tools.release import ROOT, Unfit, check_changelog, version

CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.0 — 2026-11-25\n\n- It is.\n\n## 1.1.0 — 2026-10-01\n"


def test_newest_version_in_the_changelog_is_the_one_that_the_service_tells():
    assert version() == __version__
    check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)


def test_version_that_is_the_newest_in_the_changelog_is_released():
    check_changelog(CHANGELOG, "1.2.0")


@pytest.mark.parametrize("wanted", ["1.1.0", "1.3.0"])
def test_version_that_is_not_the_newest_in_the_changelog_is_not_released(wanted: str):
    with pytest.raises(Unfit, match=rf"says {wanted}; the newest version in CHANGELOG\.md is 1\.2\.0"):
        check_changelog(CHANGELOG, wanted)


def test_nothing_is_released_of_a_changelog_without_a_version():
    with pytest.raises(Unfit, match="none"):
        check_changelog("# Changelog\n\n## Unreleased\n", "1.0.0")
