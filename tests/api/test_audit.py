"""Audit entries of requests, and reading the audit."""

import logging
import sqlite3
from typing import Any

import httpx
import orjson
import pytest

from api.domain.access.audit import AuditOutcome
from api.util.logs import AUDIT_LOGGER, LineHandler
from tests.api.conftest import TOY, TRAINING, MakeWorld, World

AUDIT = "/api/v1/auth/audit"


@pytest.fixture
def guarded(make_world: MakeWorld) -> World:
    return make_world(auth="required")


def entries(world: World, **query: Any) -> list[dict[str, Any]]:
    """Return the stored entries, oldest first."""
    world.runtime.access.audit.run_once()
    found: list[dict[str, Any]] = world.client.get(AUDIT, params=query).json()["data"]["entries"]
    return found[::-1]


def only(world: World, **query: Any) -> dict[str, Any]:
    (entry,) = entries(world, **query)
    return entry


def test_change_is_recorded_with_actor_object_address_and_request(guarded: World):
    admin, ann = guarded.signed_in("root", "admin"), guarded.signed_in("ann")
    made = ann.client.post(f"{TRAINING}/start", json=TOY, headers={"X-Request-ID": "r-77"})
    entry = only(admin, object=made.json()["data"]["task_id"])
    assert entry["actor"] == "ann"
    assert entry["operation"] == "POST /api/v1/training/start"
    assert (entry["outcome"], entry["code"], entry["count"]) == ("done", None, 1)
    assert (entry["request_id"], entry["address"]) == ("r-77", "127.0.0.1")
    assert entry["key_id"] is not None
    assert entry["after"]["trainer"] == "toy"
    assert entry["after"]["request"]["config"] == {"epochs": 3}


def test_change_and_refusal_record_the_kind_of_client(guarded: World):
    admin, ann = guarded.signed_in("root", "admin"), guarded.signed_in("ann")
    agent = {"User-Agent": "dpipe/1.1.0 (mcp)"}
    made = ann.client.post(f"{TRAINING}/start", json=TOY, headers=agent)
    assert only(admin, object=made.json()["data"]["task_id"])["via"] == "mcp"
    assert ann.client.get(AUDIT, headers=agent).status_code == 403
    assert ann.client.get(AUDIT).status_code == 403
    assert {each["via"] for each in entries(admin, outcome="refused")} == {"mcp", None}


def test_without_keys_the_actor_of_changes_is_api(world: World):
    task_id = world.start()
    entry = only(world, object=task_id)
    assert (entry["actor"], entry["key_id"]) == ("api", None)


def test_each_change_of_a_training_records_before_and_after(world: World):
    task_id = world.start(name="old")
    path = f"{TRAINING}/{task_id}"
    world.client.patch(path, json={"name": "new", "priority": 5})
    world.client.post(f"{path}/stop", json={"force": True})
    world.client.delete(path, params={"files": "true"})
    started, patched, stopped, deleted = entries(world, object=task_id)
    assert started["before"] is None
    assert (patched["before"], patched["after"]) == ({"name": "old", "priority": 0}, {"name": "new", "priority": 5})
    assert stopped["before"] == {"status": "queued"}
    assert stopped["after"] == {"force": True, "timeout_seconds": None}
    assert deleted["before"]["name"] == "new"
    assert deleted["after"] == {"files_removed": True}


