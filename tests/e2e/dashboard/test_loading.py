"""The size of screens, and screens that cannot be loaded."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.conftest import GONE, Complaints, Open, has_charts
from tests.e2e.server import ROOT
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer

#: Compressed size of page, scripts, styles and the texts of all screens (28 KB).
BUDGET_BYTES = 150_000

_LOADED = """() => {
    const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const named = all.map((each) => [new URL(each.name).pathname, each.encodedBodySize]);
    return Object.fromEntries(named.filter(([path]) => /^\\/$|\\.(js|css|json)$/.test(path)));
}"""


def loaded(page: Page) -> dict[str, int]:
    """Return the transferred bytes of page, scripts, texts and styles by path."""
    found: dict[str, int] = page.evaluate(_LOADED)
    return found


def copy_of_the_code(directory: Path) -> Path:
    """Copy the service's code without the charts."""
    # With the compiled modules: compiling takes longer than the rest of a start.
    shutil.copytree(ROOT / "api", directory / "api", ignore=shutil.ignore_patterns("vendor"))
    shutil.copy(ROOT / "run.py", directory)
    return directory


def expect_heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def open_trainings(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Trainings").click()


@pytest.fixture(scope="module")
def ended(server: TrainingServer) -> str:
    """A completed training."""
    task_id = server.start_task(toy(20, name="small"))
    server.await_status(task_id, "completed")
    return task_id


@pytest.mark.parametrize(
    ("address", "awaited"),
    [
        ("#/", ".gpu-tile"),
        ("#/gpus", ".gpu-card"),
        ("#/gpu/0", ".chart canvas, .chart table"),
        ("#/trainings", ".task-row"),
        ("#/trainings/{}", ".loss-panel canvas, .loss-panel table"),
        ("#/datasets", ".datasets .empty"),
        ("#/new", ".start-form"),
        ("#/settings/keys", ".audit-table"),
    ],
)
def test_screen_stays_within_the_size_budget(open_page: Open, ended: str, address: str, awaited: str) -> None:
    page = open_page(address.format(ended))
    expect(page.locator(awaited).first).to_be_visible()
    assert sum(loaded(page).values()) < BUDGET_BYTES


def test_page_loads_only_what_it_needs(open_page: Open) -> None:
    page = open_page("#/gpus", locale="zh-CN")
    expect(page.locator(".gpu-card")).to_have_count(4)
    names = {path.split("/", 3)[-1] for path in loaded(page)}
    assert "locales/zh.json" in names
    assert names.isdisjoint({"locales/en.json", "screens/tasks/task.js", "vendor/uPlot.js", "vendor/uPlot.min.css"})


@pytest.mark.skipif(not has_charts(), reason="uPlot is not installed: make charts")
def test_charts_are_loaded_on_demand(open_page: Open) -> None:
    page = open_page("#/gpu/0")
    expect(page.locator(".gpu-charts canvas")).to_have_count(4)


def test_tables_replace_missing_charts(open_page: Open, tmp_path: Path) -> None:
    bare = TrainingServer(tmp_path / "bare")
    bare.code = copy_of_the_code(tmp_path / "code")
    with bare:
        task_id = bare.start_task(toy(20, name="small"))
        bare.await_status(task_id, "completed")
        page = open_page(f"#/trainings/{task_id}", at=bare)
        expect(page.locator(".loss-panel table")).to_be_visible()
        page.close()


def test_screen_opens_after_the_service_restarts(open_page: Open, tmp_path: Path, complaints: Complaints) -> None:
    complaints.allowed = GONE
    with TrainingServer(tmp_path / "mortal") as mortal:
        page = open_page(at=mortal)
        expect(page.locator(".connection")).to_have_attribute("data-state", "live")
        mortal.kill()
        open_trainings(page)
        expect(page.locator(".banner.lost")).to_be_visible()
        expect_heading(page, "Home")
        mortal.start(port=mortal.port)
        expect_heading(page, "Trainings")
        expect(page.locator(".banner.lost")).to_be_hidden()
        page.close()


def test_page_reloads_after_an_update_of_the_service(open_page: Open, tmp_path: Path, complaints: Complaints) -> None:
    complaints.allowed = (*GONE, "status of 404")
    with TrainingServer(tmp_path / "renewed") as renewed:
        page = open_page(at=renewed)
        expect(page.locator(".connection")).to_have_attribute("data-state", "live")
        before = set(loaded(page))
        renewed.kill()
        renewed.code = copy_of_the_code(tmp_path / "code")
        renewed.start(port=renewed.port)
        open_trainings(page)
        expect_heading(page, "Trainings")
        assert before.isdisjoint(set(loaded(page)) - {"/"})
        page.close()
