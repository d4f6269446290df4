"""Samples of trainings in a browser: rendered, looked at, rated and chosen, by mouse and by keyboard."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.comfyui_server import WORKFLOW, ComfyServer, comfy_server
from tests.e2e.dashboard.axe import looks, violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    with comfy_server(tmp_path_factory.mktemp("comfy") / "loras") as started:
        yield started


@pytest.fixture(scope="module")
def server(comfy: ComfyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    settings = {"COMFYUI_URL": comfy.url, "COMFYUI_LORAS": str(comfy.loras)}
    with TrainingServer(tmp_path_factory.mktemp("grid") / "server", **settings) as started:
        yield started


@pytest.fixture(scope="module")
def training(server: TrainingServer) -> str:
    """A completed training with two saved models."""
    task_id = server.start_task(toy(5, 2, every=None, step_seconds=0.01, name="grid"))
    server.await_status(task_id, "completed")
    return task_id


@pytest.fixture
def sampled(server: TrainingServer, training: str) -> str:
    """The training with two prompts of both models."""
    sample_set = {"prompts": [{"text": "a dog"}, {"text": "a cat"}], "seed": 1, "workflow": WORKFLOW}
    if not server.get(f"/training/{training}/samples")["samples"]:
        body = {"checkpoints": ["epoch1", "epoch2"], "sample_set": sample_set}
        made = server.post(f"/training/{training}/samples", 202, json=body)
        server.await_status(made["task_id"], "completed")
    return training


def shown(page: Page) -> str:
    return page.locator("dialog.sample-viewer .about").inner_text()


def test_samples_are_rendered_from_the_form(
    open_page: Open, server: TrainingServer, complaints: Complaints, tmp_path: Path
) -> None:
    complaints.allowed = ("status of 409",)
    task_id = server.start_task(toy(5, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(WORKFLOW))
    page = open_page(f"#/trainings/{task_id}/samples")
    page.get_by_role("button", name="Sample now").click()
    page.get_by_label("Prompts").fill("a dog on a beach\n\na cat")
    page.get_by_role("button", name="Render", exact=True).click()
    # The toy has no built-in workflow.
    expect(page.locator("dialog [role=alert]")).to_contain_text("workflow")
    page.get_by_label("Own workflow").set_input_files(workflow)
    page.get_by_role("button", name="Render", exact=True).click()
    grid = page.locator(".sample-grid")
    expect(grid.locator("img")).to_have_count(4, timeout=40_000)
    expect(grid.get_by_role("rowheader")).to_contain_text(["Base model", "epoch1"])
    expect(grid.get_by_role("columnheader")).to_contain_text(["", "a dog on a beach", "a cat"])


def test_grid_is_looked_at_and_rated_by_keyboard(open_page: Open, server: TrainingServer, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    expect(page.locator(".sample-grid img")).to_have_count(6)
    page.get_by_role("button", name="epoch1: a dog").focus()
    page.keyboard.press("Enter")
    assert "epoch1" in shown(page)
    assert "a dog" in shown(page)
    page.keyboard.press("ArrowRight")
    assert "a cat" in shown(page)
    page.keyboard.press("ArrowDown")
    assert "epoch2" in shown(page)
    page.keyboard.press("4")
    expect(page.locator("dialog.sample-viewer .about")).to_contain_text("4/5")
    page.keyboard.press("ArrowDown")
    assert "Base model" in shown(page)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("x")
    expect(page.locator("dialog.sample-viewer .about")).to_contain_text("✗")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="epoch2: a dog")).to_be_focused()
    expect(page.locator(".sample-grid .rating", has_text="4/5")).to_have_count(1)
    found = server.get(f"/training/{sampled}/samples?checkpoint=epoch2")["samples"]
    assert {each["prompt"]: each["rating"] for each in found} == {"a cat": 4, "a dog": 0}


def test_grid_is_walked_by_keyboard(open_page: Open, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    page.get_by_role("button", name="Base model: a dog").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("button", name="epoch1: a dog")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("PageDown")
    expect(page.get_by_role("button", name="epoch2: a cat")).to_be_focused()


def test_two_models_are_compared_by_a_wipe(open_page: Open, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    page.get_by_role("button", name="epoch2: a dog").click()
    over = page.locator(".sample-viewer .pane.over")
    expect(over).to_be_hidden()
    page.keyboard.press("c")
    expect(over).to_be_visible()
    expect(page.locator(".sample-viewer .side")).to_have_text(["epoch2", "Base model"])
    page.keyboard.press("]")
    expect(over).to_have_css("clip-path", "inset(0px 0px 0px 55%)")
    page.get_by_label("Wipe").focus()
    page.keyboard.press("ArrowLeft")
    expect(over).to_have_css("clip-path", "inset(0px 0px 0px 54%)")
    page.get_by_label("Compare with").select_option("epoch1")
    expect(page.locator(".sample-viewer .side")).to_have_text(["epoch2", "epoch1"])
    box = page.locator(".sample-viewer .stage").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 50)
    page.mouse.up()
    expect(over).to_have_css("clip-path", "inset(0px 0px 0px 25%)")
    page.get_by_role("button", name="Zoom in").click()
    expect(page.get_by_role("button", name="Zoom 150 %")).to_be_visible()


def test_swipes_of_a_finger_lead_to_other_prompts_and_models(open_page: Open, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples", has_touch=True, viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="epoch1: a dog").tap()
    stage = page.locator(".sample-viewer .stage")
    swipe = """(stage, [dx, dy]) => {
        const at = (type, clientX, clientY) => stage.dispatchEvent(new PointerEvent(type,
            { pointerId: 1, pointerType: "touch", button: 0, clientX, clientY, bubbles: true }));
        stage.setPointerCapture = () => {};
        at("pointerdown", 200, 200); at("pointermove", 200 + dx, 200 + dy); at("pointerup", 200 + dx, 200 + dy);
    }"""
    stage.evaluate(swipe, [-100, 5])
    assert "a cat" in shown(page)
    stage.evaluate(swipe, [5, -100])
    assert "epoch2" in shown(page)
    assert_fits(page, "phone")


def test_blind_ratings_are_stored_and_ranked(open_page: Open, server: TrainingServer, sampled: str) -> None:
    for each in server.get(f"/training/{sampled}/samples")["samples"]:
        server.client.patch(f"/api/v1/training/{sampled}/samples/{each['sample_id']}", json={"rating": None})
    page = open_page(f"#/trainings/{sampled}/samples")
    page.get_by_role("button", name="Rate blind").click()
    judged = page.locator("dialog.sample-viewer")
    expect(judged).to_contain_text("1 of 6")
    for name in ("epoch1", "epoch2", "Base model"):
        expect(judged).not_to_contain_text(name)
    page.keyboard.press("5")
    expect(judged).to_contain_text("2 of 6")
    page.keyboard.press("Escape")
    page.reload()
    page.get_by_role("button", name="Rate blind").click()
    for n in range(1, 6):
        expect(judged).to_contain_text(f"{n} of 5")
        page.keyboard.press("x" if n == 1 else "3")
    expect(judged).to_have_count(0)
    expect(page.locator(".sample-ranking tbody tr")).to_have_count(3)
    expect(page.locator(".sample-ranking")).to_contain_text("not certain")
    ranking = server.get(f"/training/{sampled}/samples/ranking")
    assert (sum(model["rated"] for model in ranking["models"]), ranking["verdict"]) == (6, "uncertain")


def test_one_slider_leads_over_the_saved_models(open_page: Open, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    page.get_by_role("button", name="One model").click()
    pictures = page.locator(".strip img")
    expect(pictures).to_have_count(2)
    slider = page.get_by_role("slider", name="Saved model")
    expect(slider).to_have_attribute("aria-valuetext", "epoch2")
    slider.press("ArrowLeft")
    expect(page.get_by_role("button", name="epoch1: a dog")).to_be_visible()
    page.reload()
    expect(page.locator(".strip img")).to_have_count(2)
    page.get_by_role("button", name="Grid", exact=True).click()
    expect(page.locator(".sample-scroll img")).to_have_count(6)


def test_contact_sheet_is_downloaded(open_page: Open, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    page.get_by_role("button", name="Contact sheet").click()
    with page.expect_download() as waiting:
        page.get_by_role("menuitem", name="HTML").click()
    sheet = Path(waiting.value.path()).read_text()
    assert sheet.count("data:image/jpeg;base64,") == 6
    sent = page.context.new_page()
    sent.set_content(sheet)
    expect(sent.locator("td img")).to_have_count(6)


def test_progress_and_new_samples_appear_without_a_reload(
    open_page: Open, server: TrainingServer, comfy: ComfyServer, sampled: str
) -> None:
    page = open_page(f"#/trainings/{sampled}/samples", viewport={"width": 1000, "height": 420})
    scroll = page.locator(".sample-scroll")
    expect(scroll.locator("img")).to_have_count(6)
    scroll.evaluate("each => { each.scrollTop = 90; }")
    comfy.prompt_seconds = 1.0
    try:
        sample_set = {"prompts": [{"text": "a bird"}], "seed": 1, "workflow": WORKFLOW}
        body = {"checkpoints": ["epoch1", "epoch2"], "sample_set": sample_set}
        made = server.post(f"/training/{sampled}/samples", 202, json=body)["task_id"]
        # The page did not start it.
        expect(page.locator(".sample-grid .note")).to_contain_text("rendered", timeout=40_000)
        expect(page.get_by_role("button", name="epoch1: a bird")).to_have_count(1, timeout=60_000)
        assert scroll.evaluate("each => each.scrollTop") == 90
        page.reload()
        expect(page.get_by_role("button", name="epoch2: a bird")).to_have_count(1, timeout=60_000)
        server.await_status(made, "completed")
        expect(page.locator(".sample-grid .note")).to_have_count(0)
    finally:
        comfy.prompt_seconds = 0.0
        server.client.delete(f"/api/v1/training/{made}")


def test_chosen_model_is_offered_first_and_shown_in_the_list(
    open_page: Open, server: TrainingServer, sampled: str
) -> None:
    page = open_page(f"#/trainings/{sampled}")
    offer = page.locator(".version-offer")
    expect(offer).to_contain_text("epoch2")
    page.get_by_role("link", name="Samples").click()
    page.get_by_role("button", name="Choose epoch1").click()
    expect(page.get_by_role("button", name="Choose epoch1")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Overview").click()
    expect(offer).to_contain_text("epoch1", timeout=15_000)
    page.goto(page.url.partition("#")[0] + "#/trainings")
    expect(page.locator(".task-row", has_text="grid")).to_contain_text("★ epoch1")
    assert server.task(sampled)["chosen"] == "epoch1"


def test_tools_work_at_once_after_judging(open_page: Open, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    blind = page.get_by_role("button", name="Rate blind")
    blind.click()
    page.keyboard.press("3")
    expect(page.locator(".sample-grid .rating", has_text="3/5")).not_to_have_count(0)
    page.keyboard.press("Escape")
    expect(blind).to_be_focused()
    sheet = page.get_by_role("button", name="Contact sheet")
    sheet.click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="HTML").click()
    assert download.value.suggested_filename == "grid-samples.html"
    expect(sheet).to_be_focused()


def test_pictures_of_the_trainer_are_shown(open_page: Open, sampled: str) -> None:
    picture = open_page(f"#/trainings/{sampled}/samples").locator(".samples-panel img").first
    picture.scroll_into_view_if_needed()
    expect(picture).to_be_visible()
    expect(picture).not_to_have_js_property("naturalWidth", 0)


def test_trainer_without_pictures_has_no_empty_panel(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(5, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    [pictures] = (server.root / "tasks" / task_id / "output").glob("*/samples")
    shutil.rmtree(pictures)
    page = open_page(f"#/trainings/{task_id}/samples")
    expect(page.locator(".sample-grid")).to_contain_text("No samples yet")
    expect(page.locator(".samples-panel")).to_be_hidden()


def test_rule_that_deletes_files_asks_first(open_page: Open, server: TrainingServer) -> None:
    task_id = server.start_task(toy(5, 3, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    page = open_page(f"#/trainings/{task_id}/files")
    expect(page.get_by_text("No rule is set")).to_be_visible()
    page.get_by_label("Keep the newest").fill("1")
    save = page.get_by_role("button", name="Save the rule and delete")
    save.click()
    question = page.get_by_role("dialog")
    question.get_by_role("button", name="Cancel").click()
    assert server.get(f"/training/{task_id}/retention")["source"] == "none"
    save.click()
    question.get_by_role("button", name="Save the rule and delete").click()
    expect(page.get_by_role("button", name="Save the rule", exact=True)).to_be_focused()


def test_failed_sample_shows_its_problem_in_words(open_page: Open, server: TrainingServer, comfy: ComfyServer) -> None:
    task_id = server.start_task(toy(5, every=None, step_seconds=0.01))
    server.await_status(task_id, "completed")
    comfy.script = ["render", "oom"]
    body = {"sample_set": {"prompts": [{"text": "a dog"}], "seed": 1, "workflow": WORKFLOW}}
    server.await_status(server.post(f"/training/{task_id}/samples", 202, json=body)["task_id"], "completed")
    page = open_page(f"#/trainings/{task_id}/samples")
    expect(page.locator(".sample-grid .problem")).to_contain_text("out of memory")


def test_dialogs_and_slider_are_accessible_and_fit(open_page: Open, sampled: str, axe: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    page.get_by_role("button", name="epoch2: a dog").click()
    page.keyboard.press("c")
    assert violations(page, axe, "dialog") == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Rate blind").click()
    assert violations(page, axe, "dialog") == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="One model").click()
    expect(page.locator(".strip img").first).to_be_visible()
    assert violations(page, axe) == []
    for look in looks(page):
        assert_fits(page, look)


def test_grid_is_accessible_and_fits(open_page: Open, sampled: str, axe: str) -> None:
    page = open_page(f"#/trainings/{sampled}/samples")
    expect(page.locator(".sample-grid img").first).to_be_visible()
    assert violations(page, axe) == []
    for look in looks(page):
        assert_fits(page, look)


def test_model_is_linked_into_comfyui_and_unlinked(open_page: Open, comfy: ComfyServer, sampled: str) -> None:
    page = open_page(f"#/trainings/{sampled}/files")
    row = page.locator(".file-table tr", has_text="grid-epoch1.safetensors")
    expect(row.get_by_role("link", name="Preview")).to_be_visible()
    row.get_by_role("button", name="Link into ComfyUI").click()
    expect(row.get_by_role("button", name="Unlink from ComfyUI")).to_be_visible()
    assert {each.suffix for each in comfy.loras.glob("grid-epoch1-*")} == {".safetensors", ".png"}
    row.get_by_role("button", name="Unlink from ComfyUI").click()
    expect(row.get_by_role("button", name="Link into ComfyUI")).to_be_visible()
    assert list(comfy.loras.iterdir()) == []
