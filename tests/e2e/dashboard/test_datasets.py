"""Datasets in a browser: found, looked at, their captions written, and gone back to."""

import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.dashboard.test_loading import BUDGET_BYTES, loaded
from tests.e2e.shelves import Shelf, many, png
from tests.e2e.training_server import TrainingServer

MANY = 10_000
#: Those of the fixture.
DATASETS = 3


@pytest.fixture(scope="module")
def cats(server: TrainingServer) -> Iterator[Shelf]:
    """Three datasets: a few items, very many, and none."""
    shelf = Shelf(server.root)
    captions = ["a photo of a cat, sofa", "a photo of a dog", None]
    items = [shelf.keep(f"{index}.png", png(index), captions[index % 3]) for index in range(9)]
    shelf.put("cats", items, description="tabby cats", tags=["animals"])
    shelf.put("many", many(shelf, MANY, {77: None}))
    server.post("/datasets", 201, json={"name": "bare"})
    yield shelf
    shelf.close()


def status(page: Page) -> Locator:
    """How many items there are, and how many of them are chosen."""
    return page.locator(".items-panel [role=status]")


def grid(page: Page) -> Locator:
    found = page.get_by_role("grid")
    expect(found.locator(".tile").first).to_be_visible()
    found.focus()
    return found


def captions(server: TrainingServer, name: str = "cats") -> list[str | None]:
    return [item["caption"] for item in server.get(f"/datasets/{name}/items")["items"]]


def test_a_dataset_is_made_changed_and_deleted(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    page = open_page("#/data")
    expect(page.locator(".dataset-row")).to_have_count(DATASETS)
    page.get_by_role("button", name="New dataset…").click()
    page.get_by_label("Name", exact=True).fill("horses")
    page.get_by_label("Tags", exact=True).fill("animals, brown")
    page.get_by_role("button", name="Make it").click()
    expect(page.locator(".items-panel .empty")).to_be_visible()
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name", exact=True).fill("ponies")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="ponies", level=1)).to_be_visible()
    assert server.get("/datasets/ponies")["dataset"]["tags"] == ["animals", "brown"]
    page.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator(".dataset-row")).to_have_count(DATASETS)


def test_a_caption_is_written_by_keyboard_where_it_stands_and_undone(
    open_page: Open, server: TrainingServer, cats: Shelf
) -> None:
    page = open_page("#/data/cats")
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


def test_chosen_items_are_edited_after_a_look_at_what_would_change(
    open_page: Open, server: TrainingServer, cats: Shelf
) -> None:
    page = open_page("#/data/cats?search=dog")
    expect(status(page)).to_have_text("3 items")
    grid(page).press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(status(page)).to_have_text("2 of 3 chosen")
    page.get_by_role("button", name="Edit captions…").click()
    page.get_by_label("Find", exact=True).fill("a photo of ")
    page.get_by_role("textbox", name="Trigger word").fill("ohwx")
    expect(page.get_by_role("dialog")).to_contain_text("2 captions change")
    assert captions(server)[1] == "a photo of a dog"
    page.get_by_role("button", name="Change them").click()
    expect(page.locator(".tile").first).to_contain_text("ohwx, a dog")
    assert captions(server)[1::3] == ["ohwx, a dog", "ohwx, a dog", "a photo of a dog"]
    page.get_by_role("button", name="Versions", exact=True).click()
    page.get_by_role("button", name="Go back to it").last.click()
    expect(page.get_by_text("Back to version 1")).to_be_visible()
    assert captions(server)[1] == "a photo of a dog"


