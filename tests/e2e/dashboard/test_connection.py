"""A server that goes and comes back, in a browser."""

from pathlib import Path

from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import GONE, Complaints, Open
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


def test_a_lost_connection_is_shown_and_heals_by_itself(
    open_page: Open, tmp_path: Path, complaints: Complaints
) -> None:
    complaints.allowed = GONE
    with TrainingServer(tmp_path / "mortal") as mortal:
        task_id = mortal.start_task(toy(3000, name="goes on"))
        mortal.await_step(task_id, 5)
        page = open_page(f"#/tasks/{task_id}", at=mortal)
        expect(page.locator(".connection")).to_have_attribute("data-state", "live")
        step = page.locator(".stat").nth(1).locator("b")
        before = step.text_content() or ""
        mortal.kill()
        expect(page.locator(".banner.lost")).to_be_visible()
        mortal.start(port=mortal.port)
        expect(page.locator(".banner.lost")).to_be_hidden(timeout=30_000)
        expect(page.locator(".connection")).to_have_attribute("data-state", "live")
        expect(step).not_to_have_text(before)
        page.close()
        mortal.stop_task(task_id, force=True)
