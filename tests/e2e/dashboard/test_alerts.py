"""The bell and the alerts screen. A simulated GPU is too hot from the start, and each test creates its own rule."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.dashboard.access import GuardedServer, sign_in
from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open, has_charts, unfold
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.dashboard.test_modules import call
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.unit.alerts.notifiers.receivers import receiving, status


class WatchedServer(GuardedServer):
    """Has two GPUs; the second one overheats."""

    def __init__(self, directory: Path) -> None:
        super().__init__(
            directory,
            SIMULATED_GPUS="2x NVIDIA GeForce RTX 4090",
            SIMULATED_EVENTS="0s gpu1 overheats",
            PRIVATE_HOSTS_ALLOWED="127.0.0.1",
        )

    def fire(self, rule_id: str, severity: str = "warning") -> str:
        """Create a rule that fires immediately and return the alert's id."""
        rule = {
            "rule_id": rule_id,
            "title": rule_id,
            "scope": "gpu",
            "metric": "temperature_gpu",
            "comparison": "at_least",
            "value": 80,
            "summary": "{gpu} is at {temperature_gpu} °C.",
            "remedy": "Look at `nvidia-smi`.",
            "severity": severity,
        }
        self.post("/alerts/rules", 201, json=rule)

        def fired() -> str | None:
            found = self.get("/alerts", params={"rule": rule_id, "state": "firing"})["alerts"]
            return str(found[0]["alert_id"]) if found else None

        return str(until(fired, what=f"{rule_id} to fire"))

    def make_channel(self, name: str) -> None:
        """Create a channel without a receiver, for notifications that trainings request."""
        body = {"name": name, "kind": "webhook", "url": "http://127.0.0.1:9/x", "only_opted_in": True}
        self.post("/alerts/channels", 201, json=body)

    def state_of(self, alert_id: str) -> str:
        return str(self.get(f"/alerts/{alert_id}")["alert"]["state"])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServer]:
    with WatchedServer(tmp_path_factory.mktemp("watched")) as started:
        yield started


@pytest.fixture(autouse=True)
def refusals(complaints: Complaints) -> None:
    complaints.allowed = ("status of 401",)


@pytest.fixture
def page(open_page: Open, watched: WatchedServer) -> Page:
    """The page with an administrator signed in."""
    opened = open_page(at=watched)
    sign_in(opened, watched.admin_key)
    expect(opened.locator(".connection")).to_have_attribute("data-state", "live")
    return opened


def go(page: Page, address: str) -> None:
    page.evaluate("(address) => { location.hash = address; }", address)


def card(page: Page, alert_id: str) -> Locator:
    return page.locator(f".alerts-body [data-alert={alert_id}]")


def acknowledged(page: Page, alert_id: str) -> Locator:
    return page.get_by_role("region", name="acknowledged").locator(f"[data-alert={alert_id}]")


def test_active_alerts_are_counted_and_one_is_acknowledged(page: Page, watched: WatchedServer) -> None:
    entry = page.locator(".nav [data-name=alerts]")
    before = int(entry.locator("b").text_content() or 0)
    alert_id = watched.fire("too_hot", "critical")
    expect(entry.locator("b")).to_have_text(str(before + 1))
    expect(entry).to_have_attribute("aria-label", f"Alerts: {before + 1} active, highest severity: critical")
    entry.click()
    shown = card(page, alert_id)
    expect(shown.locator("h3")).to_contain_text("GPU 1 is at ")
    expect(shown.locator(".remedy code")).to_have_text("nvidia-smi")
    expect(shown.get_by_role("link", name="GPU 1", exact=True)).to_have_attribute(
        "href", "#/gpu/" + gpu_of(watched, alert_id)
    )
    shown.get_by_role("button", name="Acknowledge").click()
    expect(acknowledged(page, alert_id)).to_be_visible()
    assert watched.state_of(alert_id) == "acknowledged"


def gpu_of(watched: WatchedServer, alert_id: str) -> str:
    return str(watched.get(f"/alerts/{alert_id}")["alert"]["labels"]["gpu_uuid"])


def test_silenced_alert_fires_again_after_the_silence_ends(page: Page, watched: WatchedServer) -> None:
    alert_id = watched.fire("quiet_please")
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(card(page, alert_id)).to_be_visible()
    card(page, alert_id).get_by_role("button", name="Silence").focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="for 4 hours").click()
    expect(page.get_by_role("region", name="silenced").locator(f"[data-alert={alert_id}]")).to_be_visible()
    assert watched.state_of(alert_id) == "silenced"
    (silence,) = watched.get("/alerts/silences")["silences"]
    assert {matcher["label"] for matcher in silence["matchers"]} == {"rule", "gpu_uuid"}
    go(page, "/alerts?tab=silences")
    page.locator(".silences-table").get_by_role("button", name="End silence").click()
    expect(page.locator(".silences-table")).to_have_count(0)
    until(lambda: watched.state_of(alert_id) == "firing", what="it to fire again")


