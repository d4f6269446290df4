"""Comparisons of trainings in a browser: how one gets there, curves, settings, samples, and links that reopen them."""

from contextlib import closing
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect

from api.db.database import Database, sqlite_url
from api.domain.tasks.progress import Point
from api.jobs.sampling.request import SampleRecord
from api.training.attempts.watch.series import append_points
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from tests.e2e.dashboard.axe import looks, violations
from tests.e2e.dashboard.conftest import Complaints, Open, has_charts
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.unit.db.builders import NOW

Pair = tuple[str, str]


@pytest.fixture(scope="module")
def pair(server: TrainingServer) -> Pair:
    """Two completed trainings that differ in their learning rate."""
    found = []
    for name, rate in (("first", 0.002), ("second", 0.004)):
        body = toy(5, 2, every=None, step_seconds=0.01, name=name)
        body["config"]["optimizer"] = {"type": "adam", "lr": rate}
        found.append(server.start_task(body))
    for task_id in found:
        server.await_status(task_id, "completed")
        directory = server.root / "tasks" / task_id / "attempts" / "1" / "series"
        append_points(directory, [Point("held_out/loss", step, 0.5, 0.0) for step in (5, 10)])
    return found[0], found[1]


@pytest.fixture
def compared(open_page: Open, pair: Pair) -> Page:
    page = open_page(f"#/trainings/compare?tasks={','.join(pair)}")
    expect(page.locator(".figure-table tbody tr")).to_have_count(2)
    return page


def at(page: Page) -> str:
    return unquote(page.url.partition("#")[2])


def test_selected_trainings_are_compared(open_page: Open, pair: Pair) -> None:
    page = open_page("#/trainings")
    page.get_by_label("Select first", exact=True).check()
    button = page.get_by_role("button", name="Compare", exact=True)
    expect(button).to_have_attribute("aria-disabled", "true")
    page.get_by_label("Select second", exact=True).check()
    button.click()
    expect(page.get_by_role("heading", name="Compare trainings")).to_be_visible()
    expect(page.locator(".figure-table tbody tr")).to_have_count(2)
    expect(page.locator(".figure-table")).to_contain_text("10 / 10")


