"""Both READMEs have the same commands, pictures and links."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh.md")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def targets(text: str) -> list[str]:
    """Return the targets of links and pictures, except the links between the two READMEs."""
    return [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("README")]


def test_both_have_the_same_commands_in_the_same_order():
    assert commands(read(READMES[0])) == commands(read(READMES[1]))
    assert commands(read(READMES[0]))


def test_both_show_the_same_pictures_and_links():
    assert targets(read(READMES[0])) == targets(read(READMES[1]))


def test_both_name_the_same_make_targets():
    named = [set(re.findall(r"`make ([a-z-]+)", read(name))) for name in READMES]
    assert named[0] == named[1]


@pytest.mark.parametrize("name", READMES)
def test_every_linked_file_exists(name: str):
    local = [target for target in targets(read(name)) if "://" not in target]
    assert [target for target in local if not (ROOT / target.partition("#")[0]).exists()] == []
    assert [target for target in local if not _has_heading(*target.partition("#")[::2])] == []


def _has_heading(file: str, slug: str) -> bool:
    """Return whether a document has the heading that a link names by its slug."""
    headings = re.findall(r"^#+ (.*)$", read(file), re.MULTILINE) if slug else []
    return not slug or slug in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
