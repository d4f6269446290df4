import pytest

from api.files.weights.fingerprints.fingerprint import define, read_sign
from api.files.weights.header import Header


@pytest.mark.parametrize(
    ("text", "shapes", "stands"),
    [
        ("a.weight", {"a.weight": (3,)}, True),
        ("a.weight", {"a.weight.b": (3,)}, False),
        ("a.weight [3,*]", {"a.weight": (3, 7)}, True),
        ("a.weight [3,*]", {"a.weight": (3,)}, False),
        ("a.weight [3|4]", {"a.weight": (4,)}, True),
        ("a.weight [3|4]", {"a.weight": (5,)}, False),
        ("a.*", {"a.b.c": (), "b": ()}, True),
        ("a.*", {"ab": ()}, False),
        ("*.scale", {"x.scale": ()}, True),
        ("*.scale", {"scale": ()}, False),
    ],
)
def test_sign_is_in_a_header_that_has_the_tensor(text: str, shapes: dict[str, tuple[int, ...]], stands: bool):
    assert read_sign(text).is_in(Header(shapes)) is stands


@pytest.mark.parametrize("text", ["", "a b", "a [3", "*a*", "a [x]"])
def test_invalid_sign_is_an_error(text: str):
    with pytest.raises(ValueError, match="A sign is"):
        read_sign(text)


def test_all_signs_are_needed_and_one_of_each_alternative():
    found = define("a", "A", "vae", "x or y; z", "here", lacks="w")
    assert found.fits(Header({"y": (), "z": ()}))
    assert not found.fits(Header({"y": ()}))
    assert not found.fits(Header({"x": (), "z": (), "w": ()}))