def test_training_is_compared_with_others_from_its_screen(open_page: Open, pair: Pair) -> None:
    page = open_page(f"#/trainings/{pair[0]}")
    page.get_by_role("button", name="Compare with…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("first")).to_be_checked()
    expect(dialog.get_by_role("button", name="Compare")).to_be_disabled()
    dialog.get_by_placeholder("Search").fill("second")
    expect(dialog.locator("li label")).to_have_count(1)
    dialog.get_by_label("second").check()
    dialog.get_by_role("button", name="Compare").click()
    expect(page.locator(".figure-table tbody tr")).to_have_count(2)
    assert at(page) == f"/trainings/compare?tasks={pair[0]},{pair[1]}&metric=loss&axis=step&smoothing=0.8"


@pytest.mark.skipif(not has_charts(), reason="uPlot is not installed")
def test_curves_are_hidden_by_click_and_keyboard(compared: Page, pair: Pair) -> None:
    expect(compared.locator(".curve-chart canvas")).to_have_count(3)
    legend = compared.locator(".curve-name")
    legend.nth(0).click()
    expect(legend.nth(0)).to_have_attribute("aria-pressed", "false")
    legend.nth(1).focus()
    compared.keyboard.press("Space")
    expect(legend.nth(1)).to_have_attribute("aria-pressed", "false")
    compared.keyboard.press("Enter")
    expect(legend.nth(1)).to_have_attribute("aria-pressed", "true")
    assert f"hidden={pair[0]}" in at(compared)


@pytest.mark.skipif(not has_charts(), reason="uPlot is not installed")
def test_cursor_is_the_same_in_all_charts(compared: Page) -> None:
    expect(compared.locator(".curve-chart canvas")).to_have_count(3)
    expect(compared.locator(".curve-where")).to_have_text("latest values")
    compared.locator(".small-charts .u-over").first.hover()
    expect(compared.locator(".curve-where")).to_contain_text("Step")
    for line in compared.locator(".u-cursor-x").all():
        assert "translate(-10px" not in (line.get_attribute("style") or "")


def test_link_reopens_the_same_comparison(open_page: Open, compared: Page) -> None:
    compared.get_by_label("Metric").select_option("eval_loss")
    compared.get_by_role("button", name="Epoch").click()
    compared.get_by_label("Smoothing").fill("0.5")
    compared.get_by_label("Log scale").check()
    compared.get_by_role("switch", name="Differences only").click()
    compared.locator(".curve-name").nth(1).click()
    expect(compared.locator(".setting-table tr", has_text="epochs")).to_have_count(1)
    again = open_page(f"#{at(compared)}")
    expect(again.locator(".curve-name").nth(1)).to_have_attribute("aria-pressed", "false")
    expect(again.get_by_label("Metric")).to_have_value("eval_loss")
    expect(again.get_by_role("button", name="Epoch")).to_have_attribute("aria-pressed", "true")
    expect(again.get_by_label("Smoothing")).to_have_value("0.5")
    expect(again.get_by_label("Log scale")).to_be_checked()
    expect(again.get_by_role("switch", name="Differences only")).not_to_be_checked()
    expect(again.locator(".setting-table tr", has_text="epochs")).to_have_count(1)
    assert at(again) == at(compared)


def test_only_differing_settings_are_shown_at_first(compared: Page) -> None:
    rows = compared.locator(".setting-table tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("optimizer.lr")
    expect(rows.locator("td")).to_have_text(["0.002", "0.004"])


def test_slider_leads_through_the_samples_of_a_prompt(open_page: Open, server: TrainingServer, pair: Pair) -> None:
    records = [
        (pair[0], SampleRecord("epoch1", 0, 1, 1.0, problem="out of memory")),
        (pair[0], SampleRecord("epoch2", 0, 1, 1.0, problem="lost")),
        (pair[1], SampleRecord("epoch2", 0, 1, 1.0, problem="broken")),
    ]
    with closing(Database(sqlite_url(server.root / "database.sqlite"))) as database:
        TrainingSampleStore(database).put(
            [StoredSample(task_id, f"of_{task_id}", each, "s", "a cat", None, NOW) for task_id, each in records]
        )
    page = open_page(f"#/trainings/compare?tasks={','.join(pair)}")
    grid = page.locator(".compare-samples")
    expect(grid.locator("thead")).to_contain_text("a cat")
    expect(grid.locator("tbody td")).to_have_text(["lost", "broken"])
    grid.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    expect(grid.locator("tbody td")).to_have_text(["out of memory", "no sample"])
    expect(grid.get_by_role("slider")).to_have_attribute("aria-valuetext", "Step 5")


def test_running_training_is_updated(open_page: Open, server: TrainingServer, pair: Pair) -> None:
    running = server.start_task(toy(500, step_seconds=0.05, every=None, name="runs"))
    server.await_status(running, "running")
    page = open_page(f"#/trainings/compare?tasks={pair[0]},{running}")
    row = page.locator(".figure-table tbody tr").nth(1)
    expect(row).to_contain_text("/ 500")
    before = row.inner_text()
    expect(row).not_to_have_text(before)
    server.stop_task(running, force=True)
    expect(row).to_contain_text("stopped")


def test_training_is_left_out_and_another_one_is_chosen(open_page: Open, server: TrainingServer, pair: Pair) -> None:
    third = server.start_task(toy(5, every=None, step_seconds=0.01, name="third"))
    server.await_status(third, "completed")
    page = open_page(f"#/trainings/compare?tasks={','.join(pair)}")
    expect(page.locator(".figure-table tbody tr")).to_have_count(2)
    expect(page.get_by_role("button", name="Remove first from the comparison")).to_have_count(0)
    page.get_by_role("button", name="Choose trainings").click()
    page.get_by_role("dialog").get_by_label("third").check()
    page.get_by_role("dialog").get_by_role("button", name="Compare").click()
    expect(page.locator(".figure-table tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Remove first from the comparison").click()
    expect(page.locator(".figure-table tbody tr")).to_have_count(2)
    assert f"tasks={pair[1]},{third}" in at(page)


def test_comparison_without_trainings_offers_to_choose_some(open_page: Open, pair: Pair) -> None:
    page = open_page("#/trainings/compare")
    page.locator(".empty").get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("0 of at most 8 selected")


def test_missing_training_is_an_error_in_words(open_page: Open, complaints: Complaints, pair: Pair) -> None:
    complaints.allowed = ("status of 404",)
    page = open_page(f"#/trainings/compare?tasks={pair[0]},train_20260101_00000000")
    expect(page.locator(".note")).to_contain_text("train_20260101_00000000")
    page.locator(".note").get_by_role("button", name="Trainings to compare").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_comparison_is_accessible_and_fits(compared: Page, axe: str) -> None:
    if has_charts():
        expect(compared.locator(".curve-chart canvas")).to_have_count(3)
    assert violations(compared, axe) == []
    for look in looks(compared):
        assert_fits(compared, look)
