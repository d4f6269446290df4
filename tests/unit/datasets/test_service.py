import hashlib
import json
from dataclasses import replace

import pytest
from sqlalchemy import update

from api.datasets.service import DatasetService
from api.db.tables import servers
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.dataset import MAX_CAPTION, ManifestItem
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
from api.nodes.server_models import StoredServer
from api.nodes.server_store import ServerStore
from api.util.clock import Mark, SteadyMark
from api.util.http.pagination import PageRequest
from tests.unit.datasets.conftest import ANN, Shelf


def test_new_dataset_is_empty(shelf: Shelf):
    shelf.service.create("cats", ANN, {"description": "tabby", "tags": ["animals"]})
    found = shelf.service.get("cats")
    assert (found.dataset.name, found.dataset.tags, found.latest_version) == ("cats", ("animals",), None)


def test_name_is_unique(shelf: Shelf):
    shelf.make()
    with pytest.raises(DatasetExists, match="cats"):
        shelf.make()


def test_versions_are_numbered_and_never_change(shelf: Shelf):
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    second = shelf.version(shelf.item("a.png"), shelf.item("b.png"))
    assert (first.ordinal, second.ordinal, second.items) == (1, 2, 2)
    assert [item.path for item in shelf.service.read_items(first.manifest_sha256)] == ["a.png"]


def test_same_items_have_the_same_manifest_on_every_server(shelf: Shelf):
    shelf.make()
    b, a = shelf.item("b.png"), shelf.item("ä.png", caption=None)
    line = (
        b'{"path":"b.png","sha256":"%s","size":5,"caption":"a cat","mask":null,"control":null}\n'
        b'{"path":"\xc3\xa4.png","sha256":"%s","size":6,"caption":null,"mask":null,"control":null}\n'
    ) % (b.sha256.encode(), a.sha256.encode())
    assert shelf.version(a, b).manifest_sha256 == hashlib.sha256(line).hexdigest()


def test_items_of_the_newest_version_make_no_new_version(shelf: Shelf):
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    assert shelf.version(shelf.item("a.png")) == first


def test_second_of_two_concurrent_versions_is_rejected(shelf: Shelf):
    dataset = shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(DatasetChanged, match="newest version is 1, not None"):
        shelf.service.add_version(dataset, [shelf.item("b.png")], "bob", "", expected_latest=None)


@pytest.mark.parametrize("path", ["", "/a.png", "../a.png", "a/../b.png", "a//b.png", "./a.png", "a\n.png", "x" * 2000])
def test_invalid_path_is_rejected(shelf: Shelf, path: str):
    shelf.make()
    with pytest.raises(Invalid) as rejected:
        shelf.version(replace(shelf.item("a.png"), path=path))
    assert len(rejected.value.mistakes) == 1


def test_all_errors_in_items_are_reported_together(shelf: Shelf):
    shelf.make()
    a = shelf.item("a.png")
    with pytest.raises(Invalid) as rejected:
        shelf.version(a, a, replace(a, path="b.png", caption="x" * (MAX_CAPTION + 1)))
    reported = [mistake.message for mistake in rejected.value.mistakes]
    assert reported == ["Two items have the path a.png.", "The caption of b.png has more than 20,000 characters."]


def test_item_without_stored_bytes_is_rejected(shelf: Shelf):
    shelf.make()
    with pytest.raises(Invalid) as rejected:
        shelf.version(ManifestItem("a.png", "0" * 64, 3))
    assert "1 files are not in the store" in rejected.value.mistakes[0].message
    with pytest.raises(BlobMissing):
        shelf.version(shelf.item("b.png", mask_sha256="1" * 64))


@pytest.mark.parametrize("version", ["1", "sha256", "latest", None])
def test_version_is_found_by_number_manifest_and_as_latest(shelf: Shelf, version: str | None):
    dataset = shelf.make()
    made = shelf.version(shelf.item("a.png"))
    wanted = f"sha256:{made.manifest_sha256}" if version == "sha256" else version
    assert shelf.service.find_version(replace(dataset, latest=1), wanted) == made


@pytest.mark.parametrize("version", ["2", "0", "x", "sha256:" + "0" * 64, "sha256:zz", "-1"])
def test_missing_version_is_reported(shelf: Shelf, version: str):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(VersionNotFound):
        shelf.service.get_version("cats", version)


