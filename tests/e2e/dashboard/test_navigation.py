"""The rail, the parts of screens, and their addresses."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import Open
from tests.e2e.dashboard.layout import assert_fits, becomes_true, follow
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

ENTRIES = {
    "Home": "Home",
    "Trainings": "Trainings",
    "Datasets": "Datasets",
    "Models": "Models",
    "GPUs": "GPUs",
    "Alerts": "Alerts",
    "Settings": "Settings",
}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def ended(server: TrainingServer) -> str:
    """A completed training; thirty queued ones make the list long."""
    for number in range(31):
        server.start_task(toy(1_000_000, name=f"waits {number}", gpus=[1]))
    task_id = server.start_task(toy(5, name="looked at", gpus=[0]))
    server.await_status(task_id, "completed")
    return task_id


def expect_heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


@pytest.mark.parametrize("viewport", [PHONE, {"width": 800, "height": 500}])
def test_every_entry_of_the_rail_has_a_label_and_opens_its_screen(open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    rail = page.get_by_role("navigation", name="Screens")
    for label, heading in ENTRIES.items():
        entry = rail.locator("a", has_text=label)
        expect(entry.get_by_text(label)).to_be_in_viewport()
        entry.click()
        expect_heading(page, heading)
        expect(entry).to_have_attribute("aria-current", "page")
        expect(rail.locator("[aria-current]")).to_have_count(1)
        expect(page.get_by_role("link", name="New training").first).to_be_in_viewport()
        assert_fits(page, label)


FORMER = {
    "nodes": ("GPUs", "gpus/machines"),
    "access": ("Settings", "settings/keys"),
    "?node=box1": ("GPUs", "gpus?node=box1"),
    "tasks?status=failed": ("Trainings", "trainings?status=failed"),
    "data": ("Datasets", "datasets"),
    "start?model=x": ("New training", "new?model=x"),
}


def test_former_addresses_lead_to_their_replacements(open_page: Open, ended: str) -> None:
    page = open_page("#/settings/help")
    for former, (heading, now) in (FORMER | {f"tasks/{ended}/log": ("looked at", f"trainings/{ended}/log")}).items():
        follow(page, f"#/{former}")
        expect_heading(page, heading)
        assert page.url.endswith(f"#/{now}")


@pytest.mark.parametrize("address", ["#/nowhere", "#/settings/nothing", "#/trainings/x/nothing"])
def test_unknown_address_says_so_and_leads_home(open_page: Open, address: str) -> None:
    page = open_page(address)
    expect_heading(page, "No such page")
    page.get_by_role("link", name="Go to Home").click()
    expect_heading(page, "Home")


def test_parts_of_a_training_have_addresses_and_keep_the_screen(open_page: Open, ended: str) -> None:
    page = open_page(f"#/trainings/{ended}")
    title = page.locator(".task-head h1")
    title.evaluate("(element) => { element.dataset.same = 'yes'; }")
    parts = page.get_by_role("navigation", name="Parts of the training")
    parts.get_by_role("link", name="Log").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".log-scroll")).to_contain_text("TRAINING COMPLETE!")
    assert page.url.endswith(f"/{ended}/log")
    expect(parts.locator("[aria-current=page]")).to_have_text("Log")
    expect(parts.get_by_role("link", name="Log")).to_be_focused()
    parts.get_by_role("link", name="Configuration").click()
    expect(page.locator("pre.file")).to_be_visible()
    expect(page.locator(".log-scroll")).to_be_hidden()
    page.go_back()
    expect(page.locator(".log-scroll")).to_be_visible()
    expect(title).to_have_attribute("data-same", "yes")


def test_key_of_the_log_opens_it(open_page: Open, ended: str) -> None:
    page = open_page(f"#/trainings/{ended}")
    expect(page.locator(".task-head h1")).to_have_text("looked at")
    page.keyboard.press("f")
    expect(page.locator(".log-scroll")).to_be_visible()
    expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")


def test_back_restores_the_scroll_position(open_page: Open, ended: str) -> None:
    page = open_page("#/trainings", viewport=PHONE)
    expect(page.locator(".task-row")).to_have_count(32)
    last = page.locator(".task-name").last
    last.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    assert before > 300
    last.click()
    expect(page.locator(".task-head h1")).to_be_visible()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    assert becomes_true(page, "(before) => Math.abs(scrollY - before) < 5", before), page.evaluate("scrollY")


def test_dialog_and_menu_close_on_navigation(open_page: Open, ended: str) -> None:
    page = open_page("#/")
    expect_heading(page, "Home")
    page.goto(page.url.split("#")[0] + f"#/trainings/{ended}")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect_heading(page, "Home")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.go_forward()
    # The navigation would close a dialog that is opened earlier.
    expect(page.locator(".task-head h1")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_section_link_keeps_the_focus(open_page: Open) -> None:
    page = open_page("#/gpus")
    page.get_by_role("navigation", name="GPUs").get_by_role("link", name="Events").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".gpu-events")).to_be_visible()
    expect(page.get_by_role("navigation", name="GPUs").get_by_role("link", name="Events")).to_be_focused()


def test_skip_link_is_the_first_stop_of_the_keyboard(open_page: Open) -> None:
    page = open_page()
    expect_heading(page, "Home")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


_SMALL = """() => [...document.querySelectorAll("button, select, .input, .nav a, .sections a, a.button")]
    .filter((each) => each.checkVisibility())
    .map((each) => [each, each.getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && box.height > 0 && box.height < 40)
    .map(([each]) => `${each.tagName}.${each.className} ${each.textContent}`)"""


#: Screens, each with what it shows when it is complete.
SCREENS = {
    "#/": ".gpu-tile",
    "#/trainings": ".task-row",
    "#/trainings/{}": ".loss-panel",
    "#/trainings/{}/log": ".log-line",
    "#/gpus": ".gpu-card",
    "#/datasets": ".datasets",
    "#/new": ".start-form",
    "#/models": ".type-row",
}


def find_on_each_screen(page: Page, ended: str, script: str) -> list[str]:
    """Return the findings of a script, each with its address."""
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    found = []
    for address, awaited in SCREENS.items():
        follow(page, address.format(ended))
        expect(page.locator(awaited).first).to_be_visible()
        found += [f"{address}: {each}" for each in page.evaluate(script)]
    return found


def test_controls_are_large_enough_for_touch(open_page: Open, ended: str) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    assert find_on_each_screen(page, ended, _SMALL) == []


_NAMELESS = """() => [...document.querySelectorAll("button, a.button")]
    .filter((each) => each.checkVisibility() && !each.innerText.trim())
    .map((each) => each.outerHTML.slice(0, 200))"""


def test_no_button_is_an_icon_alone(open_page: Open, ended: str) -> None:
    assert find_on_each_screen(open_page(), ended, _NAMELESS) == []
