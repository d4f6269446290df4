"""Sign-in, sign-out, and revoked keys."""

import json
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.access import GuardedServer, sign_in
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.server import until
from tests.e2e.training_server import TrainingServer
from tests.patience import BUSY_SECONDS

#: Logged by the browser for rejected requests.
REFUSED = ("status of 401", "status of 403", "status of 429")

#: Seconds until the page of a revoked key is closed, plus a margin for a busy machine.
SOON = 1.0 + 2.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    with GuardedServer(tmp_path_factory.mktemp("guarded")) as started:
        yield started


@pytest.fixture
def refusals(complaints: Complaints) -> None:
    """Allow rejected requests."""
    complaints.allowed = REFUSED


def signed_in(page: Page, name: str) -> None:
    expect(page.get_by_role("button", name=f"Signed in as {name}")).to_be_visible()


@pytest.mark.quick
@pytest.mark.usefixtures("refusals")
def test_sign_in_returns_to_the_requested_screen(open_page: Open, guarded: GuardedServer) -> None:
    page = open_page("#/trainings", at=guarded)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.get_by_role("navigation")).to_be_hidden()
    sign_in(page, guarded.admin_key)
    expect(page.get_by_role("heading", name="Trainings")).to_be_visible()
    signed_in(page, "admin")
    page.reload()
    expect(page.get_by_role("heading", name="Trainings")).to_be_visible()


@pytest.mark.usefixtures("refusals")
def test_key_is_not_stored_in_the_browser(open_page: Open, guarded: GuardedServer) -> None:
    page = open_page(at=guarded)
    sign_in(page, f"Authorization: Bearer {guarded.admin_key}\n")
    signed_in(page, "admin")
    stored = page.evaluate(
        """() => JSON.stringify([document.documentElement.outerHTML, { ...localStorage }, { ...sessionStorage },
            location.href, document.cookie, [...document.querySelectorAll("input")].map((field) => field.value)])"""
    )
    assert guarded.admin_key not in stored
    assert "dp_" not in json.dumps(page.evaluate("document.cookie"))
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("dp_session", True, "Strict")
    assert guarded.admin_key not in cookie["value"]


@pytest.mark.usefixtures("refusals")
def test_invalid_key_is_explained(open_page: Open, guarded: GuardedServer) -> None:
    revoked = guarded.make_key("ann")
    guarded.revoke(revoked)
    page = open_page(at=guarded)
    for key, words in (("dp_" + "a" * 12 + "_" + "b" * 43, "is unknown"), (revoked["api_key"], "was revoked")):
        page.get_by_label("Key", exact=True).fill(key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text=words)).to_be_visible()
        expect(page.get_by_label("Key", exact=True)).to_have_value("")
    page.evaluate("location.hash = '/sign-in?problem=' + encodeURIComponent('<b>No role</b> for ann')")
    expect(page.get_by_role("alert")).to_have_text("<b>No role</b> for ann")


@pytest.mark.usefixtures("refusals")
def test_rate_limit_shows_when_to_retry(open_page: Open, tmp_path_factory: pytest.TempPathFactory) -> None:
    with GuardedServer(tmp_path_factory.mktemp("limited"), RATE_LIMITS="auth=3/minute") as limited:
        page = open_page(at=limited, locale="zh-CN")
        problem = page.get_by_role("alert").filter(has_text="请求过于频繁")
        for _ in range(5):
            page.get_by_label("密钥").fill("dp_" + "a" * 12 + "_" + "b" * 43)
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert").locator("p")).to_be_visible()
        expect(problem).to_contain_text("重试")
        page.close()


@pytest.mark.usefixtures("refusals")
def test_revoked_key_is_signed_out_within_a_second(open_page: Open, guarded: GuardedServer) -> None:
    key = guarded.make_key("bob")
    page = open_page(at=guarded)
    sign_in(page, key["api_key"])
    expect(page.locator(".connection")).to_have_attribute("data-state", "live")
    expect(page.locator(".gpu-tile")).to_have_count(8)
    guarded.revoke(key)
    started = time.monotonic()
    expect(page.locator(".gpu-tile")).to_have_count(0)
    assert time.monotonic() - started < SOON + BUSY_SECONDS
    expect(page.get_by_role("alert")).to_contain_text("has ended")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.wait_for_timeout(6000)
    assert requested == []


@pytest.mark.usefixtures("refusals")
def test_sign_out_applies_to_every_tab(open_page: Open, guarded: GuardedServer) -> None:
    page = open_page(at=guarded)
    sign_in(page, guarded.admin_key)
    other = page.context.new_page()
    other.goto(page.url)
    signed_in(other, "admin")
    other.get_by_role("button", name="Signed in as admin").click()
    other.get_by_role("menuitem", name="Sign out").click()
    for tab in (other, page):
        tab.bring_to_front()
        expect(tab.get_by_role("heading", name="Sign in")).to_be_visible()
    until(lambda: guarded.metrics()["diffusion_pipe_stream_subscribers"] == 0, what="their streams to end")


def test_sign_in_is_hidden_without_keys(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/sign-in", at=server)
    expect(page.locator(".gpu-tile")).to_have_count(4)
    expect(page.locator(".who")).to_be_hidden()
