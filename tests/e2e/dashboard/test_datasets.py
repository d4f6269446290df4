"""Datasets in a browser: search, items, captions, checks, and versions."""

import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.dashboard.layout import assert_fits, follow
from tests.e2e.dashboard.test_loading import BUDGET_BYTES, loaded
from tests.e2e.shelves import Shelf, many, png
from tests.e2e.training_server import TrainingServer

MANY = 10_000
#: Number of datasets of the fixture.
DATASETS = 3


@pytest.fixture(scope="module")
def cats(server: TrainingServer) -> Iterator[Shelf]:
    """Three datasets: with few items, with many items, and empty."""
    shelf = Shelf(server.root)
    captions = ["a photo of a cat, sofa", "a photo of a dog", None]
    items = [shelf.store(f"{index}.png", png(index), captions[index % 3]) for index in range(9)]
    shelf.put("cats", items, description="tabby cats", tags=["animals"])
    shelf.put("many", many(shelf, MANY, {77: None}))
    server.post("/datasets", 201, json={"name": "bare"})
    yield shelf
    shelf.close()


def status(page: Page) -> Locator:
    """Return the status with the number of items and selected items."""
    return page.locator(".items-panel [role=status]")


def grid(page: Page) -> Locator:
    found = page.get_by_role("grid")
    expect(found.locator(".tile").first).to_be_visible()
    found.focus()
    return found


def captions(server: TrainingServer, name: str = "cats") -> list[str | None]:
    return [item["caption"] for item in server.get(f"/datasets/{name}/items")["items"]]


def test_dataset_is_created_edited_and_deleted(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    page = open_page("#/datasets")
    expect(page.locator(".dataset-row")).to_have_count(DATASETS)
    page.get_by_role("button", name="New dataset…").click()
    page.get_by_label("Name", exact=True).fill("horses")
    page.get_by_label("Tags", exact=True).fill("animals, brown")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".items-panel .empty")).to_be_visible()
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Edit name").click()
    page.get_by_label("Name", exact=True).fill("ponies")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="ponies", level=1)).to_be_visible()
    assert server.get("/datasets/ponies")["dataset"]["tags"] == ["animals", "brown"]
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".dataset-row")).to_have_count(DATASETS)


def test_caption_is_edited_inline_by_keyboard_and_undone(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    page = open_page("#/datasets/cats")
    grid(page).press("ArrowRight")
    page.keyboard.press("e")
    page.keyboard.type(", at noon")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Caption of 2.png")).to_be_focused()
    page.keyboard.type("never mind")
    page.keyboard.press("Escape")
    assert captions(server)[1:3] == ["a photo of a dog, at noon", None]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tile").nth(1)).to_contain_text("a photo of a dog")
    expect(page.locator(".tile").nth(1)).not_to_contain_text("at noon")
    assert captions(server)[1] == "a photo of a dog"


def test_selected_captions_are_edited_after_a_preview(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    page = open_page("#/datasets/cats?search=dog")
    expect(status(page)).to_have_text("3 items")
    grid(page).press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(status(page)).to_have_text("2 of 3 selected")
    page.get_by_role("button", name="Edit captions…").click()
    page.get_by_label("Find", exact=True).fill("a photo of ")
    page.get_by_role("textbox", name="Trigger word").fill("ohwx")
    expect(page.get_by_role("dialog")).to_contain_text("2 captions change")
    assert captions(server)[1] == "a photo of a dog"
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".tile").first).to_contain_text("ohwx, a dog")
    assert captions(server)[1::3] == ["ohwx, a dog", "ohwx, a dog", "a photo of a dog"]
    page.get_by_role("button", name="Versions", exact=True).click()
    page.get_by_role("button", name="Restore").last.click()
    expect(page.get_by_text("Version 1 was restored")).to_be_visible()
    assert captions(server)[1] == "a photo of a dog"


def test_grid_of_many_items_renders_only_visible_tiles(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/datasets/many")
    grid(page).press("End")
    expect(page.locator(".tile.active")).to_contain_text("09999.png")
    assert page.locator(".tile").count() < 120
    page.keyboard.press("Control+a")
    expect(status(page)).to_have_text("10,000 of 10,000 selected")
    page.keyboard.press("Escape")
    page.get_by_label("Problem", exact=True).select_option("missing_caption")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator(".tile")).to_contain_text("00077.png")


