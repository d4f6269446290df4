from PIL import Image

from api.media.perceptual import group_alike, hash_of
from tests.unit.media.samples import picture


def _distance(left: str | None, right: str | None) -> int:
    assert left is not None
    assert right is not None
    return (int(left, 16) ^ int(right, 16)).bit_count()


def test_same_picture_in_another_size_has_nearly_the_same_hash():
    assert _distance(hash_of(picture((640, 480))), hash_of(picture((320, 240)).convert("L"))) <= 2


def test_other_pictures_have_other_hashes():
    hashes = [hash_of(picture(seed=seed)) for seed in range(20)]
    assert min(_distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 8


def test_plain_picture_has_none():
    assert hash_of(Image.new("RGB", (50, 50), "navy")) is None


def test_alike_ones_are_grouped_also_by_way_of_another():
    assert group_alike(["0" * 16, "f" * 16, "0" * 15 + "3", "0" * 14 + "0f"], 2) == [[0, 2, 3]]


def test_equal_ones_of_any_number_are_one_group():
    assert group_alike(["00ff00ff00ff00ff"] * 5000, 0) == [list(range(5000))]
