import os
from pathlib import Path
from unittest.mock import patch

import pytest

from api.util.files.reached_paths import UnknownTarget, open_directory, reach


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = Path(os.path.realpath(tmp_path))
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "file").write_text("")
    (root / "up").symlink_to("a/b")
    (root / "away").symlink_to(root / "up")
    (root / "a" / "loop").symlink_to("loop")
    return root


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a/b/file", "a/b/file"),
        ("./a//b/./file", "a/b/file"),
        ("up/file", "a/b/file"),
        ("away/../b/file", "a/b/file"),
        ("a/b/../../a/b", "a/b"),
        ("missing/../a", "a"),
        ("up/missing", "a/b/missing"),
        ("~/x", "~/x"),
    ],
)
def test_path_is_resolved_as_the_kernel_does(tree: Path, text: str, place: str):
    assert reach(text, str(tree)) == reach(f"{tree}/{text}") == str(tree / place)


def test_links_are_followed_before_dots_are(tree: Path):
    assert reach("up/../b", str(tree)) == os.path.realpath(f"{tree}/up/../b") == str(tree / "a" / "b")
    assert reach("/../..") == "/"


@pytest.mark.parametrize("text", ["", "a\0b", "\ud800", "x" * 4096, "a/loop", "relative"])
def test_path_that_no_process_can_open_has_no_target(tree: Path, text: str):
    assert reach(text, None if text == "relative" else str(tree)) is None


@pytest.mark.parametrize("text", ["/proc/self/cwd", "/dev/fd/3", "/sys/kernel", "/proc"])
def test_target_that_differs_between_processes_is_unknown(text: str):
    with pytest.raises(UnknownTarget):
        reach(text)


def test_target_behind_an_inaccessible_directory_is_unknown(tree: Path):
    with patch.object(os, "readlink", side_effect=PermissionError(13, "closed")), pytest.raises(UnknownTarget):
        reach("a/b", str(tree))


def test_at_most_forty_links_are_followed(tree: Path):
    for number in range(41):
        (tree / f"l{number}").symlink_to(f"l{number - 1}" if number else "a")
    assert (reach("l39", str(tree)), reach("l40", str(tree))) == (str(tree / "a"), None)


def test_directory_is_not_opened_through_a_link_that_replaced_a_part(tree: Path):
    handle = open_directory(str(tree / "a" / "b"))
    assert os.listdir(handle) == ["file"]
    os.close(handle)
    (tree / "a").rename(tree / "moved")
    (tree / "a").symlink_to("moved")
    with pytest.raises(OSError, match="Not a directory"):
        open_directory(str(tree / "a" / "b"))
