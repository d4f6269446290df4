"""The routes of alerts through the complete application: one server whose GPU overheats on request of a test."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from api.alerts.delivery.notifiers.notifier import FakeNotifier
from api.alerts.facts import site_facts
from api.domain.access.principal import Role
from api.gpus.sources.source import FakeSource
from api.util.clock import SystemClock
from tests.api.conftest import TOY, World, open_world
from tests.api.streams import EVENTS_STREAM, listen

ALERTS = "/api/v1/alerts"
RULE = {
    "rule_id": "hot",
    "title": "hot",
    "scope": "gpu",
    "metric": "temperature_gpu",
    "comparison": "at_least",
    "value": 80,
    "summary": "{gpu} is at {temperature_gpu} °C.",
}
HOOK = {"name": "hook", "kind": "webhook", "url": "https://8.8.8.8/topsecret-path", "group_wait_seconds": 0}
DISK = SimpleNamespace(total=2**40, used=2**39, free=2**39)


class Skipping(SystemClock):
    """A clock that a test advances, since nothing fires right after a start."""

    skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


class AlertServer:
    """A server with one GPU and fake channels, whose loops the tests run."""

    def __init__(self, stack: ExitStack, storage: Any, **settings: Any) -> None:
        # The alerts do not depend on the disk of the machine that runs the tests.
        stack.enter_context(patch.object(site_facts.shutil, "disk_usage", lambda path: DISK))
        self.source, self.clock = FakeSource(1), Skipping()
        self.world = open_world(stack, storage, self.source, clock=self.clock, **settings)
        self.alerts = self.world.runtime.alerts
        self.notifier = FakeNotifier()
        for real in self.alerts.courier._notifiers.values():
            # The real notifiers check addresses.
            real.send = self.notifier.send  # type: ignore[method-assign]
        self.alerts.loop.run_once()
        self.clock.skipped += 60
        self.world.sweep()

    def temperature(self, celsius: int) -> None:
        self.source.vitals[0] = replace(self.source.vitals[0], temperature_gpu=celsius)
        self.world.sweep()
        self.look()

    def look(self) -> None:
        self.alerts.loop.wake()
        self.alerts.loop.run_once()
        self.alerts.news.run_once()
        carried: list[str] = []
        self.alerts.carriers.carry = lambda delivery, channel: carried.append(delivery) or True  # type: ignore[method-assign,func-returns-value]
        self.alerts.outbox.wake()
        self.alerts.outbox.run_once()
        for delivery_id in carried:
            self.alerts.courier.deliver(delivery_id)

    def ask(self, method: str, path: str = "", body: Any = None, world: World | None = None, status: int = 200) -> Any:
        answer = (world or self.world).client.ask(method, ALERTS + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()["data"]


@pytest.fixture
def hot(tmp_path: Any) -> Iterator[AlertServer]:
    with ExitStack() as stack:
        yield AlertServer(stack, tmp_path / "storage")


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertServer]:
    with ExitStack() as stack:
        yield AlertServer(stack, tmp_path_factory.mktemp("refusing") / "storage")


@pytest.fixture
def guarded(tmp_path: Any) -> Iterator[AlertServer]:
    with ExitStack() as stack:
        yield AlertServer(stack, tmp_path / "storage", auth="required", visibility="own", rate_limits=())


def test_alert_from_its_rule_to_its_end(hot: AlertServer):
    hot.ask("POST", "/rules", RULE, status=201)
    hot.ask("POST", "/channels", HOOK, status=201)
    hot.temperature(90)
    listed = hot.ask("GET")
    assert listed["counts"]["firing"] == 1
    (alert,) = listed["alerts"]
    assert (alert["state"], alert["summary"][-12:], alert["value"]) == ("firing", "is at 90 °C.", 90.0)
    assert [message.title for message in hot.notifier.sent] == [f"⚠️ {alert['summary']}"]
    assert hot.ask("POST", f"/{alert['alert_id']}/acknowledge")["state"] == "acknowledged"
    assert hot.ask("GET", "?state=acknowledged")["pagination"]["total"] == 1
    assert hot.ask("DELETE", f"/{alert['alert_id']}/acknowledge")["state"] == "firing"
    hot.temperature(40)
    detail = hot.ask("GET", f"/{alert['alert_id']}")
    assert (detail["alert"]["state"], detail["alert"]["peak"]) == ("resolved", 90.0)
    assert [row["message"].split(":")[0] for row in detail["history"]] == [
        "fires",
        "acknowledged",
        "no longer acknowledged",
        "resolved",
    ]
    assert [row["state"] for row in detail["deliveries"]] == ["delivered", "delivered"]
    assert hot.notifier.sent[-1].is_resolved
    assert hot.ask("POST", f"/{alert['alert_id']}/acknowledge", status=409) is None


def test_problem_of_a_tracker_is_an_alert_until_it_works_again(hot: AlertServer):
    tracker = SimpleNamespace(name="wandb", problem="401 Unauthorized", stop=lambda: None)
    object.__setattr__(hot.world.runtime._training, "trackers", (tracker,))

    def firing() -> list[str]:
        for _ in range(2):
            hot.clock.skipped += 90
            hot.world.sweep()
            hot.look()
        return [
            each["summary"].partition(" ")[2] for each in hot.ask("GET", "?rule=tracker_failing&state=firing")["alerts"]
        ]

    assert firing() == ["cannot send everything to wandb: 401 Unauthorized"]
    tracker.problem = None
    assert firing() == []


def test_stream_of_the_page_has_alerts(hot: AlertServer):
    hot.ask("POST", "/rules", RULE, status=201)
    hot.look()
    client = hot.world.client

    async def talk() -> Any:
        async with client.live(), listen(client, EVENTS_STREAM, "topics=system,alert") as stream:
            hot.temperature(90)
            return await stream.until("alert")

    received = client.run(talk())
    assert (received.data["alert"]["rule_id"], received.data["change"]["state"]) == ("hot", "firing")
    assert hot.ask("GET", f"?gpu_uuid={received.data['alert']['labels']['gpu_uuid']}")["pagination"]["total"] == 1
    assert hot.ask("GET", "?open=false&since=1h")["alerts"] == []


def test_stream_without_permission_has_no_alerts(guarded: AlertServer):
    blind = guarded.world.signed_in("blind", None, permissions=["training:read"])
    answer = blind.client.get(f"{EVENTS_STREAM}?topics=gpu,alert")
    assert (answer.status_code, answer.json()["data"]) == (403, {"missing_permission": "alerts:read"})


def test_silence_suppresses_notifications_and_ends(hot: AlertServer):
    hot.ask("POST", "/channels", HOOK, status=201)
    hot.ask("POST", "/rules", RULE, status=201)
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    request = {"matchers": [{"label": "rule", "value": "h*", "is_glob": True}], "until": until, "comment": "new fan"}
    silence = hot.ask("POST", "/silences", request, status=201)
    hot.temperature(90)
    assert (hot.ask("GET")["alerts"][0]["state"], hot.notifier.sent) == ("silenced", [])
    assert hot.ask("GET", "/silences")["silences"][0]["author"] == "api"
    assert not hot.ask("DELETE", f"/silences/{silence['silence_id']}")["is_active"]
    hot.look()
    assert len(hot.notifier.sent) == 1
    assert hot.ask("GET", "/silences?ended=true")["pagination"]["total"] == 1


def test_metrics_are_listed(hot: AlertServer):
    names = {metric["name"] for metric in hot.ask("GET", "/metrics")["metrics"]}
    assert {"temperature_gpu", "free_percent", "checkpoint_age"} <= names


@pytest.mark.parametrize(
    ("path", "body", "pointers"),
    [
        ("/rules", {**RULE, "comparison": "equal", "value": "hot"}, {"/comparison", "/value"}),
        ("/rules", {**RULE, "metric": "nothing"}, {"/metric"}),
        ("/rules", {**RULE, "rule_id": "a b", "scope": "moon"}, {"/rule_id", "/scope"}),
        ("/rules", {**RULE, "for_seconds": -1, "strange": 1}, {"/for_seconds", "/strange"}),
        ("/channels", {**HOOK, "url": "http://127.0.0.1/x"}, {"/url"}),
        ("/channels", {**HOOK, "url": "http://169.254.169.254/latest"}, {"/url"}),
        ("/channels", {**HOOK, "kind": "apprise", "url": "json://10.0.0.1"}, {"/url"}),
        ("/channels", {**HOOK, "signing_key": "short"}, {"/url"}),
        ("/channels", {**HOOK, "kind": "apprise", "signing_key": "whsec_x"}, {"/signing_key"}),
        (
            "/channels",
            {**HOOK, "quiet_hours": {"zone": "Mars/Base", "begins": "25:00", "ends": "7"}},
            {"/quiet_hours/zone", "/quiet_hours/begins", "/quiet_hours/ends"},
        ),
        ("/silences", {"matchers": [], "until": "2020-01-01T00:00:00Z", "comment": ""}, {"/matchers", "/comment"}),
        (
            "/silences",
            {"matchers": [{"label": "a", "value": "b"}], "until": "2020-01-01T00:00:00Z", "comment": "x"},
            {"/until"},
        ),
    ],
)
def test_every_mistake_of_a_request_is_reported(refusing: AlertServer, path: str, body: Any, pointers: set[str]):
    answer = refusing.world.client.post(ALERTS + path, json=body)
    assert answer.status_code == 422, answer.text
    assert {error["pointer"] for error in answer.json()["error"]["errors"]} == pointers
    assert "topsecret" not in answer.text


def test_address_is_never_returned(hot: AlertServer):
    channel = hot.ask("POST", "/channels", {**HOOK, "min_severity": "info"}, status=201)
    hot.ask("PATCH", f"/channels/{channel['channel_id']}", {"url": "https://8.8.8.8/topsecret-other", "per_hour": 7})
    hot.ask("POST", f"/channels/{channel['channel_id']}/test", status=202)
    hot.look()
    shown = json.dumps(
        [hot.ask("GET", path) for path in ("/channels", "/deliveries", f"/channels/{channel['channel_id']}")]
    )
    audit = json.dumps(hot.world.client.data("/api/v1/auth/audit"))
    stored = hot.world.runtime.database.url.database
    with open(str(stored), "rb") as file:
        database = file.read()
    assert "topsecret" not in shown + audit
    assert b"topsecret" not in database
    assert hot.notifier.sent[0].is_test
    assert hot.ask("GET", "/channels")["channels"][0]["per_hour"] == 7
    assert hot.ask("POST", f"/channels/{channel['channel_id']}/test", status=429) is None
    hot.ask("DELETE", f"/channels/{channel['channel_id']}")
    assert hot.ask("GET", f"/channels/{channel['channel_id']}", status=404) is None


def test_each_role_has_its_permissions(guarded: AlertServer):
    viewer, trainer, admin = (guarded.world.signed_in(role, role) for role in (Role.VIEWER, Role.TRAINER, Role.ADMIN))
    for path in ("", "/rules", "/channels", "/silences", "/metrics"):
        guarded.ask("GET", path, world=viewer)
    for who, status in ((viewer, 403), (trainer, 404)):
        guarded.ask("POST", "/alert_none/acknowledge", {}, who, status)
    for who, status in ((viewer, 403), (trainer, 403), (admin, 201)):
        guarded.ask("POST", "/rules", RULE, who, status)
    for who, status in ((viewer, 403), (trainer, 403), (admin, 200)):
        guarded.ask("GET", "/deliveries", None, who, status)


def test_training_notifies_the_channels_of_its_request_and_only_its_owner_sees_it(guarded: AlertServer):
    ann, bob, root = (
        guarded.world.signed_in(name, role)
        for name, role in (("ann", "trainer"), ("bob", "trainer"), ("root", "admin"))
    )
    refused = ann.client.post("/api/v1/training/start", json={**TOY, "notify": {"channels": ["hook"]}})
    assert [error["pointer"] for error in refused.json()["error"]["errors"]] == ["/notify/channels/0"]
    guarded.ask("POST", "/channels", {**HOOK, "only_opted_in": True}, root, 201)
    task_id = ann.finish(notify={"channels": ["hook"], "on": ["finished"]})
    guarded.alerts.board.note_news()
    guarded.look()
    (sent,) = guarded.notifier.sent
    assert task_id in sent.title
    assert [alert["owner"] for alert in guarded.ask("GET", world=ann)["alerts"]] == ["ann"]
    assert guarded.ask("GET", world=bob)["alerts"] == []
    assert guarded.ask("GET", f"?task_id={task_id}", world=root)["pagination"]["total"] == 1


def test_repeated_creation_creates_one(hot: AlertServer):
    answers = [hot.world.client.post(f"{ALERTS}/rules", json=RULE, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert hot.world.client.post(f"{ALERTS}/rules", json=RULE).status_code == 409


def test_every_change_is_in_the_audit(hot: AlertServer):
    hot.ask("POST", "/rules", RULE, status=201)
    hot.ask("PATCH", "/rules/hot", {"for_seconds": 5})
    hot.ask("DELETE", "/rules/hot")
    rows = hot.world.client.data("/api/v1/auth/audit?object=hot")["entries"]
    assert [row["operation"].split()[0] for row in rows] == ["DELETE", "PATCH", "POST"]
    assert (rows[1]["before"]["for_seconds"], rows[1]["after"]["for_seconds"]) == (0.0, 5.0)