def test_history_is_filtered_and_opens_alert_details(page: Page, watched: WatchedServer) -> None:
    alert_id = watched.fire("wanted")
    watched.fire("unwanted")
    go(page, "/alerts?tab=history&rule=wanted")
    rows = page.locator(".alerts-table > tbody > tr")
    expect(rows).to_have_count(1)
    page.get_by_label("All severities").select_option("critical")
    expect(rows).to_have_count(0)
    page.get_by_label("All severities").select_option("warning")
    rows.filter(has_text="wanted").get_by_role("link").first.click()
    dialog = page.get_by_role("dialog", name="Alert")
    expect(dialog).to_contain_text(alert_id)
    expect(dialog.locator("table").first).to_contain_text("fires")


def test_viewer_sees_alerts_and_why_actions_are_denied(open_page: Open, watched: WatchedServer) -> None:
    alert_id = watched.fire("for_the_viewer")
    page = open_page("#/alerts", at=watched)
    sign_in(page, watched.make_key("vic", "viewer")["api_key"])
    expect(page.locator(".alerts-body .note")).to_contain_text("acknowledge and silence alerts")
    card(page, alert_id).get_by_role("button", name="Acknowledge").click(force=True)
    expect(page.locator(".toast").first).to_contain_text("Your key does not allow this")
    assert watched.state_of(alert_id) == "firing"
    page.get_by_role("button", name="Rules").click()
    expect(page.locator(".alerts-body .note")).to_contain_text("change rules and channels")


def test_channel_is_created_tested_edited_and_deleted(page: Page, watched: WatchedServer) -> None:
    with receiving(status("204 No Content")) as receiver:
        go(page, "/alerts?tab=channels")
        page.get_by_role("button", name="New channel").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Name", exact=True).fill("hook")
        form.get_by_label("Kind").select_option("webhook")
        form.get_by_label("URL", exact=True).fill(f"http://127.0.0.1:{receiver.port}/topsecret")
        form.get_by_role("button", name="Generate").click()
        form.get_by_label("Quiet hours").check()
        form.get_by_role("button", name="Create channel").click()
        shown = page.locator("[data-channel=hook]")
        expect(shown).to_contain_text("quiet 22:00–07:00")
        assert "topsecret" not in page.content()
        shown.get_by_role("button", name="Send test").click()
        expect(shown.locator(".note")).to_contain_text("Delivered")
        expect(shown.locator(".status")).to_have_text("working")
        assert b"topsecret" in receiver.requests[0]
        assert b"webhook-signature" in receiver.requests[0].lower()
        shown.get_by_role("button", name="Edit").click()
        expect(form.get_by_label("URL", exact=True)).to_have_value("")
        form.get_by_label("Alerts to send").select_option("critical")
        form.get_by_role("button", name="Save").click()
        expect(shown).to_contain_text("critical only")
    (stored,) = watched.get("/alerts/channels")["channels"]
    assert (stored["min_severity"], stored["address"]) == ("critical", f"http://127.0.0.1:{receiver.port}/…")
    shown.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Delete channel").click()
    expect(shown).to_have_count(0)


def test_rule_is_created_by_form_and_json(page: Page, watched: WatchedServer) -> None:
    go(page, "/alerts?tab=rules")
    page.get_by_role("button", name="New rule").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Title").fill("by the form")
    form.get_by_label("ID", exact=True).fill("by_the_form")
    form.get_by_label("Number", exact=True).fill("80")
    form.get_by_label("for", exact=True).fill("0")
    if has_charts():
        expect(form.locator(".rule-picture canvas")).to_be_visible()
        expect(form.locator(".rule-picture .legend")).to_contain_text("fires80")
    form.get_by_role("button", name="JSON").click()
    written = json.loads(form.get_by_label("JSON").input_value())
    assert (written["metric"], written["comparison"], written["value"]) == ("temperature_gpu", "at_least", 80)
    assert written["for_seconds"] == 0
    form.get_by_label("JSON").fill("{")
    form.get_by_role("button", name="Create rule").click()
    expect(form.get_by_role("alert")).to_contain_text("Invalid JSON")
    form.get_by_label("JSON").fill(json.dumps(written | {"severity": "info"}))
    form.get_by_role("button", name="Create rule").click()
    expect(page.locator("[data-rule=by_the_form]")).to_contain_text("custom")
    assert watched.get("/alerts/rules/by_the_form")["severity"] == "info"
    until(lambda: watched.get("/alerts", params={"rule": "by_the_form"})["alerts"], what="it to fire")