def test_ten_thousand_items_are_a_screenful_of_the_page(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/data/many")
    grid(page).press("End")
    expect(page.locator(".tile.active")).to_contain_text("09999.png")
    assert page.locator(".tile").count() < 120
    page.keyboard.press("Control+a")
    expect(status(page)).to_have_text("10,000 of 10,000 chosen")
    page.keyboard.press("Escape")
    page.get_by_label("Problem", exact=True).select_option("missing_caption")
    expect(page.locator(".tile")).to_have_count(1)
    expect(page.locator(".tile")).to_contain_text("00077.png")


def test_a_check_shows_buckets_that_lead_to_their_items(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/data/cats?tab=check")
    page.get_by_role("region", name="Check").get_by_role("button", name="Check").click()
    expect(page.locator(".check-result")).to_contain_text("3 of 9 files have no caption")
    page.locator(".bucket").first.click()
    expect(status(page)).to_have_text("6 items")
    page.get_by_role("button", name="640 × 400").click()
    expect(status(page)).to_have_text("9 items")


def test_an_item_is_seen_as_the_trainer_sees_it(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/data/cats?tab=check")
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


def test_train_on_this_leads_to_a_request_that_can_be_started(
    open_page: Open, server: TrainingServer, cats: Shelf
) -> None:
    page = open_page("#/data/cats")
    page.get_by_role("button", name="Train on this…").click()
    page.get_by_role("textbox", name="Resolutions").fill("640x384")
    page.get_by_role("button", name="To the form").click()
    expect(page.get_by_label("Dataset", exact=True)).to_have_value("cats")
    page.get_by_role("button", name="TOML files").click()
    text = page.get_by_role("textbox", name="Dataset (TOML)")
    latest = server.get("/datasets/cats")["dataset"]["latest"]
    expect(text).to_have_value(re.compile(rf"resolutions = \[\[640, 384\]\](.|\n)*dataset = .cats@{latest}."))
    expect(page.get_by_role("textbox", name="Configuration (TOML)")).to_have_value(re.compile("type = .flux."))
    page.go_back()
    page.get_by_role("button", name="Train on this…").click()
    page.get_by_label("The toy trainer").check()
    page.get_by_role("button", name="To the form").click()
    page.get_by_role("button", name="Validate").click()
    expect(page.locator(".start-side")).to_contain_text("Nothing is wrong.")
    expect(page.locator(".start-side")).to_contain_text("datasets/cats-")


def test_what_works_on_a_dataset_is_followed_to_its_new_version(
    open_page: Open, server: TrainingServer, cats: Shelf
) -> None:
    cats.put("pups", [cats.keep("pup.png", png(3), "a pup")])
    page = open_page("#/data/pups?tab=prepare")
    page.get_by_role("textbox", name="Trigger word").fill("ohwx")
    page.get_by_role("region", name="Files for a model").get_by_role("button", name="Prepare").click()
    expect(page.locator(".work .status")).to_have_text("completed")
    expect(page.locator(".work")).to_contain_text("pups, version 2, 1 item")
    expect(page.locator(".dataset-facts")).to_contain_text("version 2")
    assert captions(server, "pups") == ["ohwx, a pup"]
    link = page.get_by_role("link", name="For kohya's scripts").get_attribute("href")
    assert link is not None
    assert server.client.get(link).headers["content-type"] == "application/zip"


def test_a_dataset_is_light(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/data/cats")
    grid(page)
    assert sum(loaded(page).values()) < BUDGET_BYTES


def test_tags_are_counted_and_lead_to_their_items(open_page: Open, cats: Shelf) -> None:
    page = open_page("#/data/cats?tab=tags")
    page.get_by_role("button", name="sofa").click()
    expect(status(page)).to_have_text("3 items")


def test_axe_finds_nothing(open_page: Open, cats: Shelf, axe: str, complaints: Complaints) -> None:
    page = open_page("#/data")
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


@pytest.mark.parametrize("width", [320, 768, 2560])
def test_nothing_is_wider_than_the_window(open_page: Open, cats: Shelf, width: int) -> None:
    page = open_page("#/data", viewport={"width": width, "height": 800}, locale="zh-CN")
    for address in ("#/data", "#/data/cats", "#/data/cats?tab=versions"):
        page.evaluate("address => { location.hash = address; }", address)
        expect(page.locator(".dataset-row:visible, .tile:visible, .versions-table:visible").first).to_be_visible()
        assert_fits(page, address)


def test_chosen_items_are_excluded_removed_and_brought_back(
    open_page: Open, server: TrainingServer, cats: Shelf
) -> None:
    cats.put("edits", [cats.keep(f"{index}.png", png(index), "a cat") for index in range(5)])
    page = open_page("#/data/edits")
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


def test_an_edit_is_not_undone_where_somebody_else_was_there_since(
    open_page: Open, server: TrainingServer, cats: Shelf
) -> None:
    name = f"shared-{secrets.token_hex(2)}"  # a test that is run again finds what its first run left
    cats.put(name, [cats.keep(f"{index}.png", png(index), "a cat") for index in range(3)])
    page = open_page(f"#/data/{name}")
    grid(page).press("Delete")
    expect(status(page)).to_have_text("2 items")
    edit = server.client.patch(f"/api/v1/datasets/{name}/captions", json={"suffix": ", by another"})
    assert edit.status_code == 200
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The dataset has changed since")).to_be_visible()
    assert captions(server, name) == ["a cat, by another"] * 2


def test_chosen_items_are_split_off(open_page: Open, server: TrainingServer, cats: Shelf) -> None:
    cats.put("whole", [cats.keep(f"{index}.png", png(index), "a cat") for index in range(4)])
    page = open_page("#/data/whole")
    grid(page).press("Space")
    page.get_by_role("button", name="Split off…").click()
    page.get_by_label("Dataset that gets the items").fill("part")
    page.get_by_role("dialog").get_by_role("button", name="Split off").click()
    expect(page.get_by_text("1 item was moved to part.")).to_be_visible()
    expect(status(page)).to_have_text("3 items")
    assert captions(server, "part") == ["a cat"]


def test_what_a_check_finds_is_removed_and_one_of_each_group_kept(
    open_page: Open, server: TrainingServer, cats: Shelf, complaints: Complaints
) -> None:
    # Of a damaged picture there is no thumbnail.
    complaints.allowed = ("404",)
    whole = png(40, (256, 256))
    twins = [cats.keep(f"twin {index}.png", png(30), "a cat" if index else None) for index in range(3)]
    cats.put("faulty", [*twins, cats.keep("bad.png", whole[: len(whole) // 2], "a cat")])
    page = open_page("#/data/faulty?tab=check")
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
