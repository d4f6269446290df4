import hashlib
import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from api.datasets.service import DatasetService
from api.db.tables import servers
from api.domain.dataset import MAX_CAPTION, ManifestItem
from api.domain.sight import Sight, seeing
from api.errors import (
    BlobMissing,
    DatasetChanged,
    DatasetExists,
    DatasetNotFound,
    HiddenDataset,
    Invalid,
    QuotaExceeded,
    VersionNotFound,
)
from api.files.blob_writer import GZIP
from api.nodes.server_models import KeptServer
from api.nodes.server_store import ServerStore
from api.util.clock import Mark, SteadyMark
from api.util.pagination import PageRequest
from tests.unit.datasets.conftest import ANN, Shelf


def test_a_dataset_is_made_empty(shelf: Shelf):
    shelf.service.create("cats", ANN, {"description": "tabby", "tags": ["animals"]})
    found = shelf.service.get("cats")
    assert (found.dataset.name, found.dataset.tags, found.latest_version) == ("cats", ("animals",), None)


def test_a_name_is_given_once(shelf: Shelf):
    shelf.make()
    with pytest.raises(DatasetExists, match="cats"):
        shelf.make()


def test_versions_are_numbered_and_never_change(shelf: Shelf):
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    second = shelf.version(shelf.item("a.png"), shelf.item("b.png"))
    assert (first.ordinal, second.ordinal, second.items) == (1, 2, 2)
    assert [item.path for item in shelf.service.read_items(first.manifest_sha256)] == ["a.png"]


def test_the_same_items_make_the_same_manifest_on_every_server(shelf: Shelf):
    shelf.make()
    b, a = shelf.item("b.png"), shelf.item("ä.png", caption=None)
    line = (
        b'{"path":"b.png","sha256":"%s","size":5,"caption":"a cat","mask":null,"control":null}\n'
        b'{"path":"\xc3\xa4.png","sha256":"%s","size":6,"caption":null,"mask":null,"control":null}\n'
    ) % (b.sha256.encode(), a.sha256.encode())
    assert shelf.version(a, b).manifest_sha256 == hashlib.sha256(line).hexdigest()


def test_of_what_is_the_newest_already_no_version_is_made(shelf: Shelf):
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    assert shelf.version(shelf.item("a.png")) == first


def test_of_two_who_add_to_the_same_version_one_is_told(shelf: Shelf):
    dataset = shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(DatasetChanged, match="newest version is 1, not None"):
        shelf.service.add_version(dataset, [shelf.item("b.png")], "bob", "", expected_latest=None)


@pytest.mark.parametrize("path", ["", "/a.png", "../a.png", "a/../b.png", "a//b.png", "./a.png", "a\n.png", "x" * 2000])
def test_a_path_that_is_none_below_a_dataset_is_refused(shelf: Shelf, path: str):
    shelf.make()
    with pytest.raises(Invalid) as refused:
        shelf.version(replace(shelf.item("a.png"), path=path))
    assert len(refused.value.mistakes) == 1


def test_every_mistake_in_items_is_told_at_once(shelf: Shelf):
    shelf.make()
    a = shelf.item("a.png")
    with pytest.raises(Invalid) as refused:
        shelf.version(a, a, replace(a, path="b.png", caption="x" * (MAX_CAPTION + 1)))
    told = [mistake.message for mistake in refused.value.mistakes]
    assert told == ["Two items have the path a.png.", "The caption of b.png has more than 20,000 characters."]


def test_an_item_whose_bytes_are_not_there_is_refused(shelf: Shelf):
    shelf.make()
    with pytest.raises(Invalid) as refused:
        shelf.version(ManifestItem("a.png", "0" * 64, 3))
    assert "1 files are not in the store" in refused.value.mistakes[0].message
    with pytest.raises(BlobMissing):
        shelf.version(shelf.item("b.png", mask_sha256="1" * 64))


@pytest.mark.parametrize("version", ["1", "sha256", "latest", None])
def test_a_version_is_found_by_number_manifest_and_as_the_latest(shelf: Shelf, version: str | None):
    dataset = shelf.make()
    made = shelf.version(shelf.item("a.png"))
    wanted = f"sha256:{made.manifest_sha256}" if version == "sha256" else version
    assert shelf.service.find_version(replace(dataset, latest=1), wanted) == made


