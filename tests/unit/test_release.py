"""A release has one version number everywhere."""

import re
import subprocess
from pathlib import Path

import pytest

from api import __version__
from api.config import read_config
from tools.release import ROOT, Unfit, check_changelog, check_repository, version

IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")

CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.0 — 2026-11-25\n\n- It is.\n\n## 1.1.0 — 2026-10-01\n"


def test_newest_version_in_the_changelog_is_that_of_the_service():
    assert version() == __version__
    check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)


def test_newest_version_in_the_changelog_can_be_released():
    check_changelog(CHANGELOG, "1.2.0")


@pytest.mark.parametrize("wanted", ["1.1.0", "1.3.0"])
def test_other_version_cannot_be_released(wanted: str):
    with pytest.raises(Unfit, match=rf"says {wanted}; the newest version in CHANGELOG\.md is 1\.2\.0"):
        check_changelog(CHANGELOG, wanted)


def test_changelog_without_a_version_cannot_be_released():
    with pytest.raises(Unfit, match="none"):
        check_changelog("# Changelog\n\n## Unreleased\n", "1.0.0")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one committed file."""
    for command in ("init", "add", "commit"):
        (tmp_path / "a").write_text("a")
        what = {"init": ["--quiet"], "add": ["a"], "commit": ["--quiet", "--message", "a"]}[command]
        subprocess.run(["git", "-C", tmp_path, *IDENTITY, command, *what], check=True)
    return tmp_path


def test_committed_tree_without_the_tag_can_be_released(repository: Path):
    check_repository(repository, "1.2.0")


def test_change_that_is_not_committed_prevents_a_release(repository: Path):
    (repository / "a").write_text("b")
    with pytest.raises(Unfit, match="not committed"):
        check_repository(repository, "1.2.0")


def test_version_that_has_a_tag_is_not_released_again(repository: Path):
    subprocess.run(["git", "-C", repository, "tag", "v1.2.0"], check=True)
    with pytest.raises(Unfit, match=r"the tag v1\.2\.0 exists"):
        check_repository(repository, "1.2.0")


def test_command_prints_the_version_and_its_parts_are_numbers(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        read_config({}, ["--version"], None)
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{__version__}\n")
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_earlier_release_has_its_description_in_the_tests():
    """The newest release before this one, or this one."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    releases = re.findall(r"^## (\d\S*) — ", text, re.MULTILINE)[:2]
    stored = {path.name for path in (ROOT / "tests" / "clients" / "released").iterdir()}
    assert stored & {f"{each}.json.xz" for each in releases}
