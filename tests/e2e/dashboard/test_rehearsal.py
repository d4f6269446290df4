"""Rehearsing a training on the page: the button, the figures, a failure, and the start of the training."""

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.axe import AXE, violations
from tests.e2e.dashboard.conftest import Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


def axe_violations(page: Page) -> list[str]:
    """Return the violations found by axe; none if axe is not installed."""
    return violations(page, AXE.read_text()) if AXE.exists() else []


def test_training_is_rehearsed_and_then_started_from_the_result(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/new?model=toy")
    page.get_by_label("Name", exact=True).fill("sketch")
    page.get_by_role("button", name="Rehearse").click()
    expect(page.locator(".task-head")).to_be_visible()
    task_id = page.url.rsplit("/", 1)[1]
    assert task_id.startswith("rehearse_")
    server.await_status(task_id, "completed")
    shown = page.get_by_role("region", name="Rehearsal")
    expect(shown).to_contain_text("8 / 8")
    expect(shown).to_contain_text("Total steps")
    expect(page.locator(".task-charts")).to_be_hidden()
    expect(page.get_by_role("button", name="Resume…")).to_have_count(0)
    assert axe_violations(page) == []
    shown.get_by_role("link", name="Start this training…").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("sketch")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".task-head")).to_be_visible()
    assert server.task(page.url.rsplit("/", 1)[1])["kind"] == "training"


def test_failed_rehearsal_shows_its_remedy_on_a_narrow_chinese_screen(open_page: Open, server: TrainingServer) -> None:
    body = toy(500, knobs={"fail_at_step": 3, "fail_with": "cuda_oom"})
    task_id = str(server.post("/training/rehearse", 202, json=body)["task_id"])
    server.await_status(task_id, "failed")
    options = {"viewport": {"width": 320, "height": 700}, "locale": "zh-CN", "color_scheme": "dark"}
    page = open_page(f"#/trainings/{task_id}", **options)
    expect(page.get_by_text("显存不足").first).to_be_visible()
    expect(page.get_by_role("region", name="试运行")).to_contain_text("2 / 8")
    assert_fits(page)
    assert axe_violations(page) == []
