"""The screen of keys, people and the audit."""

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
    """As an administrator sees it."""
    page = open_page("#/access", at=guarded)
    sign_in(page, guarded.admin_key)
    expect(page.locator(".audit-table")).to_be_visible()
    return page


def make_key(page: Page, user: str) -> str:
    """The key as the page has shown it; its dialog is still open."""
    page.get_by_role("button", name="New key").click()
    page.get_by_label("User", exact=True).fill(user)
    page.get_by_role("button", name="Make the key").click()
    return page.get_by_role("group", name="Key").inner_text()


def choose(page: Page, user: str, action: str) -> None:
    row = page.locator(".keys-table tr").filter(has_text=user).first
    row.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name=action).click()


def test_a_key_is_shown_once_and_signs_in_until_it_is_revoked(
    screen: Page, open_page: Open, guarded: GuardedServer
) -> None:
    key = make_key(screen, "dora")
    expect(screen.get_by_role("group", name="To try it")).to_contain_text(f"curl -H 'Authorization: Bearer {key}'")
    screen.keyboard.press("Escape")
    screen.get_by_role("button", name="It is noted").click()
    expect(screen.locator(".keys-table")).to_contain_text("dora")
    assert key not in screen.content()
    other = open_page(at=guarded)
    sign_in(other, key)
    expect(other.locator(".gpu-card")).to_have_count(8)
    choose(screen, "dora", "Revoke")
    screen.get_by_role("button", name="Revoke it now").click()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(screen.locator(".keys-table")).not_to_contain_text("dora")
    screen.get_by_role("button", name="Revoked").click()
    expect(screen.locator(".keys-table")).to_contain_text("dora")


def test_a_key_is_rotated(screen: Page, guarded: GuardedServer) -> None:
    guarded.make_key("rob")
    screen.reload()
    choose(screen, "rob", "Rotate")
    screen.get_by_role("button", name="1 day").click()
    expect(screen.get_by_role("group", name="Key")).to_contain_text("dp_")
    screen.get_by_role("button", name="It is noted").click()
    expect(screen.locator(".keys-table tr").filter(has_text="replaced by another")).to_have_count(1)


def test_a_quota_is_changed_in_place(screen: Page, guarded: GuardedServer) -> None:
    guarded.make_key("quinn", quota={"gpus": 2})
    screen.reload()
    field = screen.get_by_label("quinn: GPUs at a time")
    expect(field).to_have_value("2")
    expect(screen.locator(".people-table tr[data-user=quinn]")).to_contain_text("0 used")
    expect(screen.locator(".access-own [data-bound=gpus] dd")).to_have_text("0 no bound")
    field.fill("4")
    field.press("Enter")
    expect(screen.locator(".toast")).to_contain_text("quinn")
    (quinn,) = [user for user in guarded.get("/auth/users")["users"] if user["user_id"] == "quinn"]
    assert quinn["quota"]["gpus"] == 4
    screen.get_by_label("Who", exact=True).fill("admin")
    screen.get_by_label("What", exact=True).fill("users")
    row = screen.locator(".audit-table > tbody > tr")
    expect(row).to_have_count(1)
    row.locator("summary").click()
    expect(row.locator(".diff")).to_contain_text("gpus")
    expect(row.locator("del")).to_have_text("2")
    expect(row.locator("ins")).to_have_text("4")


def test_the_audit_is_verified(screen: Page) -> None:
    screen.get_by_role("button", name="Verify").click()
    expect(screen.locator(".note").filter(has_text="are as they were written")).to_be_visible()


def test_others_see_their_own_quota_only(open_page: Open, guarded: GuardedServer) -> None:
    key = guarded.make_key("tim", quota={"gpus": 3})
    page = open_page("#/access", at=guarded, locale="zh-CN")
    page.get_by_label("密钥").fill(key["api_key"])
    page.keyboard.press("Enter")
    expect(page.locator(".access-own [data-bound=gpus] dd")).to_have_text("0 / 3")
    expect(page.locator(".access-list:visible")).to_have_count(0)
    expect(page.get_by_role("heading", name="访问权限")).to_be_visible()


def test_axe_finds_nothing(open_page: Open, guarded: GuardedServer, axe: str) -> None:
    page = open_page("#/access", at=guarded)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert violations(page, axe) == []
    sign_in(page, guarded.admin_key)
    page.locator(".audit-table summary").first.click()
    page.get_by_role("button", name="Verify").click()
    expect(page.locator(".note").filter(has_text="as they were written")).to_be_visible()
    assert violations(page, axe) == []
    page.locator(".who").click()
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New key").click()
    page.locator("#key-role").select_option("")
    assert violations(page, axe) == []


@pytest.mark.parametrize("width", [320, 390, 768, 1440, 2560])
def test_nothing_reaches_beyond_the_window(screen: Page, width: int) -> None:
    screen.set_viewport_size({"width": width, "height": 900})
    assert_fits(screen)
