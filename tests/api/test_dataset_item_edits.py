"""Removing, excluding, including and moving items by HTTP."""

from typing import Any

import pytest

from api.domain.datasets.dataset import item_id_of
from tests.api.client import Client
from tests.api.conftest import MakeWorld, World
from tests.api.datasets import DATASETS, add_version, refusal_of

CATS = f"{DATASETS}/cats"
A, B, C = map(item_id_of, ("a.png", "b.png", "c.png"))
UNKNOWN = ["0" * 16, "1" * 16]


@pytest.fixture
def cats(world: World) -> Client:
    """A dataset of three items."""
    world.client.post(DATASETS, json={"name": "cats"})
    add_version(world, {"a.png": "a cat", "b.png": "", "c.png": None})
    return world.client


def names(client: Client, query: str = "", dataset: str = CATS) -> list[str]:
    return [item["name"] for item in client.data(f"{dataset}/items?{query}")["items"]]


def edit(client: Client, **body: Any) -> Any:
    return client.patch(f"{CATS}/items", json=body)


def split(client: Client, **body: Any) -> Any:
    return client.post(f"{CATS}/split", json=body)


def test_removed_items_return_with_a_restore(cats: Client):
    made = edit(cats, remove=[A, C], version=1).json()["data"]
    assert (made["removed"], made["items"], made["trained"], made["previous"]) == (2, 1, 1, 1)
    assert (made["version"]["version"], made["version"]["message"]) == (2, "2 items removed")
    assert names(cats) == ["b.png"]
    assert names(cats, "version=1") == ["a.png", "b.png", "c.png"]
    cats.post(f"{CATS}/versions/{made['previous']}/restore")
    assert names(cats) == ["a.png", "b.png", "c.png"]


def test_excluded_items_stay_visible_and_can_be_included_again(cats: Client):
    before = cats.data(f"{CATS}/versions/latest")
    made = edit(cats, exclude=[A, B]).json()["data"]
    assert (made["excluded"], made["items"], made["trained"], made["version"]["excluded"]) == (2, 3, 1, 2)
    assert [item["excluded"] for item in cats.data(f"{CATS}/items")["items"]] == [True, True, False]
    assert (names(cats, "excluded=true"), names(cats, "excluded=false")) == (["a.png", "b.png"], ["c.png"])
    assert cats.data(f"{CATS}/items?excluded=true")["pagination"]["total"] == 2
    assert edit(cats, include=[A]).json()["data"]["included"] == 1
    again = edit(cats, include=[B]).json()["data"]["version"]
    assert again["manifest"] == before["manifest"]
    assert again["excluded"] == 0


def test_dry_run_of_an_edit_makes_no_version(cats: Client):
    tried = edit(cats, remove=[A], exclude=[B], dry_run=True).json()["data"]
    assert (tried["removed"], tried["excluded"], tried["trained"], tried["version"]) == (1, 1, 1, None)
    assert cats.data(CATS)["dataset"]["latest"] == 1


def test_excluding_an_excluded_item_makes_no_version(cats: Client):
    edit(cats, exclude=[A])
    assert edit(cats, exclude=[A]).json()["data"]["version"] is None
    assert cats.data(CATS)["dataset"]["latest"] == 2


def test_all_unknown_ids_are_reported_together(cats: Client):
    rejected = edit(cats, remove=[A, *UNKNOWN])
    assert refusal_of(rejected) == (404, "item_not_found")
    assert rejected.json()["data"]["item_ids"] == UNKNOWN
    assert split(cats, items=UNKNOWN, into="dogs").json()["data"]["item_ids"] == UNKNOWN


def test_edit_for_an_older_version_is_rejected(cats: Client):
    edit(cats, exclude=[A], version=1)
    rejected = edit(cats, remove=[A], version=1)
    assert (refusal_of(rejected), rejected.json()["data"]) == ((409, "dataset_changed"), {"latest": 2})


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dry_run": True},
        {"remove": []},
        {"remove": ["a.png"]},
        {"remove": [A], "exclude": [A]},
        {"remove": [A], "unknown": 1},
        {"remove": [A, B, C]},
        {"exclude": [A, B, C]},
        {"remove": [A], "exclude": [B, C]},
        {"remove": [A] * 10_001},
    ],
)
def test_edit_without_effect_or_remaining_items_is_rejected(cats: Client, body: dict[str, Any]):
    assert refusal_of(edit(cats, **body)) == (422, "validation_failed")
    assert cats.data(CATS)["dataset"]["latest"] == 1


def test_caption_edit_keeps_exclusions(cats: Client):
    edit(cats, exclude=[A])
    cats.patch(f"{CATS}/captions", json={"changes": [{"item_id": A, "caption": "tabby"}]})
    assert names(cats, "excluded=true") == ["a.png"]


