"""Splits: items move into another dataset."""

from dataclasses import replace

import pytest

from api.datasets.records.split_store import DatasetSplitStore
from api.datasets.service import DatasetService
from api.datasets.versions.splitting import DatasetSplitter, SplitRequest
from api.datasets.views import DatasetSplit
from api.domain.access.principal import LOCAL, Credential, Permission
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.dataset import item_id_of
from api.errors import (
    DatasetExists,
    DatasetIsRegistered,
    DatasetNotFound,
    Invalid,
    ItemNotFound,
    NotYours,
    QuotaExceeded,
)
from tests.unit.datasets.conftest import Shelf

ANN = replace(LOCAL, user_id="ann", credential=Credential.KEY)
BOB = replace(ANN, user_id="bob", permissions=frozenset({Permission.DATASETS_WRITE}))


class OneByte:
    """A quota of one byte."""

    def require_storage(self, owner: str | None, more_bytes: int) -> None:
        if more_bytes > 1:
            raise QuotaExceeded


@pytest.fixture
def splitter(shelf: Shelf) -> DatasetSplitter:
    shelf.make(principal=ANN)
    masked = shelf.item("b.png", b"B" * 100, mask_sha256=shelf.blob(b"mask"), control_sha256=shelf.blob(b"control"))
    shelf.version(shelf.item("a.png"), masked, shelf.item("c.png", excluded=True), shelf.item("5_d/d.png"))
    return of(shelf)


def of(shelf: Shelf) -> DatasetSplitter:
    return DatasetSplitter(shelf.service, shelf.store, DatasetSplitStore(shelf.database), shelf.clock, OneByte())


def split(splitter: DatasetSplitter, *paths: str, into: str = "dogs", **more: object) -> DatasetSplit:
    request = SplitRequest([item_id_of(path) for path in paths], into, **more)
    return splitter.split("cats", request, ANN, dry_run=False)


def items(service: DatasetService, shelf: Shelf, name: str) -> dict[str, object]:
    latest = service.find_version(shelf.store.get(name))
    return {item.path: item for item in service.read_items(latest.manifest_sha256)}


def test_moved_items_keep_captions_masks_and_controls(shelf: Shelf, splitter: DatasetSplitter):
    before = items(shelf.service, shelf, "cats")
    made = split(splitter, "b.png", "c.png")
    assert items(shelf.service, shelf, "dogs") == {path: before[path] for path in ("b.png", "c.png")}
    assert set(items(shelf.service, shelf, "cats")) == {"a.png", "5_d/d.png"}
    assert shelf.store.get("dogs").owner == "ann"
    assert (made.version.excluded, made.into_version.excluded) == (0, 1)


def test_both_versions_have_the_origin_of_the_items(splitter: DatasetSplitter):
    made = split(splitter, "a.png")
    assert made.version.origin == {"edited": 1, "split": 1, "into": "dogs"}
    assert made.into_version.origin == {"split_from": "cats@1"}
    assert (made.version.message, made.into_version.message) == (
        "1 item moved to dogs",
        "1 item from cats, version 1",
    )


def test_repeats_of_directories_are_moved(shelf: Shelf, splitter: DatasetSplitter):
    dataset = shelf.store.get("cats")
    origin = {"upload": "u", "num_repeats": {"5_d": 5, "2_e": 2}}
    there = [*items(shelf.service, shelf, "cats").values(), shelf.item("e.png")]
    shelf.service.add_version(dataset, there, "ann", "upload", expected_latest=1, origin=origin)
    shelf.version(*there[:-1])
    made = split(splitter, "5_d/d.png", "a.png")
    assert made.into_version.origin["num_repeats"] == {"5_d": 5}


def test_bytes_shared_by_datasets_of_one_owner_count_once(shelf: Shelf, splitter: DatasetSplitter):
    before = shelf.store.stored_by()["ann"]
    split(splitter, "b.png")
    manifests = shelf.holds.manifest_bytes(shelf.store.get("cats").serial)
    manifests += shelf.holds.manifest_bytes(shelf.store.get("dogs").serial)
    after = shelf.store.stored_by()["ann"]
    assert 0 < after - before < manifests
    assert shelf.store.get("dogs").stored_bytes > 100
    shelf.store.delete("cats", shelf.clock.now())
    shelf.holds.purge(shelf.clock.now())
    assert shelf.store.stored_by() == {"ann": shelf.store.get("dogs").stored_bytes}


def test_moved_files_are_not_collected_with_their_first_dataset(shelf: Shelf, splitter: DatasetSplitter):
    split(splitter, "b.png")
    shelf.store.delete("cats", shelf.clock.now())
    shelf.holds.purge(shelf.clock.now())
    needed = {shelf.blob(content) for content in (b"B" * 100, b"mask", b"control")}
    assert shelf.holds.needed(sorted(needed)) == needed


def test_split_can_be_undone(shelf: Shelf, splitter: DatasetSplitter):
    before = items(shelf.service, shelf, "cats")
    made = split(splitter, "a.png", "b.png")
    shelf.service.restore("cats", str(made.previous), "ann")
    assert items(shelf.service, shelf, "cats") == before


def test_all_taken_names_are_reported(shelf: Shelf, splitter: DatasetSplitter):
    shelf.make("dogs")
    shelf.version(shelf.item("A.PNG"), shelf.item("b.png"), name="dogs")
    with pytest.raises(Invalid) as rejected:
        split(splitter, "c.png", "b.png", "a.png")
    assert [mistake.pointer for mistake in rejected.value.mistakes] == ["/items/1", "/items/2"]
    assert shelf.store.get("cats").latest == 1


def test_item_below_a_file_is_rejected(shelf: Shelf, splitter: DatasetSplitter):
    shelf.make("dogs")
    shelf.version(shelf.item("5_d"), name="dogs")
    with pytest.raises(Invalid):
        split(splitter, "5_d/d.png")


def test_rejected_split_creates_nothing(shelf: Shelf, splitter: DatasetSplitter):
    for paths, error in ((("x.png",), ItemNotFound), (("a.png", "b.png", "5_d/d.png"), Invalid)):
        with pytest.raises(error):
            split(splitter, *paths)
    with pytest.raises(DatasetNotFound):
        shelf.store.get("dogs")


def test_registered_directory_is_neither_source_nor_target(shelf: Shelf, splitter: DatasetSplitter):
    shelf.make("media", directory="/srv/media")
    with pytest.raises(DatasetIsRegistered):
        split(splitter, "a.png", into="media")
    with pytest.raises(DatasetIsRegistered, match="exclude or remove"):
        splitter.split("media", SplitRequest(["0" * 16], "dogs"), ANN, dry_run=False)


def test_items_move_only_into_own_datasets(shelf: Shelf, splitter: DatasetSplitter):
    shelf.make("dogs", BOB)
    request = SplitRequest([item_id_of("b.png")], "dogs")
    with pytest.raises(NotYours):
        splitter.split("cats", request, replace(BOB, user_id="ann"), dry_run=False)
    # An administrator may move them; then the owner's quota applies.
    with pytest.raises(QuotaExceeded):
        splitter.split("cats", request, ANN, dry_run=False)


def test_hidden_dataset_is_not_written_to(shelf: Shelf, splitter: DatasetSplitter):
    shelf.make("dogs", BOB)
    with seeing(ReadScope("ann", sees_all=False)), pytest.raises(DatasetExists):
        split(splitter, "a.png")
