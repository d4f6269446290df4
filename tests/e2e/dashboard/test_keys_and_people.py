"""The access screen: keys, people and audit log."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.access import GuardedServer, sign_in
from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.dashboard.layout import assert_fits


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with GuardedServer(tmp_path_factory.mktemp("guarded")) as started:
        yield started


@pytest.fixture(autouse=True)
def refusals(complaints: Complaints) -> None:
    complaints.allowed = ("status of 401",)


@pytest.fixture
def screen(open_page: Open, guarded: GuardedServer) -> Page:
    """The access screen with an administrator signed in."""
    page = open_page("#/settings/keys", at=guarded)
    sign_in(page, guarded.admin_key)
    expect(page.locator(".audit-table")).to_be_visible()
    return page


def make_key(page: Page, user: str) -> str:
    """Create a key on the page and return it; its dialog stays open."""
    page.get_by_role("button", name="New key").click()
    page.get_by_role("dialog").get_by_label("User", exact=True).fill(user)
    page.get_by_role("button", name="Create key").click()
    return page.get_by_role("group", name="Key").inner_text()


def choose(page: Page, user: str, action: str) -> None:
    row = page.locator(".keys-table tr").filter(has_text=user).first
    row.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name=action).click()


def test_key_is_shown_once_and_valid_until_revoked(screen: Page, open_page: Open, guarded: GuardedServer) -> None:
    key = make_key(screen, "dora")
    expect(screen.get_by_role("group", name="Test it")).to_contain_text(f"curl -H 'Authorization: Bearer {key}'")
    screen.keyboard.press("Escape")
    screen.get_by_role("button", name="I have saved it").click()
    expect(screen.locator(".keys-table")).to_contain_text("dora")
    assert key not in screen.content()
    other = open_page(at=guarded)
    sign_in(other, key)
    expect(other.locator(".gpu-tile")).to_have_count(8)
    choose(screen, "dora", "Revoke")
    screen.get_by_role("button", name="Revoke key").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(screen.locator(".keys-table")).not_to_contain_text("dora")
    screen.get_by_role("button", name="Revoked").click()
    expect(screen.locator(".keys-table")).to_contain_text("dora")


def test_key_is_rotated(screen: Page, guarded: GuardedServer) -> None:
    guarded.make_key("rob")
    screen.reload()
    choose(screen, "rob", "Rotate")
    screen.get_by_role("button", name="1 day").click()
    expect(screen.get_by_role("group", name="Key")).to_contain_text("dp_")
    screen.get_by_role("button", name="I have saved it").click()
    expect(screen.locator(".keys-table tr").filter(has_text="replaced")).to_have_count(1)


def test_quota_is_changed_in_place(screen: Page, guarded: GuardedServer) -> None:
    guarded.make_key("quinn", quota={"gpus": 2})
    screen.reload()
    field = screen.get_by_label("quinn: GPUs at the same time")
    expect(field).to_have_value("2")
    expect(screen.locator(".people-table tr[data-user=quinn]")).to_contain_text("0 used")
    expect(screen.locator(".access-own [data-bound=gpus] dd")).to_have_text("0 unlimited")
    field.fill("4")
    field.press("Enter")
    expect(screen.locator(".toast")).to_contain_text("quinn")
    (quinn,) = [user for user in guarded.get("/auth/users")["users"] if user["user_id"] == "quinn"]
    assert quinn["quota"]["gpus"] == 4
    screen.get_by_label("User", exact=True).fill("admin")
    screen.get_by_label("Action", exact=True).fill("users")
    row = screen.locator(".audit-table > tbody > tr")
    expect(row).to_have_count(1)
    row.locator("summary").click()
    expect(row.locator(".diff")).to_contain_text("gpus")
    expect(row.locator("del")).to_have_text("2")
    expect(row.locator("ins")).to_have_text("4")


def test_audit_log_is_verified(screen: Page) -> None:
    screen.get_by_role("button", name="Verify").click()
    expect(screen.locator(".note").filter(has_text="Unchanged since")).to_be_visible()


def test_users_see_only_their_own_quota(open_page: Open, guarded: GuardedServer) -> None:
    key = guarded.make_key("tim", quota={"gpus": 3})
    page = open_page("#/settings/keys", at=guarded, locale="zh-CN")
    page.get_by_label("密钥").fill(key["api_key"])
    page.keyboard.press("Enter")
    expect(page.locator(".access-own [data-bound=gpus] dd")).to_have_text("0 / 3")
    expect(page.locator(".access-list:visible")).to_have_count(0)
    expect(page.get_by_role("heading", name="设置")).to_be_visible()


def test_access_screen_has_no_accessibility_violations(open_page: Open, guarded: GuardedServer, axe: str) -> None:
    page = open_page("#/settings/keys", at=guarded)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert violations(page, axe) == []
    sign_in(page, guarded.admin_key)
    page.locator(".audit-table summary").first.click()
    page.get_by_role("button", name="Verify").click()
    expect(page.locator(".note").filter(has_text="Unchanged since")).to_be_visible()
    assert violations(page, axe) == []
    page.locator(".who").click()
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New key").click()
    page.locator("#key-role").select_option("")
    assert violations(page, axe) == []


def test_access_screen_fits_every_window_width(screen: Page) -> None:
    for width in (320, 390, 768, 1440, 2560):
        screen.set_viewport_size({"width": width, "height": 900})
        assert_fits(screen, width)
