"""The page of one task: warnings, resume, checkpoints, and downloads."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import Complaints, Open, has_charts
from tests.e2e.dashboard.test_tasks import choose
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server with twelve simulated GPUs."""
    with TrainingServer(tmp_path_factory.mktemp("task"), SIMULATED_GPUS="12x NVIDIA H100 80GB HBM3") as started:
        yield started


def completed(server: TrainingServer, name: str) -> str:
    task_id = server.start_task(toy(10, 2, name=name))
    server.await_status(task_id, "completed")
    return task_id


def test_completed_training_with_nan_loss_is_marked(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(20, name="spoiled", knobs={"fail_at_step": 16, "fail_with": "nan"}))
    server.await_status(task_id, "completed")
    page = open_page(f"#/trainings/{task_id}")
    head = page.locator(".task-head .screen-head")
    expect(head).to_contain_text("completed")
    expect(head).to_contain_text("loss is NaN")
    expect(page.locator(".task-head .note")).to_contain_text("resume from an earlier checkpoint")
    page = open_page("#/trainings")
    expect(page.locator(f"[data-task={task_id}]")).to_contain_text("loss is NaN")


def test_completed_training_is_resumed_for_more_epochs(
    open_page: Open, server: TrainingServer, complaints: Complaints
) -> None:
    complaints.allowed = ("422",)  # logged by the browser for a rejected request
    task_id = completed(server, "more of it")
    page = open_page(f"#/trainings/{task_id}")
    choose(page, "Resume")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Total epochs")).to_be_focused()
    expect(dialog.get_by_label("Checkpoint")).to_contain_text("step 20")
    dialog.get_by_label("Total epochs").fill("3")
    dialog.get_by_label("GPUs", exact=True).select_option("these")
    dialog.get_by_role("button", name="Resume").click()
    expect(dialog).to_contain_text("at least 1")
    dialog.get_by_label("GPU 5").check()
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    # The trainer repeats one step after a checkpoint of an epoch's end.
    expect(page.locator(".stats")).to_contain_text("31 / 31", timeout=40_000)
    attempts = server.task(task_id)["attempts"]
    assert (attempts[-1]["gpu_ids"], attempts[-1]["resumed_from"]) == ([5], "global_step20")


def test_rule_for_saved_models_is_saved_only_after_its_own_preview(open_page: Open, server: TrainingServer) -> None:
    page = open_page(f"#/trainings/{completed(server, 'kept')}/files")
    page.get_by_label("Keep the newest").fill("1")
    save = page.get_by_role("button", name="Save the rule")
    expect(save).to_contain_text("delete")
    page.route("**/retention/preview*", lambda route: None)
    page.get_by_label("Keep the newest").fill("5")
    expect(save).to_have_count(0)
    page.unroute_all(behavior="ignoreErrors")
    page.get_by_label("Keep the newest").fill("10")
    expect(save).to_have_text("Save the rule")


def test_training_is_resumed_from_the_selected_checkpoint(open_page: Open, server: TrainingServer) -> None:
    task_id = completed(server, "another way")
    page = open_page("#/trainings")
    page.locator(f"[data-task={task_id}]").get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Resume").click()
    page.get_by_label("Checkpoint").select_option("global_step10")
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    until(lambda: len(server.task(task_id)["attempts"]) == 2, what="another attempt")
    assert server.task(task_id)["attempts"][-1]["resumed_from"] == "global_step10"


def test_training_without_a_checkpoint_can_only_be_restarted(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(10, name="fell early", every=None, knobs={"fail_at_step": 2}))
    server.await_status(task_id, "failed")
    page = open_page(f"#/trainings/{task_id}")
    choose(page, "Resume")
    expect(page.get_by_role("dialog")).to_contain_text("No complete checkpoint")
    page.keyboard.press("Escape")
    before = len(server.task_ids())
    choose(page, "Restart")
    expect(page.get_by_role("dialog")).to_contain_text("Restart from the beginning?")
    page.keyboard.press("Escape")
    assert len(server.task_ids()) == before
    choose(page, "Restart")
    page.get_by_role("dialog").get_by_role("button", name="Restart").click()
    expect(page.get_by_text("restarted from another")).to_be_visible()