def test_dataset_without_a_version_is_reported(shelf: Shelf):
    shelf.make()
    with pytest.raises(VersionNotFound, match="no version yet"):
        shelf.service.get_version("cats", "latest")


def test_restore_makes_a_new_version(shelf: Shelf):
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    shelf.version(shelf.item("b.png"))
    again = shelf.service.restore("cats", "1", "ann")
    assert (again.version, again.manifest, again.origin) == (3, f"sha256:{first.manifest_sha256}", {"restored": 1})
    assert shelf.service.restore("cats", "3", "ann").version == 3


def test_renamed_dataset_is_found_only_by_its_new_name(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    assert shelf.service.change("cats", {"name": "kittens"}).latest == 1
    with pytest.raises(DatasetNotFound):
        shelf.service.get("cats")


def test_name_of_a_deleted_dataset_is_free(shelf: Shelf):
    shelf.make()
    shelf.service.delete("cats")
    assert shelf.make().latest is None


def test_datasets_of_others_are_hidden_from_users_with_own_scope(shelf: Shelf):
    shelf.make()
    with seeing(ReadScope("bob", sees_all=False, sees_commands=False)):
        with pytest.raises(HiddenDataset):
            shelf.service.get("cats")
        assert shelf.service.get_page(None, None, PageRequest()).rows == ()


def test_pages_of_versions_are_contiguous(shelf: Shelf):
    shelf.make()
    for number in range(5):
        shelf.version(shelf.item(f"{number}.png"))
    first = shelf.service.get_versions("cats", PageRequest(limit=2))
    second = shelf.service.get_versions("cats", PageRequest(limit=2, cursor=first.pagination.next_cursor))
    assert [row.version for row in (*first.rows, *second.rows)] == [5, 4, 3, 2]
    assert (first.pagination.total, second.pagination.has_more) == (5, True)


def test_shared_bytes_count_once(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png", b"12345"))
    before = shelf.store.get("cats").stored_bytes
    shelf.version(shelf.item("a.png", b"12345"), shelf.item("copy.png", b"12345"))
    manifest = shelf.service.find_version(shelf.store.get("cats")).manifest_sha256
    assert shelf.store.get("cats").stored_bytes - before == shelf.blobs.path(manifest).stat().st_size


def test_quota_is_checked_before_anything_is_stored(shelf: Shelf):
    class Full:
        def require_storage(self, owner: str | None, more_bytes: int) -> None:
            raise QuotaExceeded(f"{owner} {more_bytes}")

    shelf.make()
    bounded = DatasetService(shelf.store, shelf.holds, shelf.rows, shelf.blobs, shelf.clock, Full())
    with pytest.raises(QuotaExceeded, match="None 5"):
        bounded.add_version(shelf.store.get("cats"), [shelf.item("a.png")], "ann", "", expected_latest=None)
    assert shelf.store.get("cats").latest is None


def test_version_with_too_much_text_is_rejected(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.datasets.service.MAX_TEXT", 20)
    shelf.make()
    shelf.version(shelf.item("a.png", caption="x" * 15))
    with pytest.raises(Invalid) as rejected:
        shelf.version(shelf.item("a.png", caption="x" * 16))
    assert "more than 20 characters in total" in rejected.value.mistakes[0].message


def test_manifests_are_uncompressed_while_an_older_server_shares_the_database(shelf: Shelf):
    now = shelf.clock.now()
    known = ServerStore(shelf.database)
    for name in ("old", "new"):
        known.sign(
            StoredServer(name, name, "gpu1", "host", 8080, 1, "1.0.0", now, now), SteadyMark(now, Mark("boot", 1))
        )
    with shelf.database.write(is_audited=False) as connection:
        connection.execute(update(servers).where(servers.c.server_id == "old").values(reads_gzip=None))
    shelf.make()
    first = shelf.version(shelf.item("a.png"))
    assert json.loads(shelf.blobs.path(first.manifest_sha256).read_bytes())["path"] == "a.png"
    known.remove("old")
    second = shelf.version(shelf.item("b.png"))
    assert shelf.blobs.path(second.manifest_sha256).read_bytes().startswith(GZIP)
    assert [item.path for item in shelf.service.read_items(second.manifest_sha256)] == ["b.png"]