def test_split_moves_items_into_a_new_dataset(cats: Client):
    answered = split(cats, items=[A, C], into="dogs")
    made = answered.json()["data"]
    assert (answered.status_code, answered.headers["Location"]) == (201, f"{DATASETS}/dogs")
    assert (made["moved"], made["is_new"], made["items"], made["previous"]) == (2, True, 1, 1)
    assert (made["version"]["version"], made["into_version"]["version"]) == (2, 1)
    assert (names(cats), names(cats, dataset=f"{DATASETS}/dogs")) == (["b.png"], ["a.png", "c.png"])
    assert cats.data(f"{DATASETS}/dogs/items/{A}")["caption"] == "a cat"


def test_split_moves_items_into_an_existing_dataset(cats: Client, world: World):
    cats.post(DATASETS, json={"name": "dogs"})
    add_version(world, {"rex.png": "a dog"}, "dogs")
    assert split(cats, items=[A], into="dogs").json()["data"]["is_new"] is False
    assert names(cats, dataset=f"{DATASETS}/dogs") == ["a.png", "rex.png"]


@pytest.mark.parametrize("body", [{"items": [A]}, {"items": [A], "into": "cats"}, {"items": [A, B, C], "into": "x"}])
def test_split_into_itself_or_of_everything_is_rejected(cats: Client, body: dict[str, Any]):
    assert refusal_of(split(cats, **body)) == (422, "validation_failed")


def test_dry_run_of_a_split_changes_nothing(cats: Client):
    tried = split(cats, items=[A], into="dogs", dry_run=True)
    assert (tried.status_code, tried.json()["data"]["is_new"], tried.json()["data"]["version"]) == (200, True, None)
    assert cats.get(f"{DATASETS}/dogs").status_code == 404


def test_repeated_split_with_one_key_happens_once(cats: Client):
    ask = {"json": {"items": [A], "into": "dogs"}, "headers": {"Idempotency-Key": "k"}}
    first, again = (cats.post(f"{CATS}/split", **ask).json()["data"] for _ in range(2))
    assert first == again
    assert cats.data(CATS)["dataset"]["latest"] == 2


@pytest.mark.parametrize(("visibility", "code"), [("all", (403, "not_yours")), ("own", (404, "dataset_not_found"))])
def test_only_owners_and_administrators_edit_items(make_world: MakeWorld, visibility: str, code: tuple[int, str]):
    world = make_world(auth="required", visibility=visibility)
    ann, bob, root = world.signed_in("ann"), world.signed_in("bob"), world.signed_in("root", "admin")
    for owner, name in ((ann, "cats"), (bob, "bobs")):
        owner.client.post(DATASETS, json={"name": name})
        add_version(world, {f"{name}.png": "x", "a.png": "a", "b.png": "b"}, name)
    assert refusal_of(edit(bob.client, exclude=[A])) == code
    assert refusal_of(split(bob.client, items=[A], into="mine")) == code
    # A split does not write into a dataset of another user either.
    into = refusal_of(split(ann.client, items=[item_id_of("cats.png")], into="bobs"))
    assert into == ((403, "not_yours") if visibility == "all" else (409, "dataset_exists"))
    assert bob.client.data(f"{DATASETS}/bobs")["dataset"]["latest"] == 1
    assert edit(root.client, exclude=[A]).status_code == 200
    assert split(root.client, items=[B], into="new").status_code == 201
    assert root.client.data(f"{DATASETS}/new")["dataset"]["owner"] == "ann"
    viewer = world.signed_in("vera", "viewer")
    assert edit(viewer.client, exclude=[A]).status_code in (403, 404)


def test_audit_records_edits_and_splits(make_world: MakeWorld):
    world = make_world(auth="required")
    ann, root = world.signed_in("ann"), world.signed_in("root", "admin")
    ann.client.post(DATASETS, json={"name": "cats"})
    add_version(world, {"a.png": "a", "b.png": "b", "c.png": "c"})
    edit(ann.client, exclude=[A])
    split(ann.client, items=[B], into="dogs")
    edit(ann.client, exclude=[C], dry_run=True)
    world.runtime.access.audit.run_once()
    rows = root.client.data("/api/v1/auth/audit?object=cats")["entries"]
    found = [(row["operation"].rpartition("/")[2], row["before"], row["after"]) for row in rows[::-1]]
    assert [each[0] for each in found] == ["datasets", "items", "split"]
    assert (found[1][1], found[1][2]["version"]) == ({"version": 1}, 2)
    assert found[2][1] == {"version": 2}
    assert found[2][2] == {"version": 3, "into": "dogs", "into_version": 1, "moved": 1}
