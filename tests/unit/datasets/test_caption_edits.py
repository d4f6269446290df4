import time
import tracemalloc
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from api.datasets.caption_edits import CaptionEditRequest, apply_edit
from api.db.dataset_tables import dataset_items, dataset_pins
from api.domain.datasets.dataset import ItemFilter, ManifestItem, PinnedDataset, item_id_of
from api.errors import (
    DatasetChanged,
    DatasetIsRegistered,
    Invalid,
    InvalidPattern,
    ItemNotFound,
    VersionNotFound,
)
from api.files.blob_writer import GZIP
from api.training.records.task_store import pin_datasets
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.kill_points import collector

A, B, NONE = (item_id_of(name) for name in ("a.png", "b.png", "none.png"))


@pytest.fixture
def cats(shelf: Shelf) -> Shelf:
    """Two items with captions, and one without."""
    shelf.make()
    shelf.version(
        shelf.item("a.png", caption="a photo of a cat"),
        shelf.item("b.png", caption="cat, 2 cats"),
        shelf.item("none.png", caption=None),
    )
    return shelf


def captions(shelf: Shelf, version: str | None = None) -> list[str | None]:
    return [item.caption for item in shelf.items.get_page("cats", version, ItemFilter(), PageRequest()).rows]


def edit(shelf: Shelf, dry_run: bool = False, **fields: Any) -> Any:
    return shelf.captions.edit("cats", CaptionEditRequest(**fields), "ann", dry_run=dry_run)


def test_captions_of_some_items_change_in_a_new_version(cats: Shelf):
    done = edit(cats, changes={A: "tabby", NONE: "found"})
    assert (done.changed, done.version.version) == (2, 2)
    assert captions(cats) == ["tabby", "cat, 2 cats", "found"]
    assert captions(cats, "1") == ["a photo of a cat", "cat, 2 cats", None]


def test_only_the_newest_of_many_edits_has_rows(cats: Shelf):
    captions(cats)
    for number in range(5):
        edit(cats, changes={A: f"tabby {number}"})
    with cats.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(dataset_items)) == 3
    assert captions(cats, "3")[0] == "tabby 1"
    assert captions(cats)[0] == "tabby 4"


def test_reader_of_an_old_version_sees_it_during_an_edit(cats: Shelf, monkeypatch: pytest.MonkeyPatch):
    captions(cats)
    real, left = cats.service.index, [None]

    def index(manifest_sha256: str) -> int:
        serial = real(manifest_sha256)
        if left:
            left.pop()
            edit(cats, changes={A: "tabby"})
        return serial

    monkeypatch.setattr(cats.service, "index", index)
    assert captions(cats, "1")[0] == "a photo of a cat"
    assert captions(cats)[0] == "tabby"


def test_large_edit_creates_its_own_rows(cats: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.datasets.service.MOST_MOVED", 1)
    edit(cats, changes={A: "tabby", NONE: "found"})
    assert captions(cats) == ["tabby", "cat, 2 cats", "found"]


def test_caption_can_be_removed(cats: Shelf):
    edit(cats, changes={A: None})
    assert captions(cats)[0] is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"prefix": "ohwx, "}, ["ohwx, a photo of a cat", "ohwx, cat, 2 cats", None]),
        ({"prefix": "cat"}, ["cata photo of a cat", "cat, 2 cats", None]),
        ({"suffix": "cats"}, ["a photo of a catcats", "cat, 2 cats", None]),
        ({"replace_from": "cat", "replace_to": "dog"}, ["a photo of a dog", "dog, 2 dogs", None]),
        (
            {"replace_from": r"(\d) (cat)", "replace_to": r"\2×\1", "is_regex": True},
            ["a photo of a cat", "cat, cat×2s", None],
        ),
        ({"replace_from": "a photo of ", "prefix": "ohwx "}, ["ohwx a cat", "ohwx cat, 2 cats", None]),
        ({"prefix": "x ", "search": "PHOTO"}, ["x a photo of a cat", "cat, 2 cats", None]),
        ({"prefix": "x ", "item_ids": frozenset({B})}, ["a photo of a cat", "x cat, 2 cats", None]),
    ],
)
def test_edit_of_many_changes_the_selected_items(cats: Shelf, fields: dict[str, Any], expected: list[str | None]):
    edit(cats, **fields)
    assert captions(cats) == expected


