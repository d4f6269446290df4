import pytest

from api.datasets.items.adding import AddedFile, SideFiles, add, require_distinct_paths
from api.domain.datasets.dataset import ManifestItem
from api.files.archives.limits import BadArchive

NOTHING = SideFiles({}, {}, {})


def test_new_path_adds_an_item():
    total = add([ManifestItem("a.png", "1", 1)], [AddedFile("b.png", "2", 2)], NOTHING)
    assert total.items == (ManifestItem("a.png", "1", 1), ManifestItem("b.png", "2", 2))
    assert (total.added, total.changed) == (("b.png",), ())


def test_new_bytes_under_a_known_path_keep_caption_mask_and_control():
    total = add([ManifestItem("a.png", "1", 1, "cat", "m", "c")], [AddedFile("a.png", "2", 2)], NOTHING)
    assert total.items == (ManifestItem("a.png", "2", 2, "cat", "m", "c"),)
    assert (total.added, total.changed) == ((), ("a.png",))


def test_same_bytes_change_nothing():
    total = add([ManifestItem("a.png", "1", 1, "cat")], [AddedFile("a.png", "1", 1)], NOTHING)
    assert (total.added, total.changed) == ((), ())


def test_side_files_are_added_to_new_and_known_items():
    side = SideFiles({"a": "cat", "b.png": "dog"}, {"a": "m"}, {"b": "c"})
    total = add([ManifestItem("a.png", "1", 1, "old")], [AddedFile("b.png", "2", 2)], side)
    assert total.items == (ManifestItem("a.png", "1", 1, "cat", "m"), ManifestItem("b.png", "2", 2, "dog", None, "c"))
    assert (total.added, total.changed) == (("b.png",), ("a.png",))


def test_caption_by_full_name_wins_over_caption_by_stem():
    total = add([], [AddedFile("a.png", "1", 1)], SideFiles({"a": "stem", "a.png": "name"}, {}, {}))
    assert total.items[0].caption == "name"


@pytest.mark.parametrize(
    ("known", "added", "reason"),
    [
        (["a.png"], ["A.png"], "case"),
        (["\N{LATIN SMALL LETTER E WITH ACUTE}.png"], ["e\N{COMBINING ACUTE ACCENT}.png"], "form of its letters"),
        ([], ["a.png", "A.png"], "case"),
        (["a"], ["a/b.png"], "directory"),
        (["a"], ["x/y.png", "A/b/c.png"], "directory"),
        (["a/b/c.png"], ["a/b"], "directory"),
        ([], ["a/b.png", "a"], "directory"),
    ],
)
def test_colliding_paths_are_rejected(known: list[str], added: list[str], reason: str):
    with pytest.raises(BadArchive, match=reason) as refusal:
        require_distinct_paths(known, added)
    assert refusal.value.entry == added[-1]


def test_similar_but_distinct_paths_are_accepted():
    require_distinct_paths(["a/b.png", "a/c.png", "b", "A.png", "a.PNG"], ["a/d.png", "ab/c.png", "c"])
