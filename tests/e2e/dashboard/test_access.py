"""Accessibility of every screen in both themes, and printing."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Open, has_charts, unfold
from tests.e2e.dashboard.layout import becomes_true, follow
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


@pytest.fixture(scope="module")
def tasks(server: TrainingServer) -> Iterator[dict[str, str]]:
    """A completed, a failed, a running and a queued task."""
    made = {
        "completed": server.start_task(toy(20, name="completed", gpus=[1])),
        "failed": server.start_task(toy(20, name="failed", gpus=[2], knobs={"fail_at_step": 12})),
        "running": server.start_task(toy(30_000, name="running", gpus=[0])),
    }
    for status, task_id in made.items():
        server.await_status(task_id, status)
    made["queued"] = server.start_task(toy(20, name="queued", gpus=4))
    yield made
    for name in ("queued", "running"):
        server.stop_task(made[name], force=True)


ADDRESSES = {
    "#/": ".gpu-tile canvas",
    "#/gpus": ".gpu-card canvas",
    "#/gpus/events": ".gpu-events td",
    "#/gpu/0": ".gpu-charts .chart",
    "#/trainings": ".task-row",
    "#/trainings/{completed}": ".loss-panel",
    "#/trainings/{completed}/samples": ".sample",
    "#/trainings/{completed}/files": ".file-table",
    "#/trainings/{completed}/log": ".log-line",
    "#/trainings/{completed}/configuration": "pre.file",
    "#/trainings/{failed}": ".note pre",
    "#/trainings/{running}": ".loss-panel",
    "#/trainings/{running}/log": ".log-line",
    "#/trainings/{queued}": ".task-head .note",
    "#/new": ".start-form",
    "#/new?from={running}": ".start-form",
    "#/models/downloads": ".downloads",
    "#/settings/appearance": ".segments",
    "#/settings/help": ".keys",
    "#/nowhere": ".empty",
}


@pytest.mark.timeout(300)
def test_no_screen_has_accessibility_violations(open_page: Open, tasks: dict[str, str], axe: str) -> None:
    page = open_page("#/", color_scheme="dark")
    found = []
    for address, awaited in ADDRESSES.items():
        follow(page, address.format(**tasks))
        expect(page.locator(awaited).first).to_be_visible()
        if address.startswith("#/new"):
            page.get_by_role("button", name="TOML files").click()
            page.get_by_role("button", name="Validate").click()
            expect(page.locator(".start-side .note").first).to_be_visible()
        found += [f"{address}: {each}" for each in violations(page, axe)]
    assert found == []


def test_status_chip_of_a_selected_gpu_has_enough_contrast(open_page: Open, axe: str) -> None:
    page = open_page("#/new", color_scheme="dark")
    unfold(page, "GPUs")
    page.locator("#gpus-these").check()
    page.locator(".gpu-pick input").first.check()
    chip = page.locator(".gpu-pick:has(:checked) .chip")
    chip.evaluate(
        """(chip, tones) => chip.replaceWith(...tones.map((tone) => {
            const other = chip.cloneNode(true);
            other.dataset.tone = tone;
            return other;
        }))""",
        ["idle", "ok", "run", "warn", "bad"],
    )
    expect(chip).to_have_count(5)
    assert violations(page, axe, ".gpu-pick:has(:checked)") == []


@pytest.mark.parametrize("address", ["#/", "#/trainings/{completed}"])
def test_page_prints_dark_on_white(open_page: Open, tasks: dict[str, str], address: str) -> None:
    page = open_page(address.format(**tasks), color_scheme="dark")
    shown = ".loss-panel canvas" if "trainings" in address and has_charts() else ".panel"
    expect(page.locator(shown).first).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(page.locator(".bar")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.emulate_media(media="screen")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_theme_follows_the_system_until_the_user_chooses(open_page: Open) -> None:
    page = open_page("#/settings/appearance", color_scheme="dark")
    html = page.locator("html")
    expect(page.get_by_role("button", name="Same as system")).to_have_attribute("aria-pressed", "true")
    page.emulate_media(color_scheme="light")
    expect(html).to_have_attribute("data-theme", "light")
    page.get_by_role("button", name="Dark", exact=True).click()
    expect(html).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="dark")
    page.emulate_media(color_scheme="light")
    assert becomes_true(page, "matchMedia('(prefers-color-scheme: light)').matches")
    expect(html).to_have_attribute("data-theme", "dark")
