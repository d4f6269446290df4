import pytest

from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.dataset.buckets import Bucketing
from api.trainers.diffusion_pipe.dataset.totals import Item, Mixed, Share, count_steps, find_mixed_steps

SQUARE = Bucketing(resolutions=(512,))


@pytest.mark.parametrize(
    ("items", "repeats", "batches", "steps"),
    [
        (10, 1, Batches(), 10),
        (10, 3, Batches(), 30),
        (10, 1.55, Batches(), 15),
        (10, 1, Batches(accumulation=4), 2),
        (10, 1, Batches(videos=((0, 2),), images=((0, 2),), accumulation=2, replicas=2), 1),
        (10, 1, Batches(videos=((0, 9),), images=((0, 1),)), 10),
        (10, 1, Batches(images=((512, 4), (1024, 1))), 2),
        (10, 1, Batches(images=((1024, 1), (512, 4))), 2),
        (3, 1, Batches(accumulation=4), 0),
    ],
)
def test_steps_of_one_bucket(items: int, repeats: float, batches: Batches, steps: int):
    share = Share(SQUARE, [Item(512, 512)] * items, repeats)
    assert count_steps([share], batches).steps_per_epoch == steps


def test_each_resolution_has_its_own_bucket():
    share = Share(Bucketing(resolutions=(512, 768)), [Item(512, 512)] * 5)
    assert count_steps([share], Batches(accumulation=2)).steps_per_epoch == 4


def test_directories_share_buckets():
    share = Share(SQUARE, [Item(512, 512)] * 3)
    assert count_steps([share, share], Batches(accumulation=2)).steps_per_epoch == 3


def test_each_caption_of_an_image_is_an_example():
    assert count_steps([Share(SQUARE, [Item(512, 512, captions=3)])], Batches()).steps_per_epoch == 3


def test_subsampling_reduces_the_steps_and_rounds_down():
    share = Share(SQUARE, [Item(512, 512)] * 7)
    assert count_steps([share], Batches(), 0.5).steps_per_epoch == 3


def test_dropped_buckets_are_reported():
    share = Share(Bucketing(resolutions=(512,), ratios=(1.0, 2.0)), [Item(512, 512)] * 4 + [Item(1024, 512)])
    totals = count_steps([share], Batches(accumulation=2))
    assert totals.steps_per_epoch == 2
    assert totals.dropped == ((2.0, 720, 368, 1),)


PLAIN = Share(SQUARE, [Item(512, 512)] * 4)
CONTROLLED = Share(SQUARE, [Item(512, 512)] * 4, is_controlled=True)
LARGE = Share(Bucketing(resolutions=(768,)), [Item(512, 512)] * 4)


@pytest.mark.parametrize(
    ("shares", "batches", "mixed"),
    [
        # The trainer's order, with + for files with a control image: +- +- -- ++, or for the reverse -+ -+ ++ --.
        ([PLAIN, CONTROLLED], Batches(), Mixed.NEVER),
        ([PLAIN, CONTROLLED], Batches(replicas=4), Mixed.NEVER),
        ([PLAIN, CONTROLLED], Batches(images=((0, 2),)), Mixed.FAILS),
        ([CONTROLLED, PLAIN], Batches(accumulation=2), Mixed.DROPS),
        ([CONTROLLED, PLAIN], Batches(accumulation=4), Mixed.FAILS),
        ([PLAIN, CONTROLLED], Batches(accumulation=9), Mixed.NEVER),
        ([LARGE, CONTROLLED], Batches(accumulation=2), Mixed.NEVER),
        ([CONTROLLED, CONTROLLED], Batches(accumulation=2), Mixed.NEVER),
    ],
)
def test_steps_with_and_without_control_images(shares: list[Share], batches: Batches, mixed: Mixed):
    assert find_mixed_steps(shares, batches) is mixed
