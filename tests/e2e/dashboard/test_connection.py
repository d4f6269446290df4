"""The page when its server stops and restarts."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import GONE, Complaints, Open
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


def test_lost_connection_is_shown_and_restored(open_page: Open, tmp_path: Path, complaints: Complaints) -> None:
    complaints.allowed = GONE
    with TrainingServer(tmp_path / "mortal") as mortal:
        task_id = mortal.start_task(toy(30_000, name="long"))
        mortal.await_step(task_id, 5)
        page = open_page(f"#/trainings/{task_id}", at=mortal)
        expect(page.locator(".connection")).to_have_attribute("data-state", "live")
        step = page.locator(".stat").nth(1).locator("b")
        before = step.text_content() or ""
        mortal.kill()
        expect(page.locator(".banner.lost")).to_be_visible()
        mortal.start(port=mortal.port)
        expect(page.locator(".banner.lost")).to_be_hidden(timeout=60_000)
        expect(page.locator(".connection")).to_have_attribute("data-state", "live", timeout=60_000)
        expect(step).not_to_have_text(before)
        page.close()
        mortal.stop_task(task_id, force=True)


def test_background_tab_holds_no_connection(open_page: Open, server: TrainingServer) -> None:
    page = open_page()
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    until(lambda: streams(server) == 1, what="its stream to be counted")
    set_hidden(page, True)
    expect(page.locator(".connection")).to_have_attribute("data-state", "resting")
    until(lambda: streams(server) == 0, what="its stream to end")
    set_hidden(page, False)
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")


def test_page_polls_while_no_stream_is_free(open_page: Open, tmp_path: Path, complaints: Complaints) -> None:
    complaints.allowed = ("status of 503",)
    with TrainingServer(tmp_path / "full", MAX_STREAMS="1") as full:
        first = open_page(at=full)
        expect(first.locator(".connection")).to_have_attribute("data-state", "live")
        second = open_page(at=full)
        expect(second.locator(".connection")).to_have_attribute("data-state", "polling")
        expect(second.locator(".gpu-tile")).to_have_count(8)
        first.close()
        expect(second.locator(".connection")).to_have_attribute("data-state", "live")
        second.close()


def streams(server: TrainingServer) -> float:
    """Return the number of streams that the server serves."""
    return server.metrics()["diffusion_pipe_stream_subscribers"]


def set_hidden(page: Page, is_hidden: bool) -> None:
    """Simulate a switch of tabs."""
    page.evaluate(
        """(isHidden) => {
            Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )
