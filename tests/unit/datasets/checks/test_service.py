from dataclasses import replace

import pytest

from api.datasets.checks.service import CheckRequest, DatasetChecker
from api.datasets.checks.trainer_rules import RuleBook
from api.datasets.items.media import DatasetMedia
from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.domain.datasets.dataset import MediaFacts, MediaKind, item_id_of
from api.domain.datasets.media import MediaProbe
from api.errors import CheckBusy, Invalid
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import FakeDecoder

BROKEN = MediaProbe(MediaFacts(MediaKind.OTHER, problem="unreadable"))
SQUARE = CheckRequest(model_type="flux", settings={"resolutions": [512]}, config={"gradient_accumulation_steps": 2})


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder({b"broken": BROKEN})


@pytest.fixture
def checker(shelf: Shelf, sqlite: Database, decoder: FakeDecoder) -> DatasetChecker:
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock)
    return DatasetChecker(shelf.service, media, decoder, RuleBook([DiffusionPipe(None, None)]))


def test_version_is_checked_with_buckets_and_steps(shelf: Shelf, checker: DatasetChecker):
    shelf.make()
    shelf.version(*(shelf.item(f"{number}.png") for number in range(5)))
    found = checker.check("cats", SQUARE)
    [bucket] = found.buckets
    assert (found.valid, found.steps_per_epoch, found.trained_items) == (True, 2, 5)
    assert (bucket.items, bucket.batches, bucket.dropped, len(bucket.item_ids)) == (5, 2, 1, 5)


def test_masks_and_controls_are_examined(shelf: Shelf, checker: DatasetChecker, decoder: FakeDecoder):
    shelf.make()
    item = shelf.item("a.png", mask_sha256=shelf.blob(b"broken"))
    shelf.version(item)
    assert "mask that cannot be read" in checker.check("cats", SQUARE).errors[0].message
    assert len(decoder.examined) == 2


def test_earlier_version_is_checked(shelf: Shelf, checker: DatasetChecker):
    shelf.make()
    shelf.version(shelf.item("a.png", b"broken"))
    shelf.version(shelf.item("a.png"))
    assert checker.check("cats", CheckRequest(version="1")).problems[0].reason == "unreadable"
    assert checker.check("cats", CheckRequest()).problems == ()


def test_files_in_different_directories_get_distinct_names(shelf: Shelf, checker: DatasetChecker):
    shelf.make()
    items = [shelf.item("a.png"), shelf.item("a.jpg", caption=None), shelf.item("below/a.png")]
    shelf.version(*items)
    found = checker.check("cats", SQUARE)
    assert {each.reason: each.item_ids for each in found.skipped} == {"uncaptioned": (items[1].item_id,)}
    assert (found.buckets[0].items, found.trained_items) == (2, 2)


def test_unexamined_files_are_counted_and_make_the_version_invalid(
    shelf: Shelf, checker: DatasetChecker, decoder: FakeDecoder
):
    shelf.make()
    shelf.version(*(shelf.item(f"{number}.png") for number in range(5)))
    decoder.before = lambda: shelf.clock.advance(11)
    decoder.children = 1
    found = checker.check("cats", SQUARE)
    assert (found.unexamined, found.valid, found.steps_per_epoch) == (3, False, None)
    assert "not been examined" in found.notes[0]
    while found.unexamined:
        found = checker.check("cats", SQUARE)
    assert (found.valid, found.steps_per_epoch) == (True, 2)


def test_too_many_concurrent_checks_are_postponed(
    shelf: Shelf, checker: DatasetChecker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("api.datasets.checks.service.WAIT_SECONDS", 0)
    shelf.make()
    shelf.version(shelf.item("a.png"), shelf.item("b.png"))
    with checker._checking, checker._checking, pytest.raises(CheckBusy):
        checker.check("cats", SQUARE)
    assert checker.check("cats", SQUARE).valid


def test_unknown_model_type_is_rejected_before_any_file_is_examined(
    shelf: Shelf, checker: DatasetChecker, decoder: FakeDecoder
):
    shelf.make()
    shelf.version(shelf.item("a.png"))
    with pytest.raises(Invalid):
        checker.check("cats", replace(SQUARE, model_type="none"))
    assert decoder.examined == []


def test_excluded_items_are_not_checked(shelf: Shelf, checker: DatasetChecker, decoder: FakeDecoder):
    shelf.make()
    shelf.version(shelf.item("a.png", b"broken", excluded=True), *(shelf.item(f"{each}.png") for each in range(4)))
    found = checker.check("cats", SQUARE)
    assert (found.valid, found.items, found.excluded, found.trained_items, found.problems) == (True, 4, 1, 4, ())
    assert len(decoder.examined) == 4


def test_findings_have_the_ids_of_their_items(shelf: Shelf, checker: DatasetChecker):
    shelf.make()
    folder, top = shelf.item("x/a.png", b"broken"), shelf.item("x__a.png", b"broken")
    shelf.version(folder, top, shelf.item("b.png", caption=None), *(shelf.item(f"{each}.png") for each in range(4)))
    for request in (SQUARE, CheckRequest()):
        warnings = checker.check("cats", request).warnings
        broken = next(each for each in warnings if "cannot be" in each.message)
        assert (broken.items, set(broken.item_ids)) == (2, {folder.item_id, top.item_id})
        assert next(each.item_ids for each in warnings if "no caption" in each.message) == (item_id_of("b.png"),)
