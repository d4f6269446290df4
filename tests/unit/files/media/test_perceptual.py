from random import Random

import pytest
from PIL import Image, ImageDraw

from api.files.media.perceptual import group_alike, hash_of
from tests.unit.files.media.samples import picture


def _distance(left: str | None, right: str | None) -> int:
    assert left is not None
    assert right is not None
    return (int(left, 16) ^ int(right, 16)).bit_count()


def test_same_picture_in_another_size_has_nearly_the_same_hash():
    assert _distance(hash_of(picture((640, 480))), hash_of(picture((320, 240)).convert("L"))) <= 2


def test_different_pictures_have_different_hashes():
    hashes = [hash_of(picture(seed=seed)) for seed in range(20)]
    assert min(_distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 8


def ellipse() -> Image.Image:
    image = Image.new("RGB", (400, 300), "white")
    ImageDraw.Draw(image).ellipse([40, 60, 300, 200], fill="navy")
    return image


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (picture((640, 480), seed=1), "ab9cb1e4b4669c86"),
        (Image.linear_gradient("L"), "8000000000000000"),
        (ellipse(), "bd3dc2c22f4f3034"),
    ],
)
def test_hash_equals_that_of_imagehash(image: Image.Image, expected: str):
    assert hash_of(image) == expected


def test_plain_picture_has_no_hash():
    assert hash_of(Image.new("RGB", (50, 50), "navy")) is None


def test_similar_hashes_are_grouped_transitively():
    assert group_alike(["0" * 16, "f" * 16, "0" * 15 + "3", "0" * 14 + "0f"], 2) == ([[0, 2, 3]], True)


@pytest.mark.parametrize("distance", range(8))
def test_all_pairs_within_the_distance_are_found(distance: int):
    random = Random(distance)
    one = random.getrandbits(64)
    bits = random.sample(range(64), distance)
    near, far = one, one ^ (1 << 63 | 1 << 31 | 1 << 15 | 255)
    for bit in bits:
        near ^= 1 << bit
    assert group_alike([f"{value:016x}" for value in (one, near, far)], distance)[0] == [[0, 1]]


def test_any_number_of_equal_hashes_is_one_group():
    assert group_alike(["00ff00ff00ff00ff"] * 5000, 0) == ([list(range(5000))], True)


def test_comparison_is_limited_and_reports_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.files.media.perceptual.MAX_PAIRS", 10)
    assert group_alike([f"{value:016x}" for value in range(100)], 1)[1] is False
