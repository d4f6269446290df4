"""The items of datasets and their captions by HTTP."""

from typing import Any

import pytest

from api.domain.datasets.dataset import item_id_of
from tests.api.client import Client
from tests.api.conftest import World
from tests.api.datasets import DATASETS, add_version, refusal_of

CATS = f"{DATASETS}/cats"
A = item_id_of("a.png")


@pytest.fixture
def cats(world: World) -> Client:
    """A dataset of three items."""
    world.client.post(DATASETS, json={"name": "cats"})
    add_version(world, {"a.png": "a photo of a cat", "b.png": "", "c.png": None})
    return world.client


def captions(client: Client, query: str = "") -> list[str | None]:
    return [item["caption"] for item in client.data(f"{CATS}/items?{query}")["items"]]


def edit(client: Client, **body: Any) -> Any:
    return client.patch(f"{CATS}/captions", json=body)


def test_items_are_listed_by_name(cats: Client):
    listed = cats.data(f"{CATS}/items?limit=2")
    assert [item["name"] for item in listed["items"]] == ["a.png", "b.png"]
    assert (listed["pagination"]["total"], listed["pagination"]["has_more"]) == (3, True)
    rest = cats.data(f"{CATS}/items?limit=2&cursor={listed['pagination']['next_cursor']}")
    assert [item["name"] for item in rest["items"]] == ["c.png"]


def test_unknown_facts_are_null(cats: Client):
    item = cats.data(f"{CATS}/items/{A}")
    assert (item["kind"], item["width"], item["size_bytes"], item["problems"]) == (None, None, 5, [])
    assert item["item_id"] == A


def test_items_are_searched_and_filtered_by_problem(cats: Client):
    assert captions(cats, "search=PHOTO") == ["a photo of a cat"]
    assert captions(cats, "problem=empty_caption") == [""]
    assert captions(cats, "problem=any") == ["", None]
    assert refusal_of(cats.get(f"{CATS}/items?problem=x'y")) == (422, "validation_failed")


def test_missing_item_is_reported(cats: Client):
    assert refusal_of(cats.get(f"{CATS}/items/{'0' * 16}")) == (404, "item_not_found")
    assert refusal_of(cats.get(f"{CATS}/items/{A}?version=9")) == (404, "version_not_found")


def test_captions_are_edited_in_a_new_version(cats: Client):
    made = edit(cats, changes=[{"item_id": A, "caption": "tabby"}], message="by hand").json()["data"]
    assert (made["changed"], made["version"]["version"], made["version"]["message"]) == (1, 2, "by hand")
    assert captions(cats) == ["tabby", "", None]
    assert captions(cats, "version=1") == ["a photo of a cat", "", None]


def test_dry_run_shows_the_differences_of_an_edit(cats: Client):
    body = {"replace": {"from": r"photo of an? (\w+)", "to": r"\1"}, "regex": True, "prefix": "ohwx, "}
    result = edit(cats, **body, dry_run=True).json()["data"]
    assert [each["after"] for each in result["differences"]] == ["ohwx, a cat", "ohwx, "]
    assert (result["dry_run"], result["version"], captions(cats)[0]) == (True, None, "a photo of a cat")
    assert edit(cats, **body).json()["data"]["differences"] == result["differences"]
    assert captions(cats) == ["ohwx, a cat", "ohwx, ", None]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"changes": []},
        {"changes": [{"item_id": A}]},
        {"changes": [{"item_id": A, "caption": "x"}], "prefix": "y"},
        {"replace": {"from": ""}},
        {"prefix": "x" * 1001},
        {"prefix": "\0"},
        {"changes": [{"item_id": A, "caption": "a\0b"}]},
        {"replace": {"from": "a", "to": "\0"}},
    ],
)
def test_invalid_edit_is_rejected(cats: Client, body: dict[str, Any]):
    assert refusal_of(edit(cats, **body)) == (422, "validation_failed")


def test_items_without_a_caption_are_captioned_together(cats: Client):
    done = edit(cats, caption="a tabby", only_missing=True).json()["data"]
    assert [each["before"] for each in done["differences"]] == ["", None]
    assert {each["after"] for each in done["differences"]} == {"a tabby"}
    rejected = edit(cats, prefix="x", only_missing=True)
    assert rejected.status_code == 422
    assert "only_missing requires caption" in rejected.text
