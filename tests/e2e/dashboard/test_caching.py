"""Caching a dataset ahead: start, progress, use by a training, and deletion."""

import os
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.axe import AXE, violations
from tests.e2e.dashboard.conftest import Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.shelves import Shelf, png
from tests.e2e.training_server import TrainingServer

#: Directory for screenshots, if set.
SCREENSHOTS = os.environ.get("CACHING_PICTURES")


def take_screenshot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


def axe_violations(page: Page) -> list[str]:
    """Return the violations found by axe; none if axe is not installed."""
    return violations(page, AXE.read_text()) if AXE.exists() else []


def test_dataset_is_cached_ahead_and_used_by_a_training(open_page: Open, server: TrainingServer) -> None:
    shelf = Shelf(server.root)
    shelf.put("cached", [shelf.store(f"{seed}.png", png(seed), "a cat") for seed in range(3)])
    shelf.close()
    page = open_page("#/new?dataset=cached@1&model=toy")
    page.get_by_role("button", name="Validate").click()
    side = page.locator(".start-side")
    expect(side).to_contain_text("none; created by the training")
    page.get_by_role("button", name="Cache ahead").click()
    expect(page.locator(".task-head")).to_be_visible()
    made = page.url.rsplit("/", 1)[1]
    assert made.startswith("cache_")
    server.await_status(made, "completed")
    expect(page.locator(".task-head")).to_contain_text("completed")
    expect(page.locator(".share")).to_have_text("3 cached")
    expect(page.locator(".task-charts")).to_be_hidden()
    expect(page.get_by_role("button", name="Resume…")).to_have_count(0)
    take_screenshot(page, "task")
    page.goto(page.url.split("#")[0] + "#/new?dataset=cached@1&model=toy")
    page.get_by_role("button", name="Validate").click()
    expect(side).to_contain_text("ready; training starts with the first step")
    take_screenshot(page, "start")
    page.goto(page.url.split("#")[0] + "#/datasets/cached?tab=prepare")
    caches = page.locator(".caches .work")
    expect(caches).to_have_count(1)
    expect(caches).to_contain_text("complete")
    take_screenshot(page, "caches")
    assert axe_violations(page) == []
    caches.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".caches .work")).to_have_count(0)
    assert server.get("/datasets/cached/caches")["caches"] == []


def test_cache_button_needs_a_named_dataset(open_page: Open) -> None:
    page = open_page("#/new")
    expect(page.get_by_role("button", name="Validate")).to_be_visible()
    expect(page.get_by_role("button", name="Cache ahead")).to_be_hidden()


def test_caches_fit_a_narrow_screen_in_chinese(open_page: Open, server: TrainingServer) -> None:
    shelf = Shelf(server.root)
    shelf.put("narrow", [shelf.store("1.png", png(1), "a cat")])
    shelf.close()
    body = {
        "model_type": "toy",
        "config": {"epochs": 1, "toy": {"cache_seconds": 0.1}},
        "dataset": {"directories": [{"dataset": "narrow"}]},
    }
    made = str(server.post("/training/cache", 201, json=body)["task_id"])
    server.await_status(made, "completed")
    shard = next((server.root / "tasks" / made).rglob("shard_0.bin"))
    shard.write_bytes(b"touched")
    options = {"viewport": {"width": 320, "height": 700}, "locale": "zh-CN", "color_scheme": "dark"}
    page = open_page("#/datasets/narrow?tab=prepare", **options)
    caches = page.locator(".caches .work")
    expect(caches).to_contain_text("已过时")
    expect(caches).to_contain_text("生成之后它的文件有变化")
    take_screenshot(page, "narrow")
    assert_fits(page)
    assert axe_violations(page) == []
