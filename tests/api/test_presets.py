"""Presets that users save: validated, private unless shared, with unique names per owner."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import World, open_world
from tests.api.datasets import refusal_of
from tests.databases import BACKENDS, fresh_postgres

PRESETS = "/api/v1/presets"
SETTINGS: dict[str, Any] = {
    "epochs": 40,
    "adapter": {"type": "lora", "rank": 16, "dtype": "bfloat16"},
    "optimizer": {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99]},
}
BODY: dict[str, Any] = {"name": "Rank 16", "model_type": "flux", "settings": SETTINGS}


@pytest.fixture(params=BACKENDS)
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server that requires keys, on either database."""
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres()) if request.param == "postgresql" else None
        more = {} if url is None else {"database_url": url}
        yield open_world(stack, tmp_path / "storage", auth="required", rate_limits=(), **more)


@pytest.fixture
def ann(guarded: World) -> World:
    return guarded.signed_in("ann")


@pytest.fixture
def bob(guarded: World) -> World:
    return guarded.signed_in("bob")


def save(world: World, **fields: Any) -> dict[str, Any]:
    made = world.client.post(PRESETS, json={**BODY, **fields})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()["data"]
    assert made.headers["location"] == f"{PRESETS}/{found['preset_id']}"
    return found


def listed(world: World, query: str = "") -> list[str]:
    return [each["name"] for each in world.client.data(f"{PRESETS}{query}")["presets"]]


def pointers(answer: Any) -> list[str]:
    assert refusal_of(answer) == (422, "validation_failed"), answer.text
    return [each["pointer"] for each in answer.json()["error"]["errors"]]


def test_name_of_a_preset_is_not_blank(ann: World):
    assert pointers(ann.client.post(PRESETS, json={**BODY, "name": " \u3000 "})) == ["/name"]
    assert save(ann, name=" mine ")["name"] == "mine"


def test_preset_is_saved_changed_and_deleted(ann: World):
    made = save(ann, dataset={"resolutions": [768]})
    assert (made["owner"], made["shared"], made["settings"]) == ("ann", False, SETTINGS)
    address = f"{PRESETS}/{made['preset_id']}"
    assert ann.client.data(address) == made
    changed = ann.client.patch(address, json={"name": "Rank 8", "settings": {"epochs": 8}})
    assert (
        changed.json()["data"] | {"name": "Rank 8", "settings": {"epochs": 8}, "dataset": {"resolutions": [768]}}
        == (changed.json()["data"])
    )
    assert listed(ann) == ["Rank 8"]
    assert ann.client.delete(address).json()["data"] == {"preset_id": made["preset_id"]}
    assert refusal_of(ann.client.get(address)) == (404, "preset_not_found")
    assert listed(ann) == []


def test_list_is_paged_and_filtered_by_model_type(ann: World):
    for number in range(3):
        save(ann, name=f"Flux {number}")
    save(ann, name="Wan", model_type="wan")
    assert listed(ann) == ["Wan", "Flux 2", "Flux 1", "Flux 0"]
    first = ann.client.data(f"{PRESETS}?model_type=flux&limit=2")
    assert [each["name"] for each in first["presets"]] == ["Flux 2", "Flux 1"]
    assert first["pagination"]["total"] == 3
    assert listed(ann, f"?model_type=flux&cursor={first['pagination']['next_cursor']}") == ["Flux 0"]


def test_names_are_unique_per_owner(ann: World, bob: World):
    made = save(ann)
    save(bob)
    assert refusal_of(ann.client.post(PRESETS, json=BODY)) == (409, "preset_exists")
    other = save(ann, name="Other")
    renamed = ann.client.patch(f"{PRESETS}/{other['preset_id']}", json={"name": made["name"]})
    assert refusal_of(renamed) == (409, "preset_exists")


def test_private_preset_does_not_exist_for_other_users(ann: World, bob: World):
    address = f"{PRESETS}/{save(ann)['preset_id']}"
    assert listed(bob) == []
    answers = [bob.client.get(address), bob.client.patch(address, json={"name": "x"}), bob.client.delete(address)]
    assert [refusal_of(each) for each in answers] == [(404, "preset_not_found")] * 3
    missing = bob.client.get(f"{PRESETS}/{'0' * 32}")
    assert missing.json()["error"]["detail"].replace("0" * 32, "") == (
        answers[0].json()["error"]["detail"].replace(address.rpartition("/")[2], "")
    )


def test_shared_preset_is_readable_but_not_changeable_by_others(guarded: World, ann: World, bob: World):
    address = f"{PRESETS}/{save(ann, shared=True)['preset_id']}"
    viewer = guarded.signed_in("eve", "viewer")
    assert listed(bob) == listed(viewer) == ["Rank 16"]
    assert refusal_of(bob.client.patch(address, json={"name": "x"})) == (403, "not_yours")
    assert refusal_of(bob.client.delete(address)) == (403, "not_yours")
    assert refusal_of(viewer.client.post(PRESETS, json=BODY)) == (403, "forbidden")
    assert ann.client.patch(address, json={"shared": False}).status_code == 200
    assert refusal_of(bob.client.get(address)) == (404, "preset_not_found")


