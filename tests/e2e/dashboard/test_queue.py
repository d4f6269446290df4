"""The tasks screen with a long queue."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import Open
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

WAITING = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server with one running training and 120 queued ones; the last one has the highest priority."""
    with TrainingServer(tmp_path_factory.mktemp("queue"), SIMULATED_GPUS="2x NVIDIA GeForce RTX 4090") as started:
        running = started.start_task(toy(30_000, name="runs", gpus=2, step_seconds=0.1))
        started.await_step(running, 2)
        for number in range(WAITING):
            started.start_task(toy(20, name=f"waits {number}", gpus=2, priority=int(number == WAITING - 1)))
        yield started


def names(page: Page, panel: str) -> list[str]:
    return page.get_by_role("region", name=panel).locator(".task-name").all_inner_texts()


def test_running_tasks_come_before_the_queue_in_its_order(open_page: Open) -> None:
    for viewport in ({"width": 1440, "height": 900}, {"width": 390, "height": 844}):
        page = open_page("#/trainings", viewport=viewport)
        expect(
            page.get_by_role("region", name="Running").get_by_role("link", name="runs", exact=True)
        ).to_be_in_viewport()
        expect(page.get_by_role("region", name="Queue").locator(".count-badge")).to_have_text(str(WAITING))
        assert names(page, "Running") == ["runs"]
        assert names(page, "Queue")[:3] == [f"waits {WAITING - 1}", "waits 0", "waits 1"]
        first = page.get_by_role("region", name="Queue").locator(".task-row").first
        expect(first).to_contain_text("Number 1 in the queue")


def test_queue_has_pages(open_page: Open) -> None:
    page = open_page("#/trainings")
    queue = page.get_by_role("region", name="Queue")
    queue.get_by_role("button", name="Next page").click()
    expect(queue.locator(".task-row").first).to_contain_text("Number 51 in the queue")
    expect(queue.locator(".task-row").first).to_contain_text("waits 49")


def test_home_lists_running_before_queued_trainings(open_page: Open) -> None:
    page = open_page("#/")
    expect(page.locator(".task-name").first).to_have_text("runs")
    expect(page.locator(".task-name").nth(1)).to_have_text(f"waits {WAITING - 1}")


def test_filter_without_matches_is_cleared_by_one_click(open_page: Open) -> None:
    page = open_page("#/trainings?status=failed&search=nobody")
    expect(page.get_by_text("No matches.")).to_be_visible()
    expect(page.locator(".task-row")).to_have_count(0)
    page.get_by_role("button", name="Clear the filter").click()
    expect(page.get_by_role("region", name="Running").get_by_role("link", name="runs", exact=True)).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.get_by_role("button", name="All", exact=True)).to_have_attribute("aria-pressed", "true")
