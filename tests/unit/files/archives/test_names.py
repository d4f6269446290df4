import pytest

from api.files.archives.limits import BadArchive
from api.files.archives.names import EntryNames, is_litter, shown


def rejection(*names: str) -> str:
    taken = EntryNames(depth=3)
    *before, last = names
    for name in before:
        taken.add(name, name.endswith("/"))
    with pytest.raises(BadArchive) as rejected:
        taken.add(last, last.endswith("/"))
    return rejected.value.reason


@pytest.mark.parametrize("name", ["a.png", "a/b/c/d.png", "1_cat/ü.jpg", "猫/a b.txt", "a..b", "...a"])
def test_valid_name_is_unchanged(name: str):
    assert EntryNames(depth=3).add(name, is_directory=False) == name


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
        ("a\ud800", "invalid Unicode"),
        ("a\u202egpj.exe", "control"),
        ("nul.txt", "Windows"),
        ("a./b", "dot or space"),
    ],
)
def test_unsafe_or_unportable_name_is_rejected(name: str, reason: str):
    assert reason in rejection(name)


@pytest.mark.parametrize("pair", [("a/B.png", "a/b.png"), ("A/x", "a/y"), ("é", "e\u0301"), ("ﬁ", "fi"), ("ß", "SS")])
def test_names_that_collide_on_some_systems_are_rejected(pair: tuple[str, str]):
    assert "only in case" in rejection(*pair)


def test_duplicate_name_is_rejected():
    assert "twice" in rejection("a/b", "a/b")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a", "a/")])
def test_file_cannot_be_a_directory_too(names: tuple[str, ...]):
    assert rejection(*names)


def test_directories_may_be_repeated():
    names = EntryNames(depth=3)
    assert [names.add(name, is_directory=True) for name in ("a/", "a/b/", "a/")] == ["a", "a/b", "a"]


def test_system_files_are_litter():
    assert all(map(is_litter, ["__MACOSX/a/._x.png", ".git/config", "a/.DS_Store", "Thumbs.db"]))
    assert not is_litter("a/b.png")


def test_shown_name_has_no_control_characters():
    assert shown("a\x1b[2J\ud800") == "a�[2J�"
    assert len(shown("x" * 5000)) == 201
