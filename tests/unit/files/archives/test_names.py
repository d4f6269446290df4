import pytest

from api.files.archives.limits import BadArchive
from api.files.archives.names import EntryNames, is_litter, shown


def refusal(*names: str) -> str:
    taken = EntryNames(depth=3)
    *before, last = names
    for name in before:
        taken.take(name, name.endswith("/"))
    with pytest.raises(BadArchive) as refused:
        taken.take(last, last.endswith("/"))
    return refused.value.reason


@pytest.mark.parametrize("name", ["a.png", "a/b/c/d.png", "1_cat/ü.jpg", "猫/a b.txt", "a..b", "...a"])
def test_a_name_below_a_directory_is_taken_as_it_is(name: str):
    assert EntryNames(depth=3).take(name, is_directory=False) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "absolute"),
        ("a\\b", "backslash"),
        ("C:x", "drive"),
        ("../x", ".."),
        ("a/./b", "."),
        ("a//b", "empty part"),
        ("", "empty"),
        ("x" * 1025, "1,024"),
        ("é" * 128, "255 bytes"),
        ("a/b/c/d/e", "3 directories"),
        ("a\x1b[2J", "control"),
        ("a\ud800", "none of Unicode"),
        ("a\u202egpj.exe", "control"),
        ("nul.txt", "Windows"),
        ("a./b", "dot or space"),
    ],
)
def test_a_name_that_leads_elsewhere_or_is_none_everywhere_is_refused(name: str, reason: str):
    assert reason in refusal(name)


@pytest.mark.parametrize("pair", [("a/B.png", "a/b.png"), ("A/x", "a/y"), ("é", "e\u0301"), ("ﬁ", "fi"), ("ß", "SS")])
def test_two_names_that_are_one_file_on_some_systems_are_refused(pair: tuple[str, str]):
    assert "only in case" in refusal(*pair)


def test_the_same_name_twice_is_refused():
    assert "twice" in refusal("a/b", "a/b")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a", "a/")])
def test_a_file_is_no_directory_as_well(names: tuple[str, ...]):
    assert refusal(*names)


def test_directories_may_be_named_and_named_again():
    names = EntryNames(depth=3)
    assert [names.take(name, is_directory=True) for name in ("a/", "a/b/", "a/")] == ["a", "a/b", "a"]


def test_what_systems_leave_behind_is_litter():
    assert all(map(is_litter, ["__MACOSX/a/._x.png", ".git/config", "a/.DS_Store", "Thumbs.db"]))
    assert not is_litter("a/b.png")


def test_a_name_is_shown_without_what_steers_a_terminal():
    assert shown("a\x1b[2J\ud800") == "a�[2J�"
    assert len(shown("x" * 5000)) == 201
