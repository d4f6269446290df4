import pytest

from api.trainers.toy.values import read_values


def test_values_are_read_from_either_form():
    assert read_values({"epochs": 2}, None) == {"epochs": 2}
    assert read_values({}, "epochs = 2\n[toy]\nseed = 1") == {"epochs": 2, "toy": {"seed": 1}}


@pytest.mark.parametrize("text", ["epochs = = 2", "x = " + "[" * 100_000, "a = '" + "x" * 3_000_000 + "'"])
def test_unreadable_text_is_reported_in_a_sentence(text: str):
    with pytest.raises(ValueError, match=r"\.$"):
        read_values({}, text)


def test_values_above_the_limits_are_rejected():
    with pytest.raises(ValueError, match=r"\.$"):
        read_values({"text": "x" * 10_000_000}, None)
