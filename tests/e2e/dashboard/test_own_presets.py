"""The form of a new training: own presets, differences from a preset, and the plan that follows the typing."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Open, pick_model, unfold
from tests.e2e.shelves import Shelf, png
from tests.e2e.training_server import TrainingServer


@pytest.fixture(scope="module")
def cats(server: TrainingServer) -> str:
    """A dataset."""
    shelf = Shelf(server.root)
    shelf.put("cats", [shelf.store(f"{seed}.png", png(seed), "a cat") for seed in range(4)])
    shelf.close()
    return "cats"


@pytest.fixture(autouse=True)
def no_presets(server: TrainingServer) -> Iterator[None]:
    yield
    for preset in server.get("/presets")["presets"]:
        server.client.delete(f"/api/v1/presets/{preset['preset_id']}")


@pytest.fixture
def form(open_page: Open, cats: str) -> Page:
    """The form for Flux on a dataset, with a built-in preset."""
    page = open_page(f"#/new?model=flux&dataset={cats}")
    expect(page.locator(".preset-card[aria-pressed=true]")).to_contain_text("24 GB")
    return page


def save(page: Page, name: str) -> None:
    page.get_by_role("button", name="Save as preset…").click()
    # The form behind it has a field of this name, too.
    page.get_by_role("dialog").get_by_label("Name").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(page.locator(".preset-card[aria-pressed=true]")).to_contain_text(name)


def test_preset_is_saved_shared_changed_and_deleted_by_mouse(form: Page, server: TrainingServer) -> None:
    unfold(form, "Settings")
    form.get_by_role("textbox", name="Epochs", exact=True).fill("7")
    expect(form.locator(".preset-changes")).to_contain_text(re.compile(r"Epochs \d+ → 7"))
    save(form, "Seven")
    expect(form.locator(".preset-changes")).to_be_empty()
    [stored] = server.get("/presets?model_type=flux")["presets"]
    assert (stored["name"], stored["settings"]["epochs"], stored["shared"]) == ("Seven", 7, False)
    assert "directories" not in stored["dataset"]
    assert not [name for name in stored["settings"]["model"] if name.endswith("_path") or name == "type"]

    form.get_by_role("textbox", name="Epochs", exact=True).fill("8")
    form.get_by_role("button", name="Update preset").click()
    expect(form.locator(".preset-changes")).to_be_empty()
    form.get_by_role("button", name="Rename or share…").click()
    form.get_by_label("Share with all users").check()
    form.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(form.locator(".preset-card[aria-pressed=true]")).to_contain_text("shared")
    [stored] = server.get("/presets")["presets"]
    assert (stored["settings"]["epochs"], stored["shared"]) == (8, True)

    form.get_by_role("button", name="Delete preset").click()
    form.get_by_role("dialog").get_by_role("button", name="Delete preset").click()
    expect(form.locator(".preset-card", has_text="Seven")).to_have_count(0)
    assert server.get("/presets")["presets"] == []


def test_form_starts_from_an_own_preset_by_keyboard(form: Page, server: TrainingServer) -> None:
    settings = {"epochs": 9, "adapter": {"type": "lora", "rank": 4, "dtype": "bfloat16"}}
    body = {"name": "Nine", "model_type": "flux", "settings": settings, "dataset": {"resolutions": [640]}}
    server.post("/presets", 201, json=body)
    form.reload()
    form.locator(".preset-card", has_text="Nine").focus()
    form.keyboard.press("Enter")
    expect(form.locator(".preset-card[aria-pressed=true]")).to_be_focused()
    expect(form.locator(".step-fold > summary").first).to_contain_text("Epochs 9 · Rank 4")
    expect(form.locator(".dataset-choice .fold > summary").last).to_contain_text("[640]")
    expect(form.get_by_label("Dataset", exact=True)).to_have_value("cats")
    form.get_by_role("button", name="Save as preset…").focus()
    form.keyboard.press("Enter")
    form.get_by_role("dialog").get_by_label("Name").press_sequentially("Copy of nine")
    form.keyboard.press("Enter")
    expect(form.locator(".preset-card[aria-pressed=true]")).to_contain_text("Copy of nine")
    assert {each["name"] for each in server.get("/presets")["presets"]} == {"Nine", "Copy of nine"}


def test_changes_are_undone(form: Page) -> None:
    before = form.locator(".step-fold > summary").first.inner_text()
    unfold(form, "Settings")
    form.get_by_label("Rank", exact=True).fill("99")
    expect(form.locator(".preset-changes")).to_contain_text("→ 99")
    form.get_by_role("button", name="Undo changes").click()
    expect(form.locator(".preset-changes")).to_be_empty()
    assert before.split(" · ")[1] in form.locator(".step-fold > summary").first.inner_text()


def test_plan_follows_the_typing_beside_links_to_wrong_fields(form: Page) -> None:
    side = form.locator(".start-side")
    expect(side).to_contain_text("Total steps")
    unfold(form, "Settings")
    form.get_by_label("Gradient accumulation steps", exact=True).fill("0")
    link = side.get_by_role("button", name="0 makes the trainer divide by zero")
    expect(link).to_be_visible()
    expect(side).to_contain_text("Total steps")
    unfold(form, "Settings")
    expect(form.get_by_label("Gradient accumulation steps", exact=True)).to_be_hidden()
    link.click()
    expect(form.get_by_label("Gradient accumulation steps", exact=True)).to_be_focused()
    form.keyboard.press("Control+A")
    form.keyboard.type("2")
    expect(link).to_have_count(0)


def test_switch_sets_a_key_and_returns_to_the_default(form: Page) -> None:
    unfold(form, "Settings")
    form.get_by_text("All settings").last.click()
    switch = form.get_by_role("switch", name="Compile the model")
    switch.focus()
    form.keyboard.press("Space")
    expect(form.locator(".preset-changes")).to_contain_text("Compile the model default → true")
    form.keyboard.press("Space")
    expect(form.locator(".preset-changes")).not_to_contain_text("Compile the model")


def test_models_are_grouped_with_sizes(open_page: Open) -> None:
    page = open_page("#/new")
    page.locator(".model-picker > summary").press("Enter")
    group = page.get_by_role("region", name="To download")
    expect(group.locator(".model-card[data-model=flux]")).to_contain_text(re.compile(r"GB to download"))
    page.keyboard.press("Enter")
    pick_model(page, "flux")
    expect(page.locator(".model-picker > summary")).to_be_focused()
    expect(page.locator(".model-now")).to_contain_text("Flux")


def test_form_has_no_accessibility_violations(form: Page, axe: str) -> None:
    unfold(form, "Settings")
    unfold(form, "GPUs")
    form.get_by_role("textbox", name="Epochs", exact=True).fill("-1")
    expect(form.locator(".start-side .finding").first).to_be_visible()
    assert violations(form, axe) == []