def test_checkpoint_is_saved_on_request(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(30_000, name="saves now", every=None))
    server.await_step(task_id, 3)
    page = open_page(f"#/trainings/{task_id}")
    choose(page, "Save a checkpoint")
    expect(page.locator(".event-list")).to_contain_text("is complete")
    expect(page.locator(".task-head .status")).to_have_text("running")
    assert len(server.task(task_id)["checkpoints"]) == 1
    server.stop_task(task_id, force=True)


def test_running_attempt_shows_its_current_step(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(30_000, name="long", every=None))
    server.await_step(task_id, 3)
    table = open_page(f"#/trainings/{task_id}").get_by_role("region", name="Attempts")
    expect(table.get_by_role("columnheader", name="Started", exact=True)).to_be_visible()
    expect(table.get_by_role("row").nth(1)).to_contain_text(re.compile(r"\b1 – (?!3\b)\d+\b"))
    server.stop_task(task_id, force=True)


def test_downloaded_model_is_named_after_its_task(open_page: Open, server: TrainingServer) -> None:
    page = open_page(f"#/trainings/{completed(server, 'My cats: v2')}/files")
    table = page.locator(".file-table")
    expect(table).to_contain_text("My-cats-v2-epoch2.safetensors")
    listed = [name for name in table.locator("a").all_inner_texts() if name.endswith(".safetensors")]
    assert listed == ["My-cats-v2-epoch2.safetensors", "My-cats-v2-epoch1.safetensors"]
    with page.expect_download() as saved:
        table.get_by_role("link", name="My-cats-v2-epoch2.safetensors").click()
    assert saved.value.suggested_filename == "My-cats-v2-epoch2.safetensors"
    assert Path(saved.value.path()).stat().st_size > 0


@pytest.mark.skipif(not has_charts(), reason="the charts are not installed")
def test_gpu_use_is_charted_or_summarised(open_page: Open, server: TrainingServer) -> None:
    for gpus, shown in ((8, 8), (12, 3)):
        task_id = server.start_task(toy(30_000, name=f"on {gpus}", gpus=gpus))
        server.await_step(task_id, 3)
        page = open_page(f"#/trainings/{task_id}")
        legend = page.get_by_role("region", name="GPU use").locator(".legend > span")
        expect(legend).to_have_count(shown)
        expect(legend.first.locator("b")).not_to_have_text("–")
        server.stop_task(task_id, force=True)
        server.await_status(task_id, "stopped")


def test_checkpoint_is_deleted_after_confirmation(open_page: Open, server: TrainingServer) -> None:
    task_id = completed(server, "two checkpoints")
    page = open_page(f"#/trainings/{task_id}/files")
    page.get_by_role("button", name="Delete global_step10").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("global_step10 was deleted")
    expect(page.get_by_role("cell", name="global_step10", exact=True)).to_have_count(0)
    assert "global_step10" not in [each["name"] for each in server.task(task_id)["checkpoints"]]


def test_earlier_events_are_loaded_on_request(open_page: Open, server: TrainingServer) -> None:
    task_id = completed(server, "eventful")
    newest_first = [event["message"] for event in reversed(server.task_events(task_id))]
    page = open_page()
    page.route("**/events?*", lambda route: route.continue_(url=route.request.url.replace("limit=500", "limit=2")))
    page.goto(f"{page.url.partition('#')[0]}#/trainings/{task_id}")
    messages = page.locator(".event-list p.foreign")
    expect(messages).to_have_text(newest_first[:2])
    earlier = page.get_by_role("button", name="Load earlier events")
    earlier.click()
    expect(messages).to_have_text(newest_first[:4])
    while earlier.is_visible():
        shown = messages.count()
        earlier.click()
        expect(messages).not_to_have_count(shown)
    expect(messages).to_have_text(newest_first)
