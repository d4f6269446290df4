"""The form of a new training: copies, TOML, presets, and findings."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from api.training.schemas import StartTraining
from tests.e2e.dashboard.conftest import Complaints, Open, unfold
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

SECRET = "hf_0123456789abcdefghij0123456789abcdef"

#: All fields of a request that can be combined.
EVERYTHING: dict[str, Any] = toy(
    20,
    2,
    gpus=[1, 0],
    every=7,
    knobs={"log_lines_per_step": 2},
    name="the first",
    description="two lines\nof it",
    tags=["style"],
    notes="as before",
    trigger_word="ohwx",
    priority=3,
    priority_class="background",
    not_before="2026-01-01T00:00:00Z",
    min_memory=1000,
    queue=True,
    env={"NCCL_DEBUG": "WARN", "HF_TOKEN": SECRET},
    max_retries=2,
    retry_on=["hang", "gpu_lost"],
    stop_on_hang=True,
    keep_last_checkpoints=4,
    regenerate_cache=True,
    trust_cache=True,
    notify={"on": ["hung"], "channels": ["hook"]},
    dataset={"directories": [{"path": ""}]},
)


def started_by(page: Page) -> str:
    """Press Start and return the id of the new task."""
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".task-head")).to_be_visible()
    return str(page.url.rsplit("/", 1)[1])


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    """A directory that the toy accepts as a dataset."""
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / "one.png")
    return str(tmp_path / "pictures")


def test_copy_of_a_training_has_all_its_fields(open_page: Open, server: TrainingServer, pictures: str) -> None:
    # No notification is sent, because the training does not hang.
    server.post("/alerts/channels", 201, json={"name": "hook", "kind": "webhook", "url": "https://hooks.invalid/x"})
    body = EVERYTHING | {"dataset": {"directories": [{"path": pictures}]}}
    first = server.start_task(body)
    page = open_page(f"#/new?from={first}")
    expect(page.get_by_label("Name")).to_have_value("the first")
    page.get_by_label("HF_TOKEN", exact=True).fill(SECRET)
    second = started_by(page)
    original, copy = server.task(first)["request"], server.task(second)["request"]
    assert copy == original
    assert original["env"] == {"NCCL_DEBUG": "WARN", "HF_TOKEN": "***"}
    assert {name for name in body if name not in original} == set()


def test_structured_request_is_sent_unchanged_until_its_text_is_edited(open_page: Open) -> None:
    request = {"model_type": "flux", "config": {"epochs": 3}, "dataset": {"resolutions": [512]}, "gpu_count": 1}
    texts = {"config.toml": "epochs = 3\n", "dataset.toml": "resolutions = [512]\n"}
    shown = {"data": {"request": request, "model_type": "flux", "plan": {"files": texts}}}
    page = open_page("#/new")
    page.route("**/training/train_x", lambda route: route.fulfill(json=shown))
    sent: list[dict[str, Any]] = []
    page.on("request", lambda made: sent.append(made.post_data_json) if "/validate" in made.url else None)
    page.goto(page.url.replace("#/new", "#/new?from=train_x"))
    expect(page.get_by_role("textbox", name="Epochs", exact=True, include_hidden=True)).to_have_value("3")
    expect(page.locator(".start-side .note").first).to_be_visible()
    page.get_by_role("button", name="TOML files").click()
    config = page.get_by_role("textbox", name="Configuration (TOML)")
    expect(config).to_have_value("epochs = 3\n")
    config.fill("epochs = 4\n")
    with page.expect_request("**/training/validate"):
        page.get_by_role("button", name="Validate").click()
    assert sent[0] == {**request, "priority": 0}
    assert sent[-1]["config_toml"] == "epochs = 4\n"
    assert not {"config", "dataset"} & set(sent[-1])


def test_form_and_texts_edit_the_same_request(open_page: Open, complaints: Complaints) -> None:
    complaints.allowed = ("status of 422",)
    page = open_page("#/new?model=z_image&variant=turbo")
    expect(page.locator(".model-now")).to_contain_text("Z-Image")
    unfold(page, "Settings")
    page.get_by_role("textbox", name="Epochs", exact=True, include_hidden=True).fill("7")
    page.get_by_text("All settings").last.click()
    page.get_by_label("Maximum steps", exact=True).fill("900")
    page.get_by_role("button", name="TOML files").click()
    config = page.get_by_role("textbox", name="Configuration (TOML)")
    expect(config).to_have_value(re.compile(r"epochs = 7\n(.|\n)*max_steps = 900\n(.|\n)*type = .lumina2."))
    text = config.input_value()
    config.fill(text.replace("max_steps = 900", "max_steps = 80\nmystery = [1, 2]"))
    page.get_by_role("button", name="Step by step").click()
    expect(page.get_by_label("Maximum steps", exact=True)).to_have_value("80")
    expect(page.get_by_label("mystery", exact=True)).to_have_value("[1,2]")
    page.get_by_role("button", name="TOML files").click()
    config.fill("epochs = ")
    page.get_by_role("button", name="Step by step").click()
    expect(page.locator(".editor-field").first.locator(".finding").first).to_be_visible()
    expect(page.locator(".toast")).to_be_visible()
    expect(config).to_be_visible()


def test_preset_fills_the_form(open_page: Open) -> None:
    page = open_page("#/new?model=wan")
    page.locator("button.preset-card", has_text="16 GB").click()
    expect(page.get_by_label("Blocks to swap", exact=True)).to_have_value("38")
    expect(page.get_by_label("Clip lengths (frames)", exact=True)).to_have_value("[1,17]")
    expect(page.locator(".extra-list")).to_contain_text("PYTORCH_CUDA_ALLOC_CONF")


def test_finding_is_shown_at_its_field(open_page: Open) -> None:
    page = open_page("#/new?model=flux")
    unfold(page, "Settings")
    page.get_by_label("Gradient accumulation steps", exact=True).fill("0")
    page.get_by_role("button", name="Validate").click()
    wrong = page.locator(".setting", has=page.locator(".finding"))
    expect(wrong.filter(has_text="Gradient accumulation steps")).to_be_visible()


def test_copy_omits_secrets_that_are_not_entered_again(open_page: Open, server: TrainingServer) -> None:
    first = server.start_task(toy(20, env={"HF_TOKEN": SECRET, "NCCL_DEBUG": "WARN"}))
    page = open_page(f"#/new?from={first}")
    expect(page.get_by_placeholder("Secrets are not shown")).to_be_visible()
    sent = []
    page.on("request", lambda request: sent.append(request.post_data) if request.method == "POST" else None)
    second = started_by(page)
    assert server.task(second)["request"]["env"] == {"NCCL_DEBUG": "WARN"}
    assert "***" not in str(sent)


def test_other_options_of_a_copy_can_be_removed(open_page: Open, server: TrainingServer) -> None:
    first = server.start_task(toy(20, name="hangs", stop_on_hang=True, max_retries=2))
    page = open_page(f"#/new?from={first}")
    page.get_by_role("button", name="Remove max_retries").click()
    second = server.task(started_by(page))["request"]
    assert (second["stop_on_hang"], second["max_retries"]) == (True, 0)


def test_typed_secret_is_not_stored(open_page: Open, server: TrainingServer) -> None:
    first = server.start_task(toy(20, env={"HF_TOKEN": SECRET}))
    page = open_page(f"#/new?from={first}")
    page.get_by_label("HF_TOKEN", exact=True).fill("hf_typed")
    page.get_by_label("Name").fill("another")
    stored = page.evaluate("JSON.stringify([{...sessionStorage}, {...localStorage}])")
    assert "another" in stored
    assert "hf_typed" not in stored


def test_model_type_follows_the_pasted_text(open_page: Open) -> None:
    page = open_page("#/new")
    page.get_by_role("button", name="TOML files").click()
    config = page.get_by_role("textbox", name="Configuration (TOML)")
    model = page.get_by_label("Model", exact=True)
    config.fill('epochs = 1\n\n[model]\ntype = "sdxl"\n')
    expect(model).to_have_value("sdxl")
    # The user's own choice has priority.
    model.select_option("wan")
    config.press_sequentially("dtype = 'bfloat16'\n")
    expect(model).to_have_value("wan")
    config.fill("[model]\ntype = 'chroma' # a comment\n")
    expect(model).to_have_value("chroma")


def test_missing_trainer_is_reported(open_page: Open) -> None:
    page = open_page("#/new")
    page.get_by_role("button", name="TOML files").click()
    note = page.locator(".start-form .note")
    expect(note).to_contain_text("DIFFUSION_PIPE_ROOT")
    expect(note).to_contain_text("model types need it")
    chinese = open_page("#/new", locale="zh-CN")
    chinese.get_by_role("button", name="TOML").click()
    expect(chinese.locator(".start-form .note")).to_contain_text("前往初始设置")


def test_gpus_are_named_by_index_and_counted(open_page: Open, server: TrainingServer) -> None:
    # Tasks of other tests must not occupy the GPUs.
    server.make_idle()
    page = open_page("#/new")
    expect(page.locator(".start-side .facts dd").first).to_have_text(re.compile(r"^GPU \d$"))
    task_id = server.start_task(toy(30_000, gpus=[3], name="on the third"))
    server.await_status(task_id, "running")
    waiting = server.start_task(toy(20, gpus=4, name="needs all"))
    page = open_page("#/trainings")
    expect(page.locator(f"[data-task={task_id}] .gpu-cell")).to_have_text("GPU 3")
    expect(page.locator(f"[data-task={waiting}] .gpu-cell")).to_have_text("needs 4 GPUs")
    page = open_page(f"#/trainings/{task_id}")
    expect(page.locator(".task-sub")).to_contain_text("GPU 3")
    for each in (waiting, task_id):
        server.stop_task(each, force=True)


def test_disk_space_of_which_a_part_is_unknown_is_a_lower_bound(open_page: Open) -> None:
    page = open_page("#/new")
    disk = page.locator(".start-side .facts dt", has_text=re.compile(r"^Disk$")).locator(
        "xpath=following-sibling::dd[1]"
    )

    def validate(checkpoint_bytes: int | None) -> None:
        def answer(route: Route) -> None:
            given = route.fetch()
            body = given.json()
            outputs = {"count": 1, "steps": [10], "each_bytes": None}
            body["data"]["plan"]["saved_models"] = {**outputs, "total_bytes": 2**30}
            body["data"]["plan"]["checkpoints"] = {**outputs, "total_bytes": checkpoint_bytes}
            route.fulfill(response=given, json=body)

        page.unroute_all()
        page.route("**/training/validate", answer)
        page.get_by_role("button", name="Validate").click()

    validate(2**30)
    expect(disk).to_have_text("2.0 GB")
    validate(None)
    expect(disk).to_have_text("at least 1.0 GB")


def test_config_with_a_masked_secret_is_not_sent(open_page: Open) -> None:
    page = open_page("#/new")
    page.get_by_role("button", name="TOML files").click()
    config = "[model]\ntype = 'flux'\n\n[monitoring]\nwandb_api_key = \"***\"\n"
    page.get_by_role("textbox", name="Configuration (TOML)").fill(config)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".editor-field").first.locator(".gutter .error")).to_have_text(["5"])
    assert sent == []


def test_copied_request_covers_all_fields() -> None:
    one_of = {"gpu_id", "gpu_count", "config_toml", "dataset_toml"}  # alternatives of fields in EVERYTHING
    elsewhere = {"slurm", "samples"}  # rejected without a cluster or a ComfyUI
    assert set(StartTraining.model_fields) - one_of - elsewhere == set(EVERYTHING)
