"""Hostile names and log lines in a browser."""

from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import Open, append_to_log
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
BIDI = "abc\u202egnp.exe\u2066"


def test_hostile_names_and_lines_are_shown_as_text(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(5, name=ATTACK, description=ATTACK + BIDI))
    server.await_status(task_id, "completed")
    append_to_log(server, task_id, f"{ATTACK}\n{BIDI}\n\x1b[31mred\x1b[0m\n".encode() + b"\xff\x00\n")
    page = open_page("#/trainings")
    expect(page.locator(f"[data-task={task_id}] .task-name")).to_have_text(ATTACK)
    page.goto(page.url.split("#")[0] + f"#/trainings/{task_id}/log")
    expect(page.locator("h1")).to_have_text(ATTACK)
    expect(page.locator(".log-text", has_text=ATTACK)).to_have_count(1)
    expect(page.locator("main img[src=x], main script")).to_have_count(0)
    assert page.title() != "owned"
    assert_fits(page)


def test_page_handles_a_line_of_10_mb(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(5, name="long-winded"))
    server.await_status(task_id, "completed")
    append_to_log(server, task_id, b"x" * 10 * 2**20 + b"\nafter the long line\n")
    page = open_page(f"#/trainings/{task_id}/log")
    expect(page.locator(".log-scroll")).to_contain_text("after the long line")