def test_repeated_edit_changes_nothing(cats: Shelf):
    edit(cats, prefix="ohwx, ", suffix=".")
    again = edit(cats, prefix="ohwx, ", suffix=".")
    assert (again.changed, again.version) == (0, None)


def test_dry_run_shows_differences_and_makes_no_version(cats: Shelf):
    result = edit(cats, dry_run=True, replace_from="cat", replace_to="dog")
    assert [(each.name, each.before, each.after) for each in result.differences] == [
        ("a.png", "a photo of a cat", "a photo of a dog"),
        ("b.png", "cat, 2 cats", "dog, 2 dogs"),
    ]
    assert (result.changed, result.version, cats.store.get("cats").latest) == (2, None, 1)


def test_edit_for_another_version_is_rejected(cats: Shelf):
    edit(cats, changes={A: "tabby"})
    with pytest.raises(DatasetChanged, match="is 2, not 1"):
        edit(cats, changes={B: "x"}, expected_version=1)


@pytest.mark.parametrize("fields", [{"changes": {"0" * 16: "x"}}, {"prefix": "x", "item_ids": frozenset({"0" * 16})}])
def test_unknown_item_is_reported_and_nothing_changes(cats: Shelf, fields: dict[str, Any]):
    with pytest.raises(ItemNotFound, match="0000"):
        edit(cats, **fields)
    assert cats.store.get("cats").latest == 1


@pytest.mark.parametrize(("sought", "put"), [("(", ""), ("a", r"\9"), ("(?=x)", ""), ("a{5000}{5000}", "")])
def test_pattern_that_re2_rejects_is_reported(cats: Shelf, sought: str, put: str):
    with pytest.raises(InvalidPattern, match=r"RE2|group"):
        edit(cats, replace_from=sought, replace_to=put, is_regex=True)


def test_captions_do_not_exceed_their_maximum_length(cats: Shelf):
    with pytest.raises(Invalid) as rejected:
        edit(cats, replace_from="", replace_to="", prefix="x" * 20_000)
    assert [mistake.message.split(" would")[0] for mistake in rejected.value.mistakes] == [
        "The caption of a.png",
        "The caption of b.png",
    ]


def test_captions_of_a_registered_directory_cannot_be_edited(cats: Shelf):
    cats.make("dir", directory="/srv/media")
    with pytest.raises(DatasetIsRegistered, match="/srv/media"):
        cats.captions.edit("dir", CaptionEditRequest(prefix="x"), "ann", dry_run=True)


def test_hostile_pattern_is_as_fast_as_a_plain_one():
    items = [ManifestItem("a.png", "0" * 64, 1, "a" * 20_000)]
    began = time.process_time()
    apply_edit(items, CaptionEditRequest(replace_from="(a+)+$x", replace_to="", is_regex=True))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "fields",
    [
        {"replace_from": "a", "replace_to": "b" * 20_000},
        {"replace_from": "a*", "replace_to": "b" * 20_000, "is_regex": True},
        {"replace_from": "(a*)", "replace_to": r"\1" * 900, "is_regex": True},
    ],
)
def test_exploding_captions_are_rejected_before_they_are_built(fields: dict[str, Any]):
    items = [ManifestItem(f"{number}.png", "0" * 64, 1, "a" * 20_000) for number in range(300)]
    tracemalloc.start()
    with pytest.raises(Invalid) as rejected:
        apply_edit(items, CaptionEditRequest(**fields))
    assert tracemalloc.get_traced_memory()[1] < 50 * 2**20
    tracemalloc.stop()
    assert len(rejected.value.mistakes) == 201


def test_items_without_a_caption_are_captioned_together(cats: Shelf):
    edit(cats, changes={B: "  "})
    done = edit(cats, caption="a tabby", only_missing=True, prefix="ohwx, ")
    assert (done.changed, done.version.message) == (2, "2 captions changed")
    assert captions(cats) == ["a photo of a cat", "ohwx, a tabby", "ohwx, a tabby"]
    assert edit(cats, caption="a tabby", only_missing=True).changed == 0


def test_all_selected_items_get_the_same_caption(cats: Shelf):
    done = edit(cats, caption="a tabby", item_ids=frozenset({A, NONE}))
    assert done.version.message == "2 captions changed: same for all"
    assert captions(cats) == ["a tabby", "cat, 2 cats", "a tabby"]