def test_threshold_of_a_built_in_rule_is_changed(page: Page, watched: WatchedServer) -> None:
    go(page, "/alerts?tab=rules&rule=near_slowdown")
    form = page.get_by_role("dialog")
    form.get_by_label("Threshold").fill("-8")
    form.get_by_role("button", name="Save").click()
    row = page.locator("[data-rule=near_slowdown]")
    expect(row).to_contain_text("temperature_gpu >= temperature_slowdown - 8")
    assert watched.get("/alerts/rules/near_slowdown")["for_seconds"] == 300


def test_built_in_rule_is_disabled_and_reset(page: Page, watched: WatchedServer) -> None:
    go(page, "/alerts?tab=rules")
    row = page.locator("[data-rule=disk_forecast]")
    row.get_by_role("switch").uncheck()
    expect(page.locator(".toast").last).to_contain_text("Disabled")
    assert not watched.get("/alerts/rules/disk_forecast")["enabled"]
    page.get_by_role("button", name="Custom and changed").click()
    go(page, "/alerts?tab=rules&rule=disk_forecast")
    page.get_by_role("button", name="Reset to default").click()
    expect(row.get_by_role("switch")).to_be_checked()
    rule = watched.get("/alerts/rules/disk_forecast")
    assert (rule["enabled"], rule["is_changed"]) == (True, False)


#: Records notifications across reloads and tabs instead of showing them.
SHOWN = """
    window.Notification = class {
        static permission = "granted";
        static requestPermission = async () => "granted";
        constructor(title, { tag }) {
            const shown = JSON.parse(localStorage.getItem("shown") ?? "[]");
            localStorage.setItem("shown", JSON.stringify([...shown, [title, tag]]));
        }
        close() {}
    };
"""


def notices(page: Page, alert_id: str) -> list[str]:
    """Return the titles of the notifications of an alert."""
    found = json.loads(page.evaluate("localStorage.getItem('shown') ?? '[]'"))
    return [title for title, tag in found if tag == alert_id]


def test_browser_notifies_once_per_alert_across_tabs(page: Page, watched: WatchedServer) -> None:
    page.add_init_script(SHOWN)
    known = watched.fire("fired_before")
    page.reload()
    go(page, "/alerts")
    page.get_by_role("switch", name="Notify me").check()
    second = page.context.new_page()
    second.add_init_script(SHOWN)
    second.goto(page.url)
    expect(second.locator(".connection")).to_have_attribute("data-state", "live")
    alert_id = watched.fire("notified_once")
    until(lambda: notices(page, alert_id), what="a notification")
    page.reload()
    last = watched.fire("notified_after_reload")
    until(lambda: notices(page, last), what="another notification")
    assert notices(page, alert_id) == [f"⚠️ {watched.get(f'/alerts/{alert_id}')['alert']['summary']}"]
    assert (len(notices(page, last)), notices(page, known)) == (1, [])


#: Like Chromium on Android, where only service workers show notifications.
BY_WORKER = """
    window.Notification = class {
        static permission = "granted";
        static requestPermission = async () => "granted";
        constructor() { throw new TypeError("Illegal constructor."); }
    };
    ServiceWorkerRegistration.prototype.showNotification = async function (title, { tag, data }) {
        if (!this.active) throw new TypeError("No active registration");
        const shown = JSON.parse(localStorage.getItem("shown") ?? "[]");
        localStorage.setItem("shown", JSON.stringify([...shown, [title, tag]]));
    };
"""


def test_service_worker_shows_notifications_where_pages_may_not(page: Page, watched: WatchedServer) -> None:
    page.add_init_script(BY_WORKER)
    page.reload()
    go(page, "/alerts")
    page.get_by_role("switch", name="Notify me").check()
    alert_id = watched.fire("by_the_worker")
    until(lambda: notices(page, alert_id), what="a notification")
    expect(page.get_by_role("switch", name="Notify me")).to_be_checked()


def test_new_training_notifies_the_selected_channels(page: Page, watched: WatchedServer) -> None:
    watched.make_channel("for_the_end")
    go(page, "/new")
    unfold(page, "GPUs")
    page.get_by_label("for_the_end").check()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".task-head h1")).to_be_visible()
    task = watched.task(page.url.rpartition("/")[2])
    assert task["request"]["notify"]["channels"] == ["for_the_end"]
    watched.stop_task(task["task_id"], force=True)


