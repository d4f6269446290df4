from dataclasses import replace
from pathlib import Path

import pytest

from api.datasets.checks.as_trained import MAX_FRAMES, AsTrained
from api.datasets.checks.service import CheckRequest
from api.datasets.checks.trainer_rules import RuleBook
from api.datasets.items.media import DatasetMedia
from api.datasets.records.media_facts import MediaFactsStore
from api.db.database import Database
from api.domain.datasets.dataset import MediaFacts, MediaKind, item_id_of
from api.domain.datasets.media import MediaProbe
from api.errors import Invalid, NotTrained
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.media_fakes import FakeDecoder

CLIP = MediaProbe(MediaFacts(MediaKind.VIDEO, "mp4", 512, 512, 5.0, 16.0, 80), 80)
REQUEST = CheckRequest(model_type="wan", settings={"resolutions": [256], "frame_buckets": [1, 33]})
PICTURE, VIDEO, BROKEN = item_id_of("a.png"), item_id_of("b.mp4"), item_id_of("c.png")


@pytest.fixture
def decoder() -> FakeDecoder:
    broken = MediaProbe(MediaFacts(MediaKind.OTHER, problem="unreadable"))
    return FakeDecoder({b"clip": CLIP, b"broken": broken})


@pytest.fixture
def as_trained(shelf: Shelf, sqlite: Database, decoder: FakeDecoder) -> AsTrained:
    media = DatasetMedia(MediaFactsStore(sqlite), shelf.blobs, decoder, shelf.clock)
    shelf.make()
    shelf.version(shelf.item("a.png"), shelf.item("b.mp4", b"clip"), shelf.item("c.png", b"broken"))
    return AsTrained(shelf.items, media, decoder, RuleBook([DiffusionPipe(None, None)]))


def test_image_is_drawn_by_its_recipe(as_trained: AsTrained, decoder: FakeDecoder):
    assert as_trained.draw("cats", PICTURE, REQUEST, None) == b"picture"
    recipe = as_trained.describe("cats", PICTURE, REQUEST, None)
    assert (recipe.width, recipe.height, recipe.shown, recipe.model_type) == (256, 256, (0,), "wan")
    assert decoder.requests[0][0] == "as trained [0]"


def test_strip_has_evenly_spaced_frames_with_the_first_and_the_last(as_trained: AsTrained):
    shown = as_trained.describe("cats", VIDEO, REQUEST, None).shown
    assert (len(shown), shown[0], shown[-1]) == (MAX_FRAMES, 0, 32)


def test_strip_of_large_frames_has_fewer_frames(as_trained: AsTrained):
    large = replace(REQUEST, settings={"resolutions": [3000], "frame_buckets": [33]})
    assert as_trained.describe("cats", VIDEO, large, None).shown == (0,)


def test_single_frame_is_shown_alone(as_trained: AsTrained):
    assert as_trained.describe("cats", VIDEO, REQUEST, 5).shown == (5,)
    with pytest.raises(Invalid):
        as_trained.describe("cats", VIDEO, REQUEST, 33)


def test_untrained_item_is_reported(as_trained: AsTrained, decoder: FakeDecoder, tmp_path: Path):
    with pytest.raises(NotTrained):
        as_trained.draw("cats", BROKEN, REQUEST, None)
    decoder.drawn = None
    with pytest.raises(NotTrained):
        as_trained.draw("cats", VIDEO, REQUEST, None)
    with pytest.raises(Invalid):
        as_trained.draw("cats", VIDEO, CheckRequest(), None)
