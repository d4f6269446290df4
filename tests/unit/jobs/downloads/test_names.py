from pathlib import Path

import pytest

from api.jobs.downloads.request import check_name, path_below, read_count
from api.jobs.errors import JobFailed

HOSTILE = [
    "", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "a\\..\\b", "a\nb", "a\0b", "\u202ea", "~/x",
    "a" * 300, "/".join("a" * 20), ".incoming/x", "a ", "..",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_name_outside_the_directory_is_rejected(name: str):
    with pytest.raises(JobFailed):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["a", "vae/ae.safetensors", "google/umt5-xxl/tokenizer.json", ".gitattributes", "ü.bin"]
)
def test_plain_name_is_accepted(name: str):
    assert check_name(name) == name


def test_symbolic_link_does_not_lead_out(tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JobFailed):
        path_below(tmp_path / "root", "a", "b.txt")
    with pytest.raises(JobFailed):
        path_below(tmp_path / "root", "a", "b", "c.txt")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert path_below(tmp_path / "root", "o/m", "x/y.txt") == tmp_path / "root/o/m/x/y.txt"


@pytest.mark.parametrize(
    ("text", "count"),
    [("7", 7), ("", None), ("-1", None), ("1.5", None), ("²", None), ("٣", None), ("nan", None), ("9" * 19, None)],
)
def test_invalid_count_is_none(text: str, count: int | None):
    assert read_count(text) == count
