"""The pictures of the documents show the page as it is."""

import json

import pytest
from PIL import Image

from docs.screenshots import MAX_BYTES, PICTURES, SCREENS, SIZE, SOURCES, find_sources

NOTED = json.loads(SOURCES.read_text())


@pytest.mark.parametrize("picture", SCREENS)
def test_picture_is_not_older_than_its_screen(picture: str):
    message = "take the pictures again: python docs/screenshots.py; or, if it still is right, with --unchanged"
    assert NOTED[picture] == find_sources()[picture], message


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("picture", SCREENS)
def test_picture_is_there_in_both_themes_and_small(picture: str, theme: str):
    path = PICTURES / f"{picture}-{theme}.png"
    assert path.stat().st_size <= MAX_BYTES
    with Image.open(path) as image:
        assert image.size == (SIZE["width"], SIZE["height"])
