import pytest

from api.util.text.suggestions import nearest, nearest_variant

NAMES = ("epochs", "save_every_n_epochs")


def test_typo_gets_a_suggestion():
    assert nearest("epohcs", NAMES) == "epochs"


def test_unsimilar_name_gets_none():
    assert nearest("zzz", NAMES) is None


def test_likeness_can_be_set():
    assert nearest("epxxhs", NAMES) == "epochs"
    assert nearest("epxxhs", NAMES, likeness=0.85) is None


@pytest.mark.parametrize(
    ("name", "near"),
    [("Flux1", "flux"), ("wan2.2-t2v-14b", "wan"), ("qwen", "qwen_image"), ("flux2-klein-9b", "flux2"), ("q", None)],
)
def test_name_of_a_version_suggests_what_it_begins_with(name: str, near: str | None):
    assert nearest_variant(name, ["flux", "flux2", "qwen_image", "wan"]) == near