def test_requested_checkpoint_is_recorded(world: World):
    task_id = world.run()
    world.make_checkpoints(task_id, 1)
    world.prints(task_id, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.train()
    assert world.client.post(f"{TRAINING}/{task_id}/save").status_code == 202
    saved = only(world, operation="/save")
    assert (saved["object"], saved["after"]) == (task_id, {"attempt": f"{task_id}.1"})


def test_resume_and_restart_record_their_source(world: World):
    task_id = world.finish()
    world.client.post(f"{TRAINING}/resume/{task_id}", json={"config": {"epochs": 9}})
    resumed = only(world, operation="resume")
    assert resumed["before"] == {"config": {"epochs": 3}}
    assert resumed["after"] == {"checkpoint": "global_step1", "config": {"epochs": 9}}
    world.client.post(f"{TRAINING}/{task_id}/stop", json={"force": True})
    again = world.client.post(f"{TRAINING}/restart/{task_id}").json()["data"]["task_id"]
    restarted = only(world, operation="restart")
    assert (restarted["object"], restarted["before"]) == (again, {"restarted_from": task_id})


def test_registration_is_recorded_and_its_progress_is_counted(world: World):
    registered = {"task_id": "mine", "gpu_ids": [0], "task_type": "training", "description": "by hand"}
    world.client.post("/api/v1/gpu/tasks", json=registered)
    for progress in range(5):
        world.client.patch("/api/v1/gpu/tasks/mine", json={"progress": progress})
    world.client.delete("/api/v1/gpu/tasks/mine")
    made, released, result = sorted(
        entries(world, object="mine"), key=lambda entry: entry["operation"].split()[0] == "PATCH"
    )
    assert made["after"]["description"] == "by hand"
    assert released["before"]["description"] == "by hand"
    assert result["operation"] == "PATCH /api/v1/gpu/tasks/<task_id>"


def test_repeated_request_is_recorded_once(world: World):
    for _ in range(2):
        world.client.post(f"{TRAINING}/start", json=TOY, headers={"Idempotency-Key": "once"})
    assert len(entries(world)) == 1


def test_invalid_request_is_not_recorded(world: World):
    assert world.client.post(f"{TRAINING}/start", json={"model_type": "?"}).status_code == 422
    assert world.client.delete(f"{TRAINING}/train_none").status_code == 404
    assert world.client.post(f"{TRAINING}/validate", json=TOY).status_code == 200
    assert entries(world) == []


def test_reading_is_not_recorded(world: World):
    for path in ("/gpu/status", "/training/list", "/system/overview", "/auth/audit"):
        world.client.get(f"/api/v1{path}")
    assert entries(world) == []


def test_download_is_recorded(world: World):
    task_id = world.finish()
    (world.output(task_id) / "model.txt").write_text("weights")
    assert world.client.get(f"{TRAINING}/{task_id}/artifacts/model.txt").status_code == 200
    assert only(world, object=f"{task_id}/model.txt")["operation"].startswith("GET ")


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/training/list", {}, "unauthenticated"),
        ("/gpu/status", {}, "unauthenticated"),
        ("/nowhere", {}, "unauthenticated"),
        ("/gpu/stream", {}, "unauthenticated"),
        ("/training/list", {"Authorization": f"Bearer dp_abcdefghijkl_{'x' * 43}"}, "wrong_key"),
        ("/training/list?api_key=1", {}, "key_in_address"),
        ("/training/list", {"Host": "evil.example"}, "host_not_allowed"),
        ("/training/list", {"Origin": "http://evil.example"}, "origin_not_allowed"),
    ],
)
def test_refusals_of_the_gate_are_recorded(guarded: World, path: str, headers: dict[str, str], code: str):
    assert guarded.client.get(f"/api/v1{path}", headers=headers).json()["error"]["code"] == code
    entry = only(guarded.signed_in("root", "admin"), outcome="refused")
    assert (entry["actor"], entry["code"]) == ("nobody", code)
    assert entry["operation"] == "GET " + {"/nowhere": "unknown"}.get(path, f"/api/v1{path.partition('?')[0]}")


def test_missing_permission_is_recorded_with_the_user(guarded: World):
    viewer = guarded.signed_in("vic", "viewer")
    assert viewer.client.post(f"{TRAINING}/start", json=TOY).status_code == 403
    entry = only(guarded.signed_in("root", "admin"), actor="vic")
    assert (entry["outcome"], entry["code"]) == ("refused", "forbidden")


def test_access_to_another_users_task_is_recorded_with_the_user(guarded: World):
    task_id = guarded.signed_in("ann").start()
    bob = guarded.signed_in("bob")
    assert bob.client.delete(f"{TRAINING}/{task_id}").status_code == 403
    entry = only(guarded.signed_in("root", "admin"), actor="bob")
    assert (entry["code"], entry["operation"]) == ("not_yours", "DELETE /api/v1/training/<task_id>")


