"""Every screen is looked at by axe, in both themes; and printed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import Open, has_charts
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

AXE = Path(__file__).resolve().parents[3] / "node_modules" / "axe-core" / "axe.min.js"

_RUN = """async () => {
    // Areas that are cut off take the focus, and what opens begins to rise, with the next frames.
    for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
    // What still rises into view is paler than it will be.
    const ends = (animation) => animation.effect.getComputedTiming().iterations !== Infinity;
    await Promise.allSettled(document.getAnimations().filter(ends).map(({ finished }) => finished));
    const found = await axe.run(document, { resultTypes: ["violations"] });
    const told = ({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`);
    return found.violations.flatMap(told);
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """Its source; `make install-dev` fetches it by npm."""
    if not AXE.exists():
        reason = "no axe-core: make install-dev fetches it by npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return AXE.read_text()


@pytest.fixture(scope="module")
def tasks(server: TrainingServer) -> Iterator[dict[str, str]]:
    """One that ended well, one that failed, one that runs, one that waits."""
    made = {
        "completed": server.start_task(toy(20, name="ended well", gpus=[1])),
        "failed": server.start_task(toy(20, name="failed", gpus=[2], knobs={"fail_at_step": 12})),
        "running": server.start_task(toy(30_000, name="runs", gpus=[0])),
    }
    for status, task_id in made.items():
        server.await_status(task_id, status)
    made["queued"] = server.start_task(toy(20, name="waits", gpus=4))
    yield made
    for name in ("queued", "running"):
        server.stop_task(made[name], force=True)


ADDRESSES = {
    "#/": ".gpu-card canvas",
    "#/gpu/0": ".gpu-charts .chart",
    "#/tasks": ".task-row",
    "#/tasks/{completed}": ".log-scroll",
    "#/tasks/{failed}": ".note pre",
    "#/tasks/{running}": ".log-scroll",
    "#/tasks/{queued}": ".task-head .note",
    "#/start": ".start-form",
    "#/start?from={running}": ".start-form",
}


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[str] = page.evaluate(_RUN)
    # Of what came while axe looked, an area does not know its size yet: what is so for a frame only is no violation.
    return [each for each in page.evaluate(_RUN) if each in found] if found else []


LOOKS: dict[str, dict[str, Any]] = {
    "dark": {"color_scheme": "dark"},
    "light": {"color_scheme": "light"},
    "phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("address", ADDRESSES)
def test_axe_finds_nothing(open_page: Open, tasks: dict[str, str], axe: str, address: str, look: str) -> None:
    page = open_page(address.format(**tasks), **LOOKS[look])
    expect(page.locator(ADDRESSES[address]).first).to_be_visible()
    page.wait_for_timeout(500)
    if "start" in address:
        page.get_by_role("button", name="TOML files").click()
        page.get_by_role("button", name="Validate").click()
        expect(page.locator(".start-side .note").first).to_be_visible()
    assert violations(page, axe) == []


@pytest.mark.parametrize("look", LOOKS)
def test_status_of_a_chosen_gpu_is_readable_whatever_it_is(open_page: Open, axe: str, look: str) -> None:
    page = open_page("#/start", **LOOKS[look])
    page.locator("#gpus-these").check()
    page.locator(".gpu-pick input").first.check()
    chip = page.locator(".gpu-pick:has(:checked) .chip")
    for tone in ("idle", "ok", "run", "warn", "bad"):
        chip.evaluate("(chip, tone) => { chip.dataset.tone = tone; }", tone)
        assert violations(page, axe) == []


@pytest.mark.parametrize("address", ["#/", "#/tasks/{completed}"])
def test_is_printed_dark_on_white(open_page: Open, tasks: dict[str, str], address: str) -> None:
    page = open_page(address.format(**tasks), color_scheme="dark")
    shown = ".loss-panel canvas" if "tasks" in address and has_charts() else ".panel"
    expect(page.locator(shown).first).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(page.locator(".bar")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.emulate_media(media="screen")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
