"""The log of a training in a browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open, append_to_log, has_charts
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


def lines_in_page(page: Page) -> int:
    return page.locator(".log-line").count()


def height(page: Page) -> int:
    return int(page.locator(".log-scroll").evaluate("element => element.scrollHeight"))


@pytest.fixture(scope="module")
def talkative(server: TrainingServer) -> str:
    """A failed training with 20,000 lines of output."""
    knobs = {"log_lines_per_step": 1000, "fail_at_step": 20}
    task_id = server.start_task(toy(40, name="talkative", step_seconds=0.01, knobs=knobs))
    server.await_status(task_id, "failed")
    return task_id


def test_only_visible_lines_are_rendered(open_page: Open, talkative: str) -> None:
    page = open_page(f"#/trainings/{talkative}/log")
    expect(page.locator(".log-line").first).to_be_visible()
    assert lines_in_page(page) < 120
    before = height(page)
    page.locator(".log-scroll").evaluate("element => (element.scrollTop = 0)")
    # Older lines are loaded on scrolling.
    until(lambda: page.wait_for_timeout(50) or height(page) > before, what="older lines")
    assert lines_in_page(page) < 120


def test_search_finds_lines_outside_the_loaded_range(open_page: Open, talkative: str, complaints: Complaints) -> None:
    # The browser logs every rejected request, such as an invalid pattern.
    complaints.allowed = ("status of 400",)
    page = open_page(f"#/trainings/{talkative}/log")
    expect(page.locator(".log-line").first).to_be_visible()
    page.get_by_label("Search the log").fill("steps: 3 loss")
    expect(page.locator(".finds")).to_have_text("1 / 1")
    expect(page.locator(".log-line.current mark")).to_have_text("steps: 3 loss")
    page.get_by_label("Regex").check()
    page.get_by_label("Search the log").fill("(")
    expect(page.get_by_label("Search the log")).to_have_class("input wrong")


def test_errors_can_be_jumped_to_and_filtered(open_page: Open, talkative: str) -> None:
    page = open_page(f"#/trainings/{talkative}/log")
    expect(page.locator(".log-line").first).to_be_visible()
    page.locator("h1").click()
    page.keyboard.press("e")
    expect(page.locator(".log-line.current")).to_have_attribute("data-level", "error")
    page.get_by_role("button", name="Errors", exact=True).click()
    expect(page.locator(".log-line:not([data-level=error])")).to_have_count(0)
    expect(page.locator(".log-line[data-level=error]")).not_to_have_count(0)
    expect(page.locator(".note[data-tone=bad]")).to_contain_text("What to do:")


def test_log_is_loaded_and_followed_once_it_is_shown(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(30_000, name="shown late", step_seconds=0.1))
    server.await_step(task_id, 5)
    page = open_page(f"#/trainings/{task_id}")
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    assert page.evaluate("performance.getEntriesByType('resource').every(({ name }) => !/\\/logs?\\//.test(name))")
    page.get_by_role("link", name="Log", exact=True).click()
    last = page.locator(".log-line .log-number").last
    expect(last).to_be_visible()
    before = last.text_content() or ""
    expect(last).not_to_have_text(before)
    server.stop_task(task_id, force=True)


def test_log_is_followed_and_paused(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(30_000, name="long", step_seconds=0.1, knobs={"log_lines_per_step": 3}))
    server.await_step(task_id, 5)
    page = open_page(f"#/trainings/{task_id}/log")
    last = page.locator(".log-line .log-number").last
    expect(last).to_be_visible()
    before = last.text_content() or ""
    expect(last).not_to_have_text(before)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(300)
    held = last.text_content() or ""
    page.wait_for_timeout(1200)
    assert last.text_content() == held
    page.get_by_role("button", name="Pause").click()
    expect(last).not_to_have_text(held)
    server.stop_task(task_id, force=True)


@pytest.mark.skipif(not has_charts(), reason="uPlot is not installed: make charts")
def test_loss_chart_is_drawn_when_its_part_is_shown(open_page: Open, talkative: str) -> None:
    page = open_page(f"#/trainings/{talkative}/log")
    expect(page.locator(".log-line").first).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.locator(".loss-panel canvas")).to_be_visible()
    expect(page.locator(".loss-panel .legend")).to_contain_text("smoothed")


def test_line_wrapping_is_stored(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(5, name="long lines"))
    server.await_status(task_id, "completed")
    long = "".join(f"{n:09} " for n in range(100))
    wide = "像素" * 300
    append_to_log(server, task_id, f"{long}\n{wide}\nthe end\n".encode())
    page = open_page(f"#/trainings/{task_id}/log")
    scroll = page.locator(".log-scroll")
    expect(scroll).to_contain_text("the end")
    before = height(page)
    page.get_by_role("button", name="Wrap long lines").click()
    expect(page.get_by_role("button", name="Wrap long lines")).to_have_attribute("aria-pressed", "true")
    assert height(page) > before
    assert scroll.evaluate("element => element.scrollWidth - element.clientWidth") == 0
    page.reload()
    expect(scroll).to_contain_text("the end")
    # Each line has the height of its text, or slightly more, so that lines do not overlap.
    assert scroll.evaluate(_ILL_FITTING) == []


_ILL_FITTING = """(element) => {
    const lines = [...element.querySelectorAll(".log-line")];
    const height = (each) => each.getBoundingClientRect().height;
    const row = Math.min(...lines.map(height));
    return lines.filter((line) => {
        const spare = height(line) - height(line.querySelector(".log-text"));
        return spare < -1 || spare > 2 * row;
    }).map((line) => line.textContent.slice(0, 80));
}"""


def test_logs_of_all_trainings_are_searched(open_page: Open, talkative: str, complaints: Complaints, axe: str) -> None:
    complaints.allowed = ("status of 400",)
    page = open_page("#/trainings")
    page.get_by_role("link", name="Search all logs").click()
    search = page.get_by_role("searchbox", name="Search all logs")
    search.fill("STEPS: 3 LOSS")
    # Other trainings of this server print the same steps.
    hits = page.locator(".log-hits li", has_text="talkative")
    expect(hits).to_have_count(1)
    expect(hits.locator("mark")).to_have_text("steps: 3 loss")
    page.get_by_label("Regex").check()
    search.fill("(")
    expect(search).to_have_class("input wrong")
    page.get_by_label("Regex").uncheck()
    search.fill("toy trainer")
    expect(hits).to_have_count(1)
    assert violations(page, axe) == []
    hits.get_by_role("link", name="talkative").click()
    expect(page.locator(".log-line").first).to_be_visible()


def test_log_of_the_server_is_followed(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/settings/log")
    page.get_by_label("Search the log").fill("listening on")
    expect(page.locator(".log-line mark").first).to_have_text("listening on")
    page.get_by_role("button", name="Follow new lines").click()
    server.client.get("/api/v1/training/of-this-line")
    expect(page.locator(".log-line").filter(has_text="of-this-line").first).to_be_visible()
