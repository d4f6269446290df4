"""The machine screen in a browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Open
from tests.e2e.dashboard.layout import assert_fits, follow
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.simulation.__main__ import play_day


def test_each_gpu_is_shown_with_its_readings(open_page: Open) -> None:
    page = open_page("#/gpus")
    expect(page.locator(".gpu-card")).to_have_count(4)
    first = page.locator(".gpu-card").first
    expect(first).to_contain_text("NVIDIA GeForce RTX 4090")
    expect(first.locator("[data-metric=temperature_gpu]")).to_contain_text("°C")
    expect(page.locator(".simulated")).to_be_visible()
    expect(page).to_have_title("GPUs · Diffusion-Pipe")


def test_gpu_has_its_own_page(open_page: Open) -> None:
    page = open_page("#/gpus")
    page.get_by_role("link", name="GPU 1", exact=True).click()
    expect(page.get_by_role("heading", name="GPU 1", level=1)).to_be_visible()
    expect(page.get_by_text("Architecture")).to_be_visible()
    expect(page.locator(".gpu-charts .panel")).to_have_count(4)


def test_holds_and_orphaned_processes_are_listed_and_ended(open_page: Open, server: TrainingServer, axe: str) -> None:
    creator = open_page("#/gpus")
    creator.get_by_role("button", name="Hold…").click()
    creator.get_by_label("Reason").fill("new cables")
    creator.get_by_role("dialog").get_by_role("button", name="Hold", exact=True).click()
    expect(creator.get_by_role("region", name="Holds")).to_contain_text("The queue is held")
    page = open_page("#/nothing")
    orphan: dict[str, Any] = {
        "attempt": "train_x.1",
        "task_id": "train_x",
        "gpu_ids": [2],
        "gpu_uuids": ["u"],
        "pids": [4711],
    }
    orphan |= {"supervisor_pid": None, "directory": "/x", "reason": "unknown"}
    page.route("**/system/strays", lambda route: route.fulfill(json={"data": {"strays": [orphan]}}))
    page.route("**/system/strays/train_x.1/stop", lambda route: route.fulfill(json={"data": orphan}))
    page.goto(page.url.replace("nothing", "gpus"))
    panel = page.get_by_role("region", name="Holds and orphaned processes")
    expect(panel).to_contain_text("new cables")
    expect(panel).to_contain_text("PID 4711")
    assert violations(page, axe, ".holds") == []
    panel.get_by_role("button", name="End the hold").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("listitem")).to_have_count(1)
    assert server.get("/system/holds")["holds"] == []
    panel.get_by_role("button", name="Stop").click()
    with page.expect_request("**/stop") as asked:
        page.get_by_role("dialog").get_by_role("button", name="Save a checkpoint, then stop").click()
    assert asked.value.post_data_json == {"force": False}


def test_focus_stays_when_hours_are_removed(open_page: Open) -> None:
    page = open_page("#/settings/schedule")
    add = page.get_by_role("button", name="Add hours")
    add.click()
    add.click()
    remove = page.locator(".windows").get_by_role("button", name="Remove")
    remove.first.focus()
    page.keyboard.press("Enter")
    expect(remove).to_have_count(1)
    expect(remove).to_be_focused()
    page.keyboard.press("Enter")
    expect(add).to_be_focused()


def test_schedule_shows_what_happened_in_a_day(open_page: Open, tmp_path: Path) -> None:
    played = play_day(7, keep=tmp_path / "day")
    assert played.problem is None
    with TrainingServer(tmp_path / "server", STORAGE_ROOT=str(tmp_path / "day")) as server:
        page = open_page("#/settings/schedule", at=server)
        panel = page.get_by_role("region", name="What happened")
        seen, shown = "", panel.locator(".tools span")
        for _ in range(3):
            expect(panel.locator(".past-list li").first).to_be_visible()
            seen += panel.inner_text()
            before = shown.inner_text()
            panel.get_by_role("button", name="Earlier").click()
            expect(shown).not_to_have_text(before)
        for why in ("an urgent training", "another program: ComfyUI", "its hours are over", "completed"):
            assert why in seen
        assert_fits(page)
        page.close()


def test_many_gpus_are_shown_as_tiles(open_page: Open, tmp_path: Path) -> None:
    settings = {"SIMULATED_GPUS": "64x NVIDIA H100 80GB HBM3"}
    with TrainingServer(tmp_path / "many", **settings) as many:
        page = open_page("#/gpus", at=many)
        expect(page.locator(".gpu-tile")).to_have_count(64)
        assert_fits(page)
        page.get_by_role("button", name="Cards").click()
        expect(page.locator(".gpu-card")).to_have_count(64)
        page.close()


@pytest.fixture(scope="module")
def six_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """Eight GPUs with six trainings that evaluate and save every few seconds."""
    with TrainingServer(tmp_path_factory.mktemp("six")) as busy:
        config = {"eval_every_n_epochs": 1, "save_every_n_epochs": 1}
        for gpu in range(6):
            body = toy(20, 500, gpus=[gpu], name=f"number {gpu}")
            started = busy.start_task(body | {"config": body["config"] | config})
            busy.await_status(started, "running")
        yield busy


def test_gpu_shows_its_task_and_processes(open_page: Open, six_running: TrainingServer) -> None:
    page = open_page("#/gpus", at=six_running)
    card = page.locator(".gpu-card").nth(2)
    task_id = six_running.gpu(2)["current_task"]["task_id"]
    expect(card.get_by_role("link", name="number 2")).to_have_attribute("href", f"#/trainings/{task_id}")
    expect(card.locator(".holders li").first).to_contain_text("python", timeout=40_000)


def test_page_sends_few_requests_while_nothing_changes(open_page: Open, six_running: TrainingServer) -> None:
    pages = [open_page(address, at=six_running) for address in ("#/gpus", "#/gpu/0")]
    for page in pages:
        expect(page.locator(".gpu-card .holders li").first).to_contain_text("python", timeout=40_000)
    page.wait_for_timeout(3_000)
    requested: list[list[str]] = [[], []]
    for page, urls in zip(pages, requested, strict=True):
        page.on("request", lambda request, urls=urls: urls.append(request.url))
    page.wait_for_timeout(6_000)
    assert [urls for urls in requested if len(urls) > 6] == []


def test_screens_fit_a_narrow_window(open_page: Open) -> None:
    page = open_page(viewport={"width": 360, "height": 780})
    screens = {"": "Home", "gpus": "GPUs", "gpus/machines": "GPUs", "trainings": "Trainings"}
    screens |= {"new": "New training", "gpu/0": "GPU 0", "settings/keys": "Settings"}
    for address, heading in screens.items():
        follow(page, f"#/{address}")
        expect(page.locator("h1")).to_contain_text(heading)
        expect(page.locator(".simulated")).to_be_visible()
        assert_fits(page, address)


def test_language_and_theme_are_stored(open_page: Open) -> None:
    page = open_page("#/settings/appearance", locale="zh-CN", color_scheme="dark")
    expect(page.get_by_role("heading", name="设置", level=1)).to_be_visible()
    page.get_by_role("button", name="浅色").click()
    page.locator(".language").click()
    expect(page.get_by_role("heading", name="Settings", level=1)).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Settings", level=1)).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_page_sends_requests_only_to_its_service(open_page: Open, server: TrainingServer) -> None:
    requested: list[str] = []
    page = open_page()
    page.on("request", lambda request: requested.append(request.url))
    page.reload()
    expect(page.locator(".gpu-tile")).to_have_count(4)
    assert requested
    assert [url for url in requested if not url.startswith(f"http://127.0.0.1:{server.port}/")] == []


def test_events_and_failures_are_translated(open_page: Open, server: TrainingServer) -> None:
    fails = {"fail_at_step": 12, "fail_with": "cuda_oom"}
    # Slow enough that GPU readings fall between its first and last step.
    failed = server.start_task(toy(20, gpus=[1], step_seconds=0.3, knobs=fails))
    server.await_status(failed, "failed")
    page = open_page("#/gpus/events", locale="zh-CN")
    expect(page.locator(".gpu-events")).to_contain_text(f"被 {failed} 占用")
    page = open_page(f"#/trainings/{failed}", locale="zh-CN")
    expect(page.locator(".timeline")).to_contain_text("开始训练")
    expect(page.locator(".note").first).to_contain_text("降低 micro_batch_size_per_gpu")
