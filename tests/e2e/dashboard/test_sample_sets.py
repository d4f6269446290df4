"""Sample sets, workflows and automatic samples in a browser."""

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.comfyui_server import WORKFLOW, ComfyServer, comfy_server
from tests.e2e.dashboard.axe import looks, violations
from tests.e2e.dashboard.conftest import Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.server import until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG, TrainingServer


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path_factory.mktemp("comfy") / "loras") as started:
        yield started


@pytest.fixture(scope="module")
def server(comfy: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    settings = {"COMFYUI_URL": comfy.url, "COMFYUI_LORAS": str(comfy.loras)}
    with TrainingServer(tmp_path_factory.mktemp("sets") / "server", **settings) as started:
        yield started


def save_set(server: TrainingServer, name: str) -> str:
    registered = server.get("/workflows")["workflows"]
    body = {"name": name, "model_type": "toy", "workflow": WORKFLOW}
    workflow = next((each["workflow_id"] for each in registered if each["name"] == name), None)
    workflow = workflow or server.post("/workflows", 201, json=body)["workflow_id"]
    prompts = [{"text": "a dog"}, {"text": "{trigger} in the rain", "negative": "blurry", "seed": 7}]
    made = {"name": name, "prompts": prompts, "workflow": workflow}
    return str(server.post("/sample-sets", 201, json=made)["name"])


def shoot(page: Page, name: str) -> None:
    if os.environ.get("SHOTS"):
        page.screenshot(path=f"{os.environ['SHOTS']}/{name}.png")


def test_workflow_and_set_are_made_and_chosen_for_a_training(
    open_page: Open, server: TrainingServer, tmp_path: Path
) -> None:
    graph = copy.deepcopy(WORKFLOW)
    # The finder does not follow the prompt through a foreign node.
    graph["sampler"]["inputs"]["positive"] = ["decode", 0]
    # A retry on the same server registers its own.
    look, faces = f"my look {tmp_path.name[-1]}", f"faces{tmp_path.name[-1]}"
    file = tmp_path / f"{look}.json"
    file.write_text(json.dumps(graph))
    page = open_page("#/new?model=toy")
    fold = page.locator("details", has_text="Samples").last
    fold.locator("summary").click()
    page.get_by_role("button", name="Sample sets and workflows…").click()
    page.get_by_role("button", name="Register a workflow").click()
    page.get_by_label("Own workflow").set_input_files(str(file))
    expect(page.get_by_text("Some nodes were not found")).to_be_visible()
    expect(page.get_by_label("Negative prompt")).to_contain_text("CLIPTextEncode (not): text")
    shoot(page, "workflow")
    page.locator("#workflow-prompt").select_option(label="CLIPTextEncode (text): text")
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.locator(".set-line", has_text=look)).to_be_visible()
    page.get_by_role("button", name="New sample set").click()
    page.locator("#set-name").fill(faces)
    page.locator("#set-prompts").fill("{trigger} smiles\n\na cat")
    page.locator("#set-workflow").select_option(label=f"{look} (toy)")
    shoot(page, "set")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".set-line", has_text=faces)).to_contain_text("2 prompts, version 1")
    shoot(page, "manager")
    page.get_by_role("button", name="Close").click()
    page.get_by_label("Sample set", exact=True).select_option(faces)
    page.get_by_label("Trigger word").fill("ohwx dog")
    expect(fold.locator("summary")).to_contain_text(f"{faces}, after every saved model")
    shoot(page, "start")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/trainings/train_*")
    task_id = page.url.rpartition("/")[2]
    samples = server.task(task_id)["samples"]
    assert (samples["sample_set"], samples["version"], samples["trigger"]) == (faces, 1, "ohwx dog")
    assert server.get(f"/sample-sets/{faces}")["prompts"][1] == {"text": "a cat", "negative": None, "seed": None}


def test_changed_set_keeps_what_the_form_does_not_show(open_page: Open, server: TrainingServer) -> None:
    save_set(server, "rain")
    page = open_page("#/new?model=toy")
    page.locator("details", has_text="Samples").last.locator("summary").click()
    page.get_by_role("button", name="Sample sets and workflows…").click()
    page.locator(".set-line", has_text="rain").first.get_by_role("button", name="Edit…").click()
    page.locator("#set-prompts").fill("a dog\n{trigger} in the rain\na fox")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".set-line", has_text="rain").first).to_contain_text("3 prompts, version 2")
    second = server.get("/sample-sets/rain")["prompts"][1]
    assert second == {"text": "{trigger} in the rain", "negative": "blurry", "seed": 7}
    page.locator(".set-line", has_text="rain").first.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Delete the sample set").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("3 prompts")).to_have_count(0)


def test_samples_tab_automates_and_uses_sets_and_checkpoints(open_page: Open, server: TrainingServer, axe: str) -> None:
    save_set(server, "tab")
    task_id = server.start_task(toy(30, 2, every=2, step_seconds=0.2))
    until(lambda: server.get(f"/training/{task_id}/checkpoints")["checkpoints"], LONG, "a checkpoint")
    page = open_page(f"#/trainings/{task_id}/samples")
    page.get_by_role("button", name="Automatic…").click()
    page.get_by_label("Sample set", exact=True).select_option("tab")
    page.get_by_label("Trigger word").fill("ohwx")
    shoot(page, "automatic")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".sample-grid")).to_contain_text("tab@1, after every saved model")
    page.get_by_role("button", name="Sample now").click()
    page.locator("#sample-model").select_option(index=0)
    expect(page.locator("#sample-model")).to_contain_text("a LoRA is made first")
    page.locator("#sample-set").select_option("tab")
    expect(page.locator("#sample-prompts")).to_be_hidden()
    page.locator("#sample-trigger").fill("ohwx")
    shoot(page, "now")
    assert violations(page, axe) == []
    page.get_by_role("button", name="Render").click()
    expect(page.locator(".sample-grid img").first).to_be_visible(timeout=60_000)
    shoot(page, "tab")
    page.get_by_role("button", name="Automatic…").click()
    page.get_by_label("Sample set", exact=True).select_option("")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".sample-grid")).not_to_contain_text("after every saved model")
    assert server.task(task_id)["samples"] is None


def test_dialogs_are_accessible_and_fit(open_page: Open, server: TrainingServer, axe: str) -> None:
    save_set(server, "fits")
    page = open_page("#/new?model=toy")
    page.locator("details", has_text="Samples").last.locator("summary").click()
    page.get_by_label("Sample set", exact=True).select_option("fits")
    assert violations(page, axe) == []
    page.get_by_role("button", name="Sample sets and workflows…").click()
    expect(page.locator(".set-line").first).to_be_visible()
    for look in looks(page):
        assert_fits(page, look)
    assert violations(page, axe) == []
    page.locator(".set-line", has_text="fits").first.get_by_role("button", name="Edit…").click()
    assert violations(page, axe) == []
