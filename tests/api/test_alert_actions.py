"""Rules with actions, through the complete application: permissions and results."""

from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.domain.access.audit import AuditFilter
from tests.api.test_alerts import ALERTS, RULE, AlertServer, Skipping, guarded, hot, refusing

__all__ = ["guarded", "hot", "refusing"]


STOPPING = {**RULE, "rule_id": "stops", "actions": ["stop_with_checkpoint"]}


def test_permissions_for_actions_of_rules(guarded: AlertServer):
    world = guarded.world
    root, permissions = world.key("root", "admin"), ["alerts:manage", "alerts:read", "training:write", "gpus:read"]
    ann = world.key("ann", permissions=permissions)

    def post(body: Any, key: Any) -> Any:
        return world.client.post(f"{ALERTS}/rules", json=body, headers=key)

    assert post(STOPPING, ann).json()["data"]["rule"]["acts_for"] == "ann"
    refused = post({**STOPPING, "rule_id": "holds", "actions": ["hold_gpu"]}, ann)
    assert (refused.status_code, refused.json()["data"]) == (403, {"missing_permission": "system:write"})
    assert post({**STOPPING, "rule_id": "all"}, root).json()["data"]["rule"]["acts_for"] is None
    changed = world.client.patch(f"{ALERTS}/rules/all", json={"for_seconds": 1}, headers=ann)
    assert changed.status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"actions": ["power_off"]},
        {"actions": ["idle_command"]},
        {"idle_command": "/bin/true"},
        {"scope": "disk", "metric": "free_gb", "comparison": "below", "value": 1},
    ],
    ids=["no action", "not set", "a command by request", "no task of a disk"],
)
def test_unsupported_action_is_rejected(refusing: AlertServer, changes: dict[str, Any]):
    refusing.ask("POST", "/rules", {**STOPPING, **changes}, status=422)


def test_action_is_listed_with_its_alert_and_in_the_audit(hot: AlertServer):
    hot.ask("POST", "/rules", {**RULE, "actions": ["hold_gpu"]}, status=201)
    hot.temperature(90)
    (alert,) = hot.ask("GET")["alerts"]
    assert alert["remedy"] == "By its rule no task gets this GPU until this ends."
    hot.alerts.actions.run_once()
    detail = hot.ask("GET", f"/{alert['alert_id']}")
    assert [(each["kind"], each["state"]) for each in detail["actions"]] == [("hold_gpu", "done")]
    assert detail["history"][-1]["message"] == "hold_gpu done: the GPU is held until the alert ends"
    assert hot.world.client.data("/api/v1/system/holds")["holds"][0]["made_by"] == "rule hot"
    hot.temperature(40)
    hot.alerts.actions.run_once()
    assert hot.world.client.data("/api/v1/system/holds")["holds"] == []
    rows = hot.world.runtime.services.access.audit._store.page(
        AuditFilter(operations=("alert action hold_gpu",)), 10, None
    )
    assert [record.entry.actor for record in rows[0]] == ["rule hot"]


class Moving(Skipping):
    """A clock that advances wall time and monotonic time."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.skipped)


class Rented:
    """A machine with an idle command, which leaves a file."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.mark = root, root / "ran"
        command = root / "off"
        command.write_text(f'#!/bin/sh\necho "$1" >> {self.mark}\n')
        command.chmod(0o700)
        self.settings: dict[str, Any] = {"idle_command": (str(command), "poweroff")}
        monkeypatch.setattr("tests.api.test_alerts.Skipping", Moving)
        self.skipped = 0.0

    def boot(self, stack: ExitStack) -> AlertServer:
        """Start a server on the same storage after some more time."""
        made = AlertServer(stack, self.root / "storage", **self.settings)
        self.skipped += 10_000
        made.clock.skipped += self.skipped
        return made

    def wait(self, server: AlertServer, seconds: float) -> None:
        """Let time pass, and run rounds as the loops would."""
        for _ in range(4):
            server.clock.skipped += seconds / 4
            server.world.sweep()
            server.look()
            server.alerts.actions.run_once()

    @property
    def runs(self) -> int:
        return len(self.mark.read_text().split()) if self.mark.exists() else 0


@pytest.fixture
def rented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rented:
    return Rented(tmp_path, monkeypatch)


IDLE = {"enabled": True, "for_seconds": 600, "actions": ["idle_command"]}


def test_command_of_an_idle_machine_runs_once_even_after_a_restart(rented: Rented):
    with ExitStack() as stack:
        server = rented.boot(stack)
        assert server.ask("PATCH", "/rules/machine_idle", IDLE)["rule"]["actions"] == ["idle_command"]
        rented.wait(server, 400)
        assert rented.runs == 0
        rented.wait(server, 800)
        (alert,) = server.ask("GET", "?rule=machine_idle")["alerts"]
        assert rented.runs == 1
        rented.wait(server, 3600)
        assert rented.runs == 1
    with ExitStack() as stack:
        server = rented.boot(stack)
        rented.wait(server, 400)
        assert rented.runs == 1
        (action,) = server.ask("GET", f"/{alert['alert_id']}")["actions"]
        assert (action["state"], action["result"]) == ("done", "the command succeeded")


def test_task_that_is_queued_in_the_last_minute_keeps_the_machine_on(rented: Rented):
    with ExitStack() as stack:
        server = rented.boot(stack)
        server.ask("PATCH", "/rules/machine_idle", IDLE)
        rented.wait(server, 400)
        server.clock.skipped += 600
        server.world.sweep()
        server.look()
        server.world.start()
        server.clock.skipped += 61
        server.alerts.actions.run_once()
        assert rented.runs == 0