def test_administrator_sees_and_deletes_presets_of_all(guarded: World, ann: World):
    address = f"{PRESETS}/{save(ann)['preset_id']}"
    admin = guarded.signed_in("root", "admin")
    assert listed(admin) == ["Rank 16"]
    assert admin.client.delete(address).status_code == 200
    (row, *_) = admin.client.data("/api/v1/auth/audit?operation=DELETE%20/api/v1/presets/<preset_id>")["entries"]
    assert (row["actor"], row["object"], row["before"]["name"]) == ("root", address.rpartition("/")[2], "Rank 16")


def test_retry_with_the_same_idempotency_key_saves_once(ann: World):
    header = {"Idempotency-Key": "once"}
    first, second = (ann.client.post(PRESETS, json=BODY, headers=header) for _ in range(2))
    assert first.json()["data"] == second.json()["data"]
    assert second.headers["idempotent-replayed"] == "true"
    assert listed(ann) == ["Rank 16"]


def test_number_of_presets_is_limited_per_user(ann: World, bob: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("api.presets.store.MOST_PRESETS", 2)
    for number in range(2):
        save(ann, name=f"Preset {number}")
    assert refusal_of(ann.client.post(PRESETS, json=BODY)) == (409, "too_many_presets")
    assert len(listed(ann)) == 2
    save(bob)


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"epochs": -1}, "/settings/epochs"),
        ({"epochs": "many"}, "/settings/epochs"),
        ({"adapter": {"rank": 0}}, "/settings/adapter/rank"),
        ({"adapter": {"type": "unknown"}}, "/settings/adapter/type"),
        ({"adapter": "lora"}, "/settings/adapter"),
        ({"save": {"every_n_epochs": -3}}, "/settings/save/every_n_epochs"),
        ({"model": {"type": "wan"}}, "/settings/model/type"),
        ({"epochs": None}, "/settings/epochs"),
        ({"optimizer": {"betas": [0.9, "x"]}}, "/settings/optimizer/betas"),
        ({"optimizer": {"type": "adamw_optimi", "lr": -1}}, "/settings/optimizer/lr"),
    ],
)
def test_invalid_settings_are_rejected_with_their_place(world: World, settings: dict[str, Any], pointer: str):
    assert pointers(world.client.post(PRESETS, json={**BODY, "settings": settings})) == [pointer]


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"monitoring": {"wandb_api_key": "0123456789"}}, "/settings/monitoring/wandb_api_key"),
        ({"monitoring": {"wandb_api_key": "***"}}, "/settings/monitoring/wandb_api_key"),
        ({"note": "hf_abcdefghijklmnopqrstuvwxyz"}, "/settings/note"),
        ({"model": {"vae_path": "https://ann:secret@host/vae"}}, "/settings/model/vae_path"),
        ({"deep": [{"token": "x"}]}, "/settings/deep/0/token"),
    ],
)
def test_secrets_are_rejected(world: World, settings: dict[str, Any], pointer: str):
    refused = world.client.post(PRESETS, json={**BODY, "settings": settings})
    assert pointer in pointers(refused)
    assert listed(world) == []


def test_preset_names_no_dataset(world: World):
    dataset = {"directories": [{"dataset": "cats"}]}
    assert pointers(world.client.post(PRESETS, json={**BODY, "dataset": dataset})) == ["/dataset/directories"]


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": nested(30)},
        {"settings": {f"k{number}": 1 for number in range(2_000)}},
        {"settings": {"model": {"vae_path": "x" * 100_000}}},
        {"settings": []},
        {"settings": None},
        {"dataset": 3},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"name": "\u202egnp"},
        {"model_type": "unknown"},
        {"model_type": ["flux"]},
        {"shared": "yes"},
        {"owner": "bob"},
        {"preset_id": "0" * 32},
    ],
)
def test_hostile_bodies_are_rejected_and_nothing_is_stored(world: World, fields: dict[str, Any]):
    assert refusal_of(world.client.post(PRESETS, json={**BODY, **fields})) == (422, "validation_failed")
    made = save(world)
    address = f"{PRESETS}/{made['preset_id']}"
    fields = {"settings": {"epochs": -1}} if "settings" in fields and not fields["settings"] else fields
    assert refusal_of(world.client.patch(address, json=fields)) == (422, "validation_failed")
    assert world.client.data(PRESETS)["presets"] == [made]


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "'; DROP TABLE presets --", "<script>"])
def test_odd_texts_are_stored_or_rejected_on_both_databases(ann: World, text: str):
    made = ann.client.ask(
        "POST", PRESETS, content=json.dumps({**BODY, "settings": {"run_name": text}}),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    if made.status_code == 201:
        assert ann.client.data(f"{PRESETS}/{made.json()['data']['preset_id']}")["settings"] == {"run_name": text}
    else:
        assert made.status_code in (400, 422), made.text


@pytest.mark.parametrize("preset_id", ["x", "..%2f..", "0" * 33, "%00", "é"])
def test_impossible_ids_are_not_found(world: World, preset_id: str):
    assert world.client.get(f"{PRESETS}/{preset_id}").status_code == 404