# -- consecutive edits -------------------------------------------------------------------------------------------------


def listed(shelf: Shelf) -> list[int]:
    return [version.version for version in shelf.service.get_versions("cats", PageRequest()).rows]


def test_consecutive_edits_by_one_user_become_one_version(cats: Shelf):
    for number in range(4):
        cats.clock.advance(60)
        made = edit(cats, changes={A: f"tabby {number}"}).version
    edit(cats, changes={B: "two"})
    assert (listed(cats), made.version) == ([6, 1], 5)
    newest = cats.service.get_version("cats", "latest")
    assert (newest.message, newest.origin) == ("2 captions changed", {"edited": 1, "captions": 2})
    assert captions(cats) == ["tabby 3", "two", None]


def test_each_consecutive_edit_can_be_undone(cats: Shelf):
    edit(cats, changes={A: "one"})
    edit(cats, changes={A: "two"})
    cats.service.restore("cats", "2", "ann")
    assert captions(cats) == ["one", "cat, 2 cats", None]
    assert listed(cats) == [4, 3, 2, 1]  # the version that 4 restored is listed again
    collector(cats).collect(0)
    cats.clock.advance(7200)
    collector(cats).collect(0)
    assert captions(cats, "2") == captions(cats, "4")


@pytest.mark.parametrize("seconds", [601, -1, -86_400, 366 * 86_400])
def test_edit_after_minutes_or_a_clock_jump_is_a_separate_version(cats: Shelf, seconds: int):
    edit(cats, changes={A: "one"})
    cats.clock.advance(seconds)
    edit(cats, changes={A: "two"})
    assert listed(cats) == [3, 2, 1]


def test_edits_by_others_or_with_a_message_are_separate_versions(cats: Shelf):
    edit(cats, changes={A: "one"})
    cats.captions.edit("cats", CaptionEditRequest(changes={A: "two"}), "bob", dry_run=False)
    edit(cats, changes={A: "three"}, message="the final captions")
    edit(cats, changes={A: "four"})
    assert listed(cats) == [5, 4, 3, 2, 1]


def test_version_used_by_a_task_is_not_superseded(cats: Shelf):
    made = edit(cats, changes={A: "one"}).version
    serial = cats.store.get("cats").serial
    with cats.database.write(is_audited=False) as connection:
        pin_datasets(connection, "t1", [PinnedDataset("cats", made.version, made.manifest, 3, serial)])
        connection.execute(delete(dataset_pins))  # not even after the task was deleted
    edit(cats, changes={A: "two"})
    assert listed(cats) == [3, 2, 1]


def test_superseded_version_that_a_task_pins_is_kept(cats: Shelf):
    made = edit(cats, changes={A: "one"}).version
    edit(cats, changes={A: "two"})
    assert listed(cats) == [3, 1]
    with cats.database.write(is_audited=False) as connection:
        serial = cats.store.get("cats").serial
        pin_datasets(connection, "t1", [PinnedDataset("cats", made.version, made.manifest, 3, serial)])
    assert listed(cats) == [3, 2, 1]


def test_superseded_versions_are_removed_with_their_manifests_after_an_hour(cats: Shelf):
    before = cats.store.get("cats").stored_bytes
    for number in range(20):
        edit(cats, changes={A: f"tabby {number}"})
    passes = collector(cats)
    passes.collect(0)
    assert cats.service.get_version("cats", "5").version == 5
    cats.clock.advance(3601)
    cats.clock.steady.now()
    for _ in range(3):
        passes.collect(0)
    with pytest.raises(VersionNotFound):
        cats.service.get_version("cats", "5")
    newest = cats.service.get_version("cats", "latest").manifest.removeprefix("sha256:")
    assert cats.store.get("cats").stored_bytes == before + cats.blobs.path(newest).stat().st_size
    manifests = [path for path in cats.blobs.root.rglob("*") if path.is_file() and path.read_bytes().startswith(GZIP)]
    assert len(manifests) == 2
    assert captions(cats) == ["tabby 19", "cat, 2 cats", None]


def test_edit_back_to_a_superseded_version_keeps_its_items(cats: Shelf):
    for caption in ("one", "two", "one"):
        edit(cats, changes={A: caption})
    cats.clock.advance(3601)
    for _ in range(3):
        collector(cats).collect(0)
    assert captions(cats) == ["one", "cat, 2 cats", None]
