"""Requests about the end of an idle machine, power limits and energy, through the complete application."""

from typing import Any

import pytest

from api.alerts.idle.copies import CopyInterrupted
from api.config import ConfigError
from api.executors.fake import outcome
from api.util.clock import FakeClock
from tests.api.conftest import MakeWorld, World
from tests.api.test_registry import ARTIFACT, LORA
from tests.api.test_schedule import EVERY_DAY
from tests.unit.files.weights.stand_ins import write_stand_in

IDLE, LIMIT = "/api/v1/system/idle", "/api/v1/gpu/0/power-limit"


def test_machine_without_a_rule_never_ends(world: World):
    assert world.client.data(IDLE)["stage"] == "off"
    assert world.client.post(f"{IDLE}/hold", json={}).status_code == 409
    assert world.client.delete(f"{IDLE}/hold").status_code == 200


@pytest.mark.parametrize(
    "settings", [{}, {"when_idle": "webhook"}, {"when_idle": "command"}], ids=["no action", "no URL", "no command"]
)
def test_rule_needs_an_action_and_its_target(make_world: MakeWorld, settings: dict[str, Any]):
    with pytest.raises(ConfigError, match="WHEN_IDLE"):
        make_world(when_idle_minutes=30, **settings)


def test_trainers_hold_the_machine_and_viewers_see_it(make_world: MakeWorld, clock: FakeClock):
    world = make_world(
        clock=clock, auth="required", when_idle_minutes=30, when_idle="command", idle_command=("/bin/true",)
    )
    root, ann, eve = (world.key(*who) for who in (("root", "admin"), ("ann", "trainer"), ("eve", "viewer")))
    held = world.client.post(f"{IDLE}/hold", json={"seconds": 3600}, headers=ann)
    assert (held.status_code, held.json()["data"]["stage"], held.json()["data"]["held_by"]) == (200, "held", "ann")
    seen = world.client.get(IDLE, headers=eve).json()["data"]
    assert (seen["stage"], seen["action"], seen["idle_minutes"]) == ("held", "command", 30)
    assert world.client.post(f"{IDLE}/hold", json={"seconds": 1}, headers=eve).status_code == 403
    assert world.client.delete(f"{IDLE}/hold", headers=root).json()["data"]["held_by"] is None
    audited = world.client.get("/api/v1/auth/audit", headers=root).json()["data"]["entries"]
    assert [(each["actor"], each["after"]["held_by"]) for each in audited if "idle" in each["operation"]][:2] == [
        ("root", None),
        ("ann", "ann"),
    ]


def test_hold_that_arrives_at_the_same_time_as_a_shorter_one_stays(make_world: MakeWorld, clock: FakeClock):
    world = make_world(
        clock=clock, auth="required", when_idle_minutes=30, when_idle="command", idle_command=("/bin/true",)
    )
    ann, bob = world.key("ann", "trainer"), world.key("bob", "trainer")
    store = world.runtime.services.alerts.idle_ends._store
    before = store.read()
    world.client.post(f"{IDLE}/hold", json={"seconds": 3600}, headers=ann)
    # What bob's request reads outside of its own change is older than ann's hold.
    store.read = lambda: before
    assert world.client.post(f"{IDLE}/hold", json={"seconds": 60}, headers=bob).status_code == 403
    assert world.client.delete(f"{IDLE}/hold", headers=bob).status_code == 403


def test_chosen_model_is_pushed_once_with_the_name_of_its_training(make_world: MakeWorld):
    world = make_world(
        when_idle_minutes=30, when_idle="command", idle_command=("/bin/true",), when_idle_push_to="ann/models"
    )
    task_id = world.finish(name="My cats")
    write_stand_in(world.output(task_id) / ARTIFACT, LORA, "BF16", {"format": "pt"})
    chosen = world.client.put(f"/api/v1/training/{task_id}/chosen", json={"checkpoint": "epoch2"})
    assert chosen.status_code == 200, chosen.text
    pushes = world.runtime.services.alerts.idle_ends._configured.pushes
    for _ in range(2):
        with pytest.raises(CopyInterrupted):
            pushes.make(lambda: True)
    (push,) = world.client.data("/api/v1/models/pushes")["pushes"]
    assert (push["model"], push["version"], push["repository"]) == (task_id, 1, "ann/models")
    world.executor.ends(world.run_transfer(push["push_id"]), outcome(exit_code=1))
    world.train()
    problem = pushes.make(lambda: True)
    assert problem is not None
    assert (problem.said.code, problem.said.params["repository"]) == ("idle_push_failed", "ann/models")


@pytest.mark.parametrize("body", [{"seconds": 0}, {"seconds": "x"}, {"hours": 2}, []])
def test_invalid_hold_is_rejected(world: World, body: Any):
    assert world.client.post(f"{IDLE}/hold", json=body).status_code == 422


def test_power_limit_of_a_simulated_gpu(make_world: MakeWorld, clock: FakeClock):
    world = make_world(clock=clock)
    before = world.client.data(LIMIT)
    watts = before["min_watts"]
    put = world.client.put(
        LIMIT, json={"watts": watts, "windows": [{"days": EVERY_DAY, "begins": "00:00", "ends": "00:00"}]}
    )
    assert (put.status_code, put.json()["data"]["watts"], put.json()["data"]["is_active"]) == (200, watts, True)
    world.sweep()
    assert world.client.data("/api/v1/gpu/0/details")["power"]["limit"] == watts
    assert world.client.delete(LIMIT).status_code == 200
    world.sweep()
    assert world.client.data("/api/v1/gpu/0/details")["power"]["limit"] == before["current_watts"]


def test_invalid_power_limit_is_rejected(world: World):
    for body in ({"watts": 1}, {"watts": "x"}, {"watts": 300, "windows": [{}]}, {"watts": 300, "time_zone": "Mars"}):
        assert world.client.put(LIMIT, json=body).status_code == 422
    for method in ("get", "delete"):
        assert getattr(world.client, method)("/api/v1/gpu/99/power-limit").status_code == 404
    assert world.client.put("/api/v1/gpu/99/power-limit", json={"watts": 300}).status_code == 404


def test_training_shows_its_energy(make_world: MakeWorld, clock: FakeClock):
    world = make_world(clock=clock, price_per_kwh=0.5, price_currency="EUR")
    task_id = world.run(gpu_ids=[0])
    assert world.get(task_id)["energy"] is None
    meter = world.runtime._training.energy
    for _ in range(30):
        world.sweep()
        meter.run_once()
        clock.advance(10)
    energy = world.get(task_id)["energy"]
    assert energy["kwh"] > 0
    assert (energy["cost"], energy["currency"]) == (pytest.approx(energy["kwh"] / 2, rel=0.05), "EUR")
    (row,) = world.client.data("/api/v1/training/list")["tasks"]
    assert row["energy"] == energy