def test_check_shows_buckets_that_link_to_their_items(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/datasets/cats?tab=check")
    page.get_by_role("region", name="Check").get_by_role("button", name="Check").click()
    expect(page.locator(".check-result")).to_contain_text("3 of 9 files have no caption")
    page.locator(".bucket").first.click()
    expect(status(page)).to_have_text("6 items")
    page.get_by_role("button", name="640 × 400").click()
    expect(status(page)).to_have_text("9 items")


def test_item_is_shown_as_the_trainer_sees_it(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/datasets/cats?tab=check")
    page.get_by_role("region", name="Check").get_by_role("button", name="Check").click()
    expect(page.locator(".bucket").first).to_be_visible()
    page.get_by_role("button", name="Items", exact=True).click()
    grid(page).press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("640 × 400 pixels")
    expect(dialog.locator(".trained-picture img")).to_have_js_property("naturalWidth", 640)
    expect(dialog.locator(".crop-box")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading")).to_have_text("1.png")
    expect(dialog.get_by_label("Caption", exact=True)).to_have_value("a photo of a dog")
    page.keyboard.press("Escape")
    expect(page.locator(".tile.active")).to_contain_text("1.png")


def test_train_button_opens_a_valid_request(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    page = open_page("#/datasets/cats")
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_role("button", name="Validate").click()
    # No model is here, so that only the toy can train.
    expect(page.locator(".start-side")).to_contain_text("Ready to start")
    expect(page.locator(".start-side")).to_contain_text("datasets/cats-")


def test_training_has_the_settings_of_the_last_check(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    page = open_page("#/datasets/cats?tab=check")
    page.get_by_role("textbox", name="Resolutions").fill("640x384")
    page.get_by_role("textbox", name="Resolutions").blur()
    page.goto(f"{page.url.split('#')[0]}#/new?dataset=cats@1&model=flux")
    expect(page.get_by_label("Dataset", exact=True)).to_have_value("cats")
    page.get_by_role("button", name="TOML files").click()
    text = page.get_by_role("textbox", name="Dataset (TOML)")
    expect(text).to_have_value(re.compile(r"resolutions = \[\[640, 384\]\](.|\n)*dataset = .cats@1."))
    expect(page.get_by_role("textbox", name="Configuration (TOML)")).to_have_value(re.compile("type = .flux."))


def test_preparation_creates_a_new_version(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    cats.put("pups", [cats.store("pup.png", png(3), "a pup")])
    page = open_page("#/datasets/pups?tab=prepare")
    page.get_by_role("textbox", name="Trigger word").fill("ohwx")
    page.get_by_role("region", name="Prepare files for a model").get_by_role("button", name="Prepare").click()
    expect(page.locator(".work .status")).to_have_text("completed")
    expect(page.locator(".work")).to_contain_text("pups, version 2, 1 item")
    expect(page.locator(".dataset-facts")).to_contain_text("version 2")
    assert captions(server, "pups") == ["ohwx, a pup"]
    link = page.get_by_role("link", name="For sd-scripts (kohya)").get_attribute("href")
    assert link is not None
    assert server.client.get(link).headers["content-type"] == "application/zip"


def test_dataset_screen_stays_within_the_size_budget(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/datasets/cats")
    grid(page)
    assert sum(loaded(page).values()) < BUDGET_BYTES


def test_tags_are_counted_and_link_to_their_items(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/datasets/cats?tab=tags")
    page.get_by_role("button", name="sofa").click()
    expect(status(page)).to_have_text("3 items")


def test_datasets_have_no_accessibility_violations(
    open_page: Open, cats: Shelf, axe: str, complaints: Complaints
) -> None:
    page = open_page("#/datasets")
    expect(page.locator(".dataset-row").first).to_be_visible()
    assert violations(page, axe) == []
    page.get_by_role("link", name="cats", exact=True).click()
    grid(page).press("Space")
    assert violations(page, axe) == []
    page.keyboard.press("Enter")
    expect(page.locator(".trained-picture img")).to_have_js_property("complete", True)
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit captions…").click()
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    for tab in ("Check", "Prepare", "Tags", "Versions"):
        page.get_by_role("button", name=tab, exact=True).click()
        expect(page.locator(".panel:visible").first).to_be_visible()
        assert violations(page, axe) == []


def test_datasets_fit_every_window_width(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/datasets", locale="zh-CN")
    for address, awaited in (("", ".dataset-row"), ("/cats", ".tile"), ("/cats?tab=versions", ".versions-table")):
        follow(page, f"#/datasets{address}")
        expect(page.locator(f"{awaited}:visible").first).to_be_visible()
        for width in (320, 768, 2560):
            page.set_viewport_size({"width": width, "height": 800})
            assert_fits(page, (address, width))


def test_selected_items_are_excluded_removed_and_restored(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    cats.put("edits", [cats.store(f"{index}.png", png(index), "a cat") for index in range(5)])
    page = open_page("#/datasets/edits")
    grid(page).press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.get_by_role("button", name="Exclude", exact=True).click()
    expect(page.locator(".tile.excluded")).to_have_count(2)
    expect(page.locator(".dataset-facts")).to_contain_text("2 excluded")
    page.get_by_label("Problem", exact=True).select_option("excluded")
    expect(status(page)).to_have_text("2 items")
    grid(page).press("x")
    expect(status(page)).to_have_text("1 item")
    page.get_by_label("Problem", exact=True).select_option("")
    expect(status(page)).to_have_text("5 items")
    grid(page).press("Delete")
    expect(status(page)).to_have_text("4 items")
    expect(page.get_by_role("button", name="Undo")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(status(page)).to_have_text("5 items")
    expect(page.get_by_role("grid")).to_be_focused()
    grid(page).press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Exclude", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("button", name="Include", exact=True)).to_be_visible()
    items = server.get("/datasets/edits/items")["items"]
    assert [item["excluded"] for item in items] == [True, True, False, False, False]


def test_edit_cannot_be_undone_after_a_later_edit(
    open_page: Open, server: TrainingServer, cats: Shelf, complaints: Complaints
) -> None:
    # An item may be removed while its thumbnail is requested.
    complaints.allowed = ("404",)
    name = f"shared-{secrets.token_hex(2)}"  # unique, because a rerun would find the dataset of the first run
    cats.put(name, [cats.store(f"{index}.png", png(index), "a cat") for index in range(3)])
    page = open_page(f"#/datasets/{name}")
    grid(page).press("Delete")
    expect(status(page)).to_have_text("2 items")
    edit = server.client.patch(f"/api/v1/datasets/{name}/captions", json={"suffix": ", by another"})
    assert edit.status_code == 200
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The dataset has changed since")).to_be_visible()
    assert captions(server, name) == ["a cat, by another"] * 2


def test_selected_items_are_split_off(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    cats.put("whole", [cats.store(f"{index}.png", png(index), "a cat") for index in range(4)])
    page = open_page("#/datasets/whole")
    grid(page).press("Space")
    page.get_by_role("button", name="Split off…").click()
    page.get_by_label("Target dataset").fill("part")
    page.get_by_role("dialog").get_by_role("button", name="Split off").click()
    expect(page.get_by_text("1 item was moved to part.")).to_be_visible()
    expect(status(page)).to_have_text("3 items")
    assert captions(server, "part") == ["a cat"]


def test_check_removes_damaged_items_and_duplicates(
    open_page: Open, server: TrainingServer, cats: Shelf, complaints: Complaints
) -> None:
    # A damaged picture has no thumbnail.
    complaints.allowed = ("404",)
    whole = png(40, (256, 256))
    twins = [cats.store(f"twin {index}.png", png(30), "a cat" if index else None) for index in range(3)]
    cats.put("faulty", [*twins, cats.store("bad.png", whole[: len(whole) // 2], "a cat")])
    page = open_page("#/datasets/faulty?tab=check")
    page.get_by_role("region", name="Check").get_by_role("button", name="Check").click()
    damaged = page.locator(".finding").filter(has_text="bad.png").first
    damaged.get_by_role("button", name="Remove these").click()
    expect(page.locator(".check-result")).not_to_contain_text("bad.png")
    page.get_by_role("button", name="Keep one of each group").first.click()
    expect(page.locator(".duplicates")).to_have_count(0)
    assert [item["name"] for item in server.get("/datasets/faulty/items")["items"]] == ["twin 1.png"]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".duplicates").first).to_be_visible()
    assert len(server.get("/datasets/faulty/items")["items"]) == 3