@pytest.mark.parametrize("version", ["2", "0", "x", "sha256:" + "0" * 64, "sha256:zz", "-1"])
def test_a_version_that_is_not_there_is_told(shelf: Shelf, version: str):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(VersionNotFound):
        shelf.service.get_version("cats", version)


def test_a_dataset_without_a_version_says_so(shelf: Shelf):
    shelf.make()
    with pytest.raises(VersionNotFound, match="no version yet"):
        shelf.service.get_version("cats", "latest")


def test_going_back_makes_a_new_version(shelf: Shelf):
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    shelf.version(shelf.item("b.png"))
    again = shelf.service.restore("cats", "1", "ann")
    assert (again.version, again.manifest, again.origin) == (3, f"sha256:{first.manifest_sha256}", {"restored": 1})
    assert shelf.service.restore("cats", "3", "ann").version == 3


def test_a_renamed_dataset_is_found_by_its_new_name_only(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    assert shelf.service.change("cats", {"name": "kittens"}).latest == 1
    with pytest.raises(DatasetNotFound):
        shelf.service.get("cats")


def test_a_deleted_datasets_name_is_free_again(shelf: Shelf):
    shelf.make()
    shelf.service.delete("cats")
    assert shelf.make().latest is None


def test_others_datasets_are_hidden_from_who_sees_only_their_own(shelf: Shelf):
    shelf.make()
    with seeing(Sight("bob", sees_all=False, sees_commands=False)):
        with pytest.raises(HiddenDataset):
            shelf.service.get("cats")
        assert shelf.service.get_page(None, None, PageRequest()).rows == ()


def test_pages_of_versions_go_on_where_the_last_ended(shelf: Shelf):
    shelf.make()
    for number in range(5):
        shelf.version(shelf.item(f"{number}.png"))
    first = shelf.service.get_versions("cats", PageRequest(limit=2))
    second = shelf.service.get_versions("cats", PageRequest(limit=2, cursor=first.pagination.next_cursor))
    assert [row.version for row in (*first.rows, *second.rows)] == [5, 4, 3, 2]
    assert (first.pagination.total, second.pagination.has_more) == (5, True)


def test_bytes_that_versions_share_count_once(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png", b"12345"))
    before = shelf.store.get("cats").stored_bytes
    shelf.version(shelf.item("a.png", b"12345"), shelf.item("copy.png", b"12345"))
    manifest = shelf.service.find_version(shelf.store.get("cats")).manifest_sha256
    assert shelf.store.get("cats").stored_bytes - before == shelf.blobs.path(manifest).stat().st_size


def test_more_than_a_user_may_store_is_refused_before_anything_is_kept(shelf: Shelf):
    class Full:
        def require_storage(self, owner: str | None, more_bytes: int) -> None:
            raise QuotaExceeded(f"{owner} {more_bytes}")

    shelf.make()
    bounded = DatasetService(shelf.store, shelf.holds, shelf.rows, shelf.blobs, shelf.clock, Full())
    with pytest.raises(QuotaExceeded, match="None 5"):
        bounded.add_version(shelf.store.get("cats"), [shelf.item("a.png")], "ann", "", expected_latest=None)
    assert shelf.store.get("cats").latest is None


def test_a_version_whose_texts_would_fill_the_memory_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.datasets.service.MAX_TEXT", 20)
    shelf.make()
    shelf.version(shelf.item("a.png", caption="x" * 15))
    with pytest.raises(Invalid) as refused:
        shelf.version(shelf.item("a.png", caption="x" * 16))
    assert "more than 20 characters together" in refused.value.mistakes[0].message


def test_manifests_are_plain_while_an_older_server_shares_the_database(shelf: Shelf):
    now = shelf.clock.now()
    known = ServerStore(shelf.database)
    for name in ("old", "new"):
        known.sign(KeptServer(name, name, "gpu1", "host", 8080, 1, "1.0.0", now, now), SteadyMark(now, Mark("boot", 1)))
    with shelf.database.write(is_audited=False) as connection:
        connection.execute(update(servers).where(servers.c.server_id == "old").values(reads_gzip=None))
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    assert json.loads(shelf.blobs.path(first.manifest_sha256).read_bytes())["path"] == "a.png"
    known.remove("old")
    second = shelf.version(shelf.item("b.png"))
    assert shelf.blobs.path(second.manifest_sha256).read_bytes().startswith(GZIP)
    assert [item.path for item in shelf.service.read_items(second.manifest_sha256)] == ["b.png"]
