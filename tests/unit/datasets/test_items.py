import pytest

from api.domain.dataset import ItemFilter, item_id_of
from api.errors import ItemNotFound, VersionNotFound
from api.util.pagination import PageRequest
from tests.unit.datasets.conftest import Shelf

ALL = ItemFilter()


def test_items_are_paged_by_path(shelf: Shelf):
    shelf.make()
    shelf.version(*(shelf.item(f"{name}.png") for name in "edcba"))
    first = shelf.items.get_page("cats", None, ALL, PageRequest(limit=2))
    second = shelf.items.get_page("cats", None, ALL, PageRequest(limit=2, cursor=first.pagination.next_cursor))
    assert [item.name for item in (*first.rows, *second.rows)] == ["a.png", "b.png", "c.png", "d.png"]
    assert (first.pagination.total, second.pagination.has_more) == (5, True)


def test_earlier_version_lists_its_items(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    shelf.version(shelf.item("b.png"))
    assert [item.name for item in shelf.items.get_page("cats", "1", ALL, PageRequest()).rows] == ["a.png"]


def test_dataset_without_a_version_has_an_empty_page(shelf: Shelf):
    shelf.make()
    assert shelf.items.get_page("cats", None, ALL, PageRequest()).pagination.total == 0
    with pytest.raises(VersionNotFound):
        shelf.items.get_page("cats", "1", ALL, PageRequest())


def test_item_is_found_by_its_id_in_every_version(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png", b"1"))
    shelf.version(shelf.item("a.png", b"22", mask_sha256=shelf.blob(b"mask")))
    new, old = (shelf.items.get("cats", item_id_of("a.png"), version) for version in (None, "1"))
    assert (new.size_bytes, new.has_mask, old.size_bytes, old.has_mask) == (2, True, 1, False)
    assert new.kind is None  # not examined yet


def test_unknown_item_is_reported(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(ItemNotFound):
        shelf.items.get("cats", "0" * 16)