def test_access_to_a_hidden_task_is_recorded(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    task_id = world.signed_in("ann").start()
    bob = world.signed_in("bob").client
    assert bob.get(f"{TRAINING}/{task_id}").json()["error"]["code"] == "task_not_found"
    assert bob.get(f"{TRAINING}/train_none").json()["error"]["code"] == "task_not_found"
    entry = only(world.signed_in("root", "admin"), actor="bob")
    assert (entry["outcome"], entry["code"]) == ("refused", "task_not_found")


def test_keys_are_recorded_without_their_secrets(guarded: World):
    admin = guarded.signed_in("root", "admin")
    wanted = {"user_id": "ann", "role": "trainer", "name": "laptop", "quota": {"gpus": 2}}
    made = admin.client.post("/api/v1/auth/generate-key", json=wanted).json()["data"]
    rotated = admin.client.post(f"/api/v1/auth/keys/{made['key_id']}/rotate", json={}).json()["data"]
    admin.client.delete(f"/api/v1/auth/keys/{rotated['key_id']}")
    generated, replaced = entries(admin, object=made["key_id"])
    (revoked,) = entries(admin, object=rotated["key_id"])
    assert (generated["after"]["user_id"], generated["after"]["role"]) == ("ann", "trainer")
    assert generated["after"]["quota"] == {"gpus": 2}
    assert replaced["after"]["rotated_to"] == rotated["key_id"]
    assert (revoked["actor"], revoked["after"]["revoked_by"]) == ("root", "root")
    result = str(entries(admin))
    assert made["api_key"] not in result
    assert made["api_key"].split("_", 2)[2] not in result


def test_quota_change_is_recorded_with_before_and_after(guarded: World):
    admin = guarded.signed_in("root", "admin")
    for gpus in (2, 4):
        admin.client.patch("/api/v1/auth/users/root", json={"quota": {"gpus": gpus}})
    first, second = entries(admin, object="root")
    assert first["after"] == {"quota": {"gpus": 2}}
    assert (second["before"], second["after"]) == ({"quota": {"gpus": 2}}, {"quota": {"gpus": 4}})


def test_signing_in_and_out_is_recorded_with_the_user(guarded: World):
    admin = guarded.signed_in("root", "admin")
    key, shown = guarded.make_key("ann")
    signed_in = guarded.client.post("/api/v1/auth/login", json={"key": shown})
    cookie = {"Cookie": f"dp_session={signed_in.cookies['dp_session']}", "Origin": "http://127.0.0.1:8080"}
    ours = {**cookie, "Host": "127.0.0.1:8080"}
    assert guarded.client.post("/api/v1/auth/logout", headers=ours).status_code == 200
    login, logout = entries(admin, actor="ann")
    assert (login["operation"], login["object"], login["key_id"]) == ("POST /api/v1/auth/login", "ann", key.key_id)
    assert logout["operation"] == "POST /api/v1/auth/logout"
    assert signed_in.cookies["dp_session"] not in str(entries(admin))


def test_failed_sign_in_is_recorded_with_the_tried_key(guarded: World):
    admin = guarded.signed_in("root", "admin")
    tried = {"key": f"dp_abcdefghijkl_{'x' * 43}"}
    assert guarded.client.post("/api/v1/auth/login", json=tried).status_code == 401
    entry = only(admin, operation="login")
    assert (entry["actor"], entry["outcome"], entry["object"]) == ("nobody", "refused", "abcdefghijkl")
    assert "x" * 9 not in str(entry)


def test_reading_the_audit_requires_the_permission(guarded: World):
    for role, status in (("viewer", 403), ("trainer", 403), ("admin", 200)):
        client = guarded.signed_in(role, role).client
        assert client.get(AUDIT).status_code == status
        assert client.get(f"{AUDIT}/verify").status_code == status


def test_audit_is_verified(world: World):
    world.start()
    world.start()
    verdict = world.client.get(f"{AUDIT}/verify").json()["data"]
    assert (verdict["ok"], verdict["complete"], verdict["checked"]) == (True, True, 2)
    with sqlite3.connect(world.storage / "database.sqlite") as connection:
        connection.execute("UPDATE audit SET actor = 'somebody' WHERE id = 2")
    connection.close()
    verdict = world.client.get(f"{AUDIT}/verify").json()["data"]
    assert (verdict["ok"], verdict["bad_id"], verdict["problem_code"]["code"]) == (False, 2, "audit_changed")


def test_line_stored_elsewhere_is_compared_with_the_chain(world: World):
    world.start()
    stored = entries(world)[0]
    verification = world.client.get(f"{AUDIT}/verify", params={"anchor": f"{stored['id']}:{stored['hash']}"})
    assert verification.json()["data"]["anchor_holds"] is True
    assert world.client.get(f"{AUDIT}/verify", params={"anchor": "1"}).status_code == 422


def test_invalid_filters_are_rejected(client: httpx.Client):
    for query in ("since=soon", "outcome=maybe", "cursor=x", "limit=0", "who=ann"):
        assert client.get(f"{AUDIT}?{query}").status_code == 422
    assert client.get(f"{AUDIT}?since=1h&outcome={AuditOutcome.DROPPED}").status_code == 200


def test_each_row_is_one_line_of_json_in_any_log_format(world: World):
    lines: list[str] = []
    handler = LineHandler(lines.append, as_json=False)
    logger = logging.getLogger(AUDIT_LOGGER)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        world.start(description="two\nlines\u2028three")
    finally:
        logger.removeHandler(handler)
    stored = entries(world)[0]
    (line,) = lines
    result = orjson.loads(line)
    assert line.count("\n") == 1
    assert (result["id"], result["hash"], result["after"]) == (stored["id"], stored["hash"], stored["after"])
