"""Many trainings at once: selected by mouse and keyboard, changed together, moved in the queue."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

WAITING = 6


@pytest.fixture(autouse=True)
def waiting(server: TrainingServer) -> Iterator[list[str]]:
    """A training on all GPUs, and six queued ones behind it, in queue order."""
    running = server.start_task(toy(30_000, name="runs", gpus=4, step_seconds=0.1))
    server.await_step(running, 2)
    yield [server.start_task(toy(20, name=f"waits {number}", gpus=4, tags=["old"])) for number in range(WAITING)]
    server.make_idle()
    for task_id in server.task_ids():
        server.client.delete(f"/api/v1/training/{task_id}")


def row(page: Page, name: str) -> Locator:
    return page.locator(".task-row").filter(has=page.get_by_role("link", name=name, exact=True))


def box(page: Page, name: str) -> Locator:
    return page.get_by_role("checkbox", name=f"Select {name}", exact=True)


def bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Actions on the selected trainings")


def queue(page: Page) -> list[str]:
    return page.get_by_role("region", name="Queue").locator(".task-name").all_inner_texts()


def test_several_trainings_are_stopped_by_mouse(open_page: Open, server: TrainingServer, waiting: list[str]) -> None:
    page = open_page("#/trainings")
    box(page, "waits 1").check()
    box(page, "waits 3").click(modifiers=["Shift"])
    expect(bar(page)).to_contain_text("3 selected")
    bar(page).get_by_role("button", name="Stop").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop 3 trainings?")
    dialog.get_by_role("button", name="Remove from queue").click()
    expect(page.locator(".toast")).to_contain_text("Stop: 3 of 3 done")
    expect(bar(page)).to_be_hidden()
    assert [server.task(task_id)["status"] for task_id in waiting] == ["queued", *["stopped"] * 3, *["queued"] * 2]


def test_several_trainings_are_tagged_by_keyboard(open_page: Open, server: TrainingServer, waiting: list[str]) -> None:
    page = open_page("#/trainings?status=queued")
    expect(row(page, "waits 0")).to_be_visible()
    for key in ("j", "x", "j", "j", "X"):
        page.keyboard.press(key)
    expect(bar(page)).to_contain_text("3 selected")
    bar(page).get_by_role("button", name="Tags").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Add tags").fill("new, best")
    dialog.get_by_label("Remove tags").fill("old")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Tags: 3 of 3 done")
    assert [server.task(task_id)["tags"] for task_id in waiting[:4]] == [["new", "best"]] * 3 + [["old"]]
    row(page, "waits 1").get_by_role("button", name="best").click()
    expect(page.locator(".task-row:visible")).to_have_count(3)
    expect(page).to_have_url(page.url.partition("#")[0] + "#/trainings?status=queued&tag=best")


def test_escape_clears_the_selection(open_page: Open) -> None:
    page = open_page("#/trainings")
    page.get_by_role("region", name="Queue").get_by_role("checkbox", name="Select all").check()
    expect(bar(page)).to_contain_text(f"{WAITING} selected")
    page.keyboard.press("Escape")
    expect(bar(page)).to_be_hidden()
    expect(box(page, "waits 0")).not_to_be_checked()


def test_failed_requests_are_listed_in_one_message(
    open_page: Open, server: TrainingServer, waiting: list[str], complaints: Complaints
) -> None:
    complaints.allowed = ("409",)
    page = open_page("#/trainings")
    for name in ("waits 0", "waits 1"):
        box(page, name).check()
    bar(page).get_by_role("button", name="To the top").hover()
    # The page has not noticed yet that one has ended.
    page.route("**/training/list*", lambda route: route.abort())
    complaints.allowed = ("409", "ERR_FAILED")
    server.stop_task(waiting[1])
    bar(page).get_by_role("button", name="To the top").click()
    toast = page.locator(".toast").filter(has_text="To the top")
    expect(toast).to_contain_text("To the top: 1 of 2 done")
    expect(toast).to_contain_text("waits 1")
    expect(bar(page)).to_contain_text("1 selected")


def test_queued_training_is_moved_by_menu_and_by_dragging(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/trainings")
    row(page, "waits 4").get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="To the top").click()
    until(lambda: queue(page)[:2] == ["waits 4", "waits 0"], what="the moved row")
    row(page, "waits 4").drag_to(row(page, "waits 1"))
    until(lambda: queue(page)[:3] == ["waits 0", "waits 1", "waits 4"], what="the dragged row")
    assert [task["name"] for task in server.get("/training/list?order=queue")["tasks"]][:3] == queue(page)[:3]


def test_reason_is_shown_on_demand(open_page: Open) -> None:
    page = open_page("#/trainings")
    reason = row(page, "waits 0").locator(".why")
    expect(reason).to_be_hidden()
    button = row(page, "waits 0").get_by_role("button", name="Why?")
    button.click()
    expect(reason).to_contain_text("needs 4 GPUs")
    expect(button).to_have_attribute("aria-expanded", "true")


def test_selection_has_no_accessibility_violations(open_page: Open, axe: str) -> None:
    page = open_page("#/trainings")
    box(page, "waits 0").check()
    row(page, "waits 0").get_by_role("button", name="Why?").click()
    assert violations(page, axe) == []
