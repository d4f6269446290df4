"""Start, find and stop trainings in a browser."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import Complaints, Open, unfold
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

CONFIG = """epochs = 3
micro_batch_size_per_gpu = 1
save_every_n_epochs = 1

[model]
type = 'flux'
dtyp = 'bfloat16'
"""
DATASET = "resolutions = [512]\n\n[[directory]]\npath = '/does/not/exist'\n"


@pytest.fixture(autouse=True)
def idle_server(server: TrainingServer) -> Iterator[None]:
    yield
    server.make_idle()


def choose(page: Page, action: str) -> None:
    """Click an action in the header of the open task."""
    page.locator(".task-head").get_by_role("button", name=action).click()


@pytest.mark.quick
def test_toy_is_started_from_the_form_and_completes(open_page: Open) -> None:
    page = open_page("#/new")
    unfold(page, "Settings")
    page.get_by_label("Epochs", exact=True).fill("2")
    page.get_by_label("Steps per epoch").fill("20")
    page.get_by_label("Seconds per step").fill("0.05")
    page.get_by_label("Name").fill("from the form")
    page.get_by_role("button", name="Validate").click()
    expect(page.locator(".start-side")).to_contain_text("Ready to start")
    expect(page.locator(".start-side")).to_contain_text("Total steps")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="from the form")).to_be_visible()
    expect(page.locator(".task-head .status")).to_have_text("completed", timeout=40_000)
    expect(page.locator(".stats")).to_contain_text("40 / 40")
    page.get_by_role("link", name="Samples").click()
    expect(page.locator(".sample").first).to_be_visible()
    page.get_by_role("link", name="Checkpoints and files").click()
    expect(page.get_by_text("complete, latest")).to_be_visible()
    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.locator(".log-scroll")).to_contain_text("TRAINING COMPLETE!")
    expect(page).to_have_title("completed · from the form · Diffusion-Pipe")


def test_findings_are_shown_at_their_fields_and_lines(open_page: Open) -> None:
    page = open_page("#/new")
    unfold(page, "Settings")
    page.get_by_label("Steps per epoch").fill("0")
    page.get_by_role("button", name="Validate").click()
    field = page.locator(".field", has=page.get_by_label("Steps per epoch"))
    expect(field).to_contain_text("cannot be 0")
    page.get_by_role("button", name="TOML files").click()
    page.get_by_role("textbox", name="Configuration (TOML)").fill(CONFIG)
    page.get_by_role("textbox", name="Dataset (TOML)").fill(DATASET)
    page.get_by_role("button", name="Validate").click()
    expect(page.locator(".editor-field").first).to_contain_text("Did you mean `dtype`?")
    expect(page.locator(".editor-field").first.locator(".gutter .warning")).to_contain_text(["7"])
    expect(page.locator(".editor-field").nth(1).locator(".gutter .error")).to_have_text(["4"])
    page.get_by_role("button", name="line 4").click()
    expect(page.get_by_role("textbox", name="Dataset (TOML)")).to_be_focused()


def test_draft_survives_a_reload(open_page: Open) -> None:
    page = open_page("#/new")
    page.get_by_role("button", name="TOML files").click()
    page.get_by_role("textbox", name="Configuration (TOML)").fill(CONFIG)
    page.reload()
    expect(page.get_by_role("textbox", name="Configuration (TOML)")).to_have_value(CONFIG)


def test_task_is_stopped_resumed_force_stopped_and_deleted(
    open_page: Open, server: TrainingServer, complaints: Complaints
) -> None:
    task_id = server.start_task(toy(30_000, name="to and fro", step_seconds=0.05))
    server.await_step(task_id, 12)
    page = open_page(f"#/trainings/{task_id}")
    status = page.locator(".task-head .status")
    choose(page, "Stop")
    page.get_by_role("button", name="Save a checkpoint, then stop").click()
    expect(status).to_have_text("stopped", timeout=40_000)
    assert server.task(task_id)["checkpoints"]

    choose(page, "Resume")
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(status).to_have_text("running", timeout=40_000)
    choose(page, "Stop")
    page.get_by_role("button", name="Force stop…").click()
    expect(page.get_by_role("dialog")).to_contain_text("Stop without a checkpoint?")
    page.keyboard.press("Escape")
    assert server.task(task_id)["stop"] is None
    choose(page, "Stop")
    page.get_by_role("button", name="Force stop…").click()
    page.get_by_role("button", name="Stop now").click()
    expect(status).to_have_text("stopped", timeout=40_000)

    held = server.task(task_id)["attempts"][-1]["gpu_ids"][0]
    until(lambda: server.gpu(held)["status"] == "available", what="the GPU to be free again")
    complaints.allowed = ("404",)  # the page may request the task during its deletion
    choose(page, "Delete")
    page.get_by_role("button", name="Delete with files").click()
    expect(page.get_by_role("heading", name="Trainings", level=1)).to_be_visible()
    assert task_id not in server.task_ids()


def test_lora_of_a_checkpoint_is_exported_and_downloaded(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(30_000, name="kept", every=None))
    server.await_step(task_id, 3)
    page = open_page(f"#/trainings/{task_id}/files")
    choose(page, "Stop")
    page.get_by_role("button", name="Stop and keep a LoRA").click()
    expect(page.locator(".task-head .status")).to_have_text("stopped", timeout=40_000)
    row = page.locator("tr", has=page.get_by_text("global_step"))
    link = row.get_by_role("link", name="Download")
    expect(link).to_be_visible(timeout=40_000)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename.startswith("kept-step")

    (model,) = server.root.glob(f"tasks/{task_id}/output/*/step*/adapter_model.safetensors")
    model.unlink()
    page.reload()
    row.get_by_role("button", name="Export again").click()
    expect(link).to_be_visible(timeout=40_000)
    assert model.is_file()


def test_model_that_the_trainer_makes_is_shown_with_its_step_and_its_task(
    open_page: Open, server: TrainingServer
) -> None:
    knobs = {"exports_directly": False, "load_seconds": 3.0}
    task_id = server.start_task(toy(9, every=5, step_seconds=0.02, knobs=knobs))
    server.await_status(task_id, "completed")
    page = open_page(f"#/trainings/{task_id}/files")
    row = page.locator(".checkpoint-table tr", has=page.get_by_text("global_step5"))
    row.get_by_role("button", name="Export LoRA").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("saves the model of step 6")).to_be_visible()
    row.get_by_role("link", name=re.compile("queued|starting|running")).click()
    expect(page.get_by_role("link", name="model of step 6, from global_step5")).to_be_visible()
    expect(page.locator(".task-head .status")).to_have_text("completed", timeout=40_000)
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)
    page.get_by_role("link", name="model of step 6, from global_step5").click()
    expect(row).to_contain_text("step 6")
    expect(row.get_by_role("link", name="Download")).to_be_visible()


def test_stop_dialog_fits_the_current_status(open_page: Open, server: TrainingServer) -> None:
    assert server.register(gpu_ids=[0], task_id="outsider").status_code == 201
    task_id = server.start_task(toy(20, name="waits, then loads", gpus=[0], knobs={"hang_in": "loading"}))
    page = open_page(f"#/trainings/{task_id}")
    expect(page.locator(".task-head .status")).to_have_text("queued")
    choose(page, "Stop")
    expect(page.get_by_role("dialog")).to_contain_text("Remove this training from the queue?")
    page.keyboard.press("Escape")
    server.client.delete("/api/v1/gpu/tasks/outsider")
    expect(page.locator(".task-head .status")).to_have_text("running")
    choose(page, "Stop")
    expect(page.get_by_role("dialog").get_by_role("button", name="Force stop…")).to_be_visible()


def test_list_shows_why_a_task_waits(open_page: Open, server: TrainingServer) -> None:
    holding = server.start_task(toy(30_000, name="holds all", gpus=4))
    waiting = server.start_task(toy(20, name="waits for two", gpus=2))
    page = open_page("#/trainings")
    row = page.locator(f"[data-task={waiting}]")
    expect(row).to_contain_text("queued")
    row.get_by_role("button", name="Why?").click()
    expect(row.locator(".why")).to_have_text("needs 2 GPUs: GPUs 0–3 are in use by holds all")
    link = row.locator(".why").get_by_role("link", name="holds all")
    expect(link).to_have_attribute("href", f"#/trainings/{holding}")
    chinese = open_page("#/trainings", locale="zh-CN")
    expect(chinese.locator(f"[data-task={waiting}] .why")).to_have_text("需要 2 块 GPU：GPU 0–3 被 holds all 占用")
    chinese.close()
    page.get_by_role("searchbox").fill("holds all")
    expect(page.locator(".task-row:visible")).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="queued", exact=True).click()
    expect(page.locator(".task-row:visible")).to_have_count(1)
    assert "status=queued" in page.url

    row.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Change priority").click()
    page.get_by_role("textbox", name="Priority").fill("7")
    page.keyboard.press("Enter")
    expect(row).to_contain_text("priority 7")


def test_page_can_be_used_by_keyboard(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(5, name="by keys"))
    server.await_status(task_id, "completed")
    page = open_page()
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator(f"[data-task={task_id}]")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("by keys")
    expect(page.locator(".task-row")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator(".task-name").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="by keys")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Follow the log")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("h")
    expect(page.get_by_role("heading", name="Home", level=1)).to_be_visible()


def test_reason_for_waiting_is_updated(open_page: Open, server: TrainingServer) -> None:
    for gpu, name in enumerate(("first-outsider", "second-outsider")):
        assert server.register(gpu_ids=[gpu], task_id=name).status_code == 201
    waiting = server.start_task(toy(20, name="waits for outsiders", gpus=[0, 1]))
    pages = [open_page(address) for address in ("#/trainings", "#/", f"#/trainings/{waiting}")]
    for page in pages:
        expect(page.get_by_text("in use by first-outsider").last).to_be_attached()
    # There is no event for this change: the task still waits.
    assert server.client.delete("/api/v1/gpu/tasks/first-outsider").status_code == 200
    for page in pages:
        expect(page.locator(".why, .task-head .note").first).not_to_contain_text("first-outsider")
        expect(page.locator(".why, .task-head .note").first).to_contain_text("second-outsider")
    server.client.delete("/api/v1/gpu/tasks/second-outsider")
    server.await_status(waiting, "completed")
