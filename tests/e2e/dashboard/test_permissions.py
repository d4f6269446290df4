"""Denied actions stay on the page, disabled, with the reason."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.access import GuardedServer, sign_in
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.toy_tasks import toy

_LACKING = "Your key does not allow this: start trainings"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with GuardedServer(tmp_path_factory.mktemp("guarded")) as started:
        yield started


@pytest.fixture(scope="module")
def task_of_ann(guarded: GuardedServer) -> Iterator[str]:
    """A running training of the user ann."""
    task_id = guarded.start_task_of(guarded.make_key("ann"), toy(5000, name="of ann"))
    guarded.await_status(task_id, "running")
    yield task_id
    guarded.stop_task(task_id, force=True)


@pytest.fixture(autouse=True)
def refusals(complaints: Complaints) -> None:
    complaints.allowed = ("status of 401",)


def test_viewer_sees_disabled_buttons_with_the_reason(
    open_page: Open, guarded: GuardedServer, task_of_ann: str
) -> None:
    page = open_page(f"#/trainings/{task_of_ann}", at=guarded)
    sign_in(page, guarded.make_key("vic", "viewer")["api_key"])
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).to_have_attribute("aria-disabled", "true")
    expect(stop).to_have_accessible_description(
        f"{_LACKING} and change own trainings. Ask an administrator for a key with this permission."
    )
    stop.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text(_LACKING)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_form_warns_a_viewer(open_page: Open, guarded: GuardedServer) -> None:
    page = open_page("#/new", at=guarded)
    sign_in(page, guarded.make_key("vic", "viewer")["api_key"])
    expect(page.locator(".note").filter(has_text=_LACKING)).to_be_visible()
    expect(page.locator(".start-form [type=submit]")).to_have_attribute("aria-disabled", "true")


def test_viewer_cannot_add_files(open_page: Open, guarded: GuardedServer) -> None:
    guarded.post("/datasets", 201, json={"name": "cats"})
    page = open_page("#/datasets", at=guarded)
    sign_in(page, guarded.make_key("vic", "viewer")["api_key"])
    expect(page.get_by_role("button", name="New dataset…")).to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="cats", exact=True).click()
    add = page.get_by_role("button", name="Add files…")
    expect(add).to_have_attribute("aria-disabled", "true")
    add.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Your key does not allow this: create datasets")


def test_viewer_cannot_cancel_a_download(open_page: Open, guarded: GuardedServer) -> None:
    guarded.post("/models/download", 202, json={"url": f"http://{'a' * 64}.example/w.safetensors", "sha256": "0" * 64})
    page = open_page("#/models/downloads", at=guarded)
    sign_in(page, guarded.make_key("vic", "viewer")["api_key"])
    button = page.get_by_role("button", name="Cancel w.safetensors")
    expect(button).to_have_attribute("aria-disabled", "true")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Your key does not allow this")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_trainer_cannot_stop_another_users_training(open_page: Open, guarded: GuardedServer, task_of_ann: str) -> None:
    page = open_page("#/trainings", at=guarded)
    sign_in(page, guarded.make_key("bob")["api_key"])
    row = page.locator(f'.task-row[data-task="{task_of_ann}"]')
    expect(row).to_contain_text("of ann")
    row.get_by_role("button", name="Actions").click()
    stop = page.get_by_role("menuitem", name="Stop")
    expect(stop).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("This belongs to ann")
    page.get_by_role("button", name="Only mine").click()
    expect(row).to_have_count(0)
    expect(page).to_have_url(f"http://127.0.0.1:{guarded.port}/#/trainings?owner=me")


def test_owner_can_stop_a_training(open_page: Open, guarded: GuardedServer, task_of_ann: str) -> None:
    page = open_page(f"#/trainings/{task_of_ann}", at=guarded)
    sign_in(page, guarded.make_key("ann", name="another of ann's")["api_key"])
    stop = page.get_by_role("button", name="Stop", exact=True)
    expect(stop).not_to_have_attribute("aria-disabled", "true")
    stop.click()
    expect(page.get_by_role("dialog")).to_contain_text("Stop this training?")


def test_missing_permission_to_see_trainings_is_reported(
    open_page: Open, guarded: GuardedServer, complaints: Complaints
) -> None:
    complaints.allowed = ("status of 401", "status of 403")
    key = guarded.make_key("gil", role=None, permissions=["gpus:read"])
    page = open_page("#/trainings", at=guarded)
    sign_in(page, key["api_key"])
    expect(page.locator(".toast")).to_contain_text("Your key does not allow this: see trainings")
    expect(page.locator(".toast")).to_have_count(1)