def test_notify_button_is_kept_across_reloads_until_the_end(page: Page, watched: WatchedServer) -> None:
    page.add_init_script(SHOWN)
    task_id = watched.start_task(toy(30_000, name="awaited", gpus=[0]))
    watched.await_step(task_id, 1)
    page.reload()
    go(page, f"/tasks/{task_id}")
    button = page.get_by_role("button", name="Notify me when it ends")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(button).to_have_attribute("aria-pressed", "true")
    watched.stop_task(task_id, force=True)
    expect(button).to_be_hidden()


@pytest.mark.parametrize(
    ("kind", "values", "address"),
    [
        (
            "email",
            {
                "host": "smtp.example.org",
                "port": "587",
                "user": "a@b",
                "password": "p/w",
                "to": "me@b",
                "security": "ssl",
            },
            "mailtos://a%40b:p%2Fw@smtp.example.org:587/?to=me%40b&mode=ssl",
        ),
        ("telegram", {"token": "12:AB", "chat": "-100"}, "tgram://12:AB/-100"),
        ("discord", {"hook": "https://discord.com/api/webhooks/12/ab?x=y"}, "discord://12/ab"),
        ("slack", {"hook": "https://hooks.slack.com/services/T/B/c"}, "slack://T/B/c"),
        ("ntfy", {"topic": "gpus", "token": "tk"}, "ntfys://tk@ntfy.sh/gpus"),
    ],
)
def test_channel_address_is_built_from_its_fields(page: Page, kind: str, values: dict[str, str], address: str) -> None:
    expression = "m.ADDRESS_KINDS[v[0]].address(v[1])"
    assert call(page, "screens/alerts/addresses.js", expression, [kind, values]) == address


@pytest.mark.parametrize(
    ("sentence", "template", "other", "translated"),
    [
        (
            "a waits for 2 hours 5 minutes.",
            "{x} waits for {y:seconds}.",
            "{x} 等 {y:seconds}。",
            "a 等 2 小时 5 分钟。",
        ),
        ("a failed at step 5: x.", "{a} failed{at_step}: {b}.", "{a} 失败{at_step}：{b}。", "a 失败（第 5 步）：x。"),
        ("it is otherwise", "{a} failed.", "{a} 失败。", "it is otherwise"),
    ],
)
def test_rule_sentences_are_translated_with_their_durations(
    page: Page, sentence: str, template: str, other: str, translated: str
) -> None:
    values = [sentence, template, other]
    assert call(page, "screens/alerts/alert_text.js", "m.refill(...v)", values) == translated


TABS = {
    "now": ".alert-card",
    "history": ".alerts-table",
    "silences": ".alerts-body .panel",
    "rules": ".rule-row",
    "channels": ".channel-card",
}


def test_alerts_have_no_accessibility_violations(open_page: Open, watched: WatchedServer, axe: str) -> None:
    watched.fire("looked_at", "critical")
    watched.make_channel("looked_at")
    page = open_page("#/alerts", at=watched)
    sign_in(page, watched.admin_key)
    for tab, awaited in TABS.items():
        go(page, f"/alerts?tab={tab}")
        expect(page.locator(awaited).first).to_be_visible()
        expect(page.locator(".alerts-body [aria-busy]")).to_have_count(0)
        assert violations(page, axe) == [], tab
    go(page, "/alerts?tab=rules&rule=near_slowdown")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page, axe) == []
    page.get_by_role("button", name="Cancel").click()
    go(page, "/alerts?tab=channels")
    page.get_by_role("button", name="New channel").click()
    page.locator("dialog summary").first.click()
    assert violations(page, axe) == []
    page.get_by_role("button", name="Cancel").click()
    go(page, "/alerts")
    page.locator(".alert-card h3 a").first.click()
    expect(page.get_by_role("dialog", name="Alert").locator("table").first).to_be_visible()
    assert violations(page, axe) == []


def test_alerts_fit_every_window_width(page: Page, watched: WatchedServer) -> None:
    watched.fire("wide")
    watched.make_channel("wide")
    for tab, awaited in TABS.items():
        go(page, f"/alerts?tab={tab}")
        expect(page.locator(awaited).first).to_be_visible()
        for width in (320, 390, 768, 1440, 2560):
            page.set_viewport_size({"width": width, "height": 900})
            assert_fits(page, (tab, width))
