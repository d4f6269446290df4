"""Sweeps on the page: several values in a new training, the plan, the sweep's screen, its tag in the list."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.axe import looks, violations
from tests.e2e.dashboard.conftest import Open, pick_model, unfold
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer


def fill_in(page: Page, values: str) -> None:
    unfold(page, "Try several values")
    page.get_by_role("button", name="Add a setting").click()
    page.get_by_label("Values: Learning rate").fill(values)


@pytest.mark.quick
def test_several_values_are_planned_started_shown_and_stopped(open_page: Open, server: TrainingServer):
    page = open_page("#/new")
    page.get_by_label("Name").fill("cats")
    fill_in(page, "1e-3, 2e-3")
    page.get_by_role("button", name="Add a setting").click()
    page.get_by_label("Setting", exact=True).nth(1).select_option(label="Batch size per GPU")
    page.get_by_label("Values: Batch size per GPU").fill("4, 8, 16")
    page.get_by_label("Stop unpromising trainings early").check()
    plan = page.get_by_role("complementary", name="Plan")
    expect(plan.locator("tbody tr")).to_have_count(6)
    expect(plan.get_by_text("After 30 % of its steps, a training is stopped")).to_be_visible()
    page.get_by_role("button", name="Start 6 trainings").click()
    expect(page.get_by_role("heading", name="cats", level=1)).to_be_visible()
    rows = page.locator(".sweep-table tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.nth(1).locator("td").nth(0)).to_have_text("cats-lr0.001-batch8")
    expect(rows.nth(1).locator("td").nth(2)).to_have_text("8")
    expect(page.get_by_role("link", name="Compare")).to_have_attribute(
        "href", "#/trainings/compare?tasks=" + ",".join(server.task_ids()[:6][::-1])
    )
    page.get_by_role("button", name="Stop all").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop all").click()
    expect(page.get_by_role("button", name="Stop all")).to_be_hidden()
    page.get_by_role("link", name="Show in the list of trainings").click()
    expect(page.locator(".task-row")).to_have_count(6)
    page.get_by_role("button", name="One sweep").click()
    page.locator(".task-row a.tag", has_text="Sweep").first.click()
    expect(rows).to_have_count(6)


def test_error_names_the_value_beside_its_field(open_page: Open):
    page = open_page("#/new")
    fill_in(page, "1e-3, 7")
    expect(page.locator(".step-fold .finding", has_text="lr = 7: `lr` cannot be 7.")).to_be_visible()
    page.get_by_label("Values: Learning rate").fill("1e-3, 1e-3")
    expect(page.locator(".step-fold .finding", has_text="The value 0.001 is there twice.")).to_be_visible()


def test_draft_with_several_values_survives_a_reload(open_page: Open):
    page = open_page("#/new")
    fill_in(page, "1e-3, 2e-3")
    expect(page.get_by_role("button", name="Start 2 trainings")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Values: Learning rate")).to_have_value("1e-3, 2e-3")
    page.get_by_role("button", name="Remove this setting").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()


def test_field_asks_for_several_values_of_its_setting(open_page: Open):
    page = open_page("#/new")
    pick_model(page, "flux")
    unfold(page, "Settings")
    page.get_by_role("button", name="Try several values: Rank").click()
    expect(page.get_by_label("Values: Rank", exact=True)).to_be_focused()
    expect(page.get_by_label("Values: Rank", exact=True)).to_have_value(re.compile(r"^\d+, $"))


def test_screen_of_a_sweep_fits_and_is_accessible(open_page: Open, server: TrainingServer, axe: str):
    values = {"/config/optimizer/lr": [0.001, 0.002]}
    body = {"request": toy(5, name="dogs"), "values": values, "early_stop": {}}
    sweep = server.post("/sweeps", 201, json=body)["sweep"]
    page = open_page("#/sweeps")
    expect(page.get_by_role("row", name="dogs")).to_contain_text("Learning rate")
    assert violations(page, axe) == []
    page.get_by_role("link", name="dogs").click()
    expect(page).to_have_url(re.compile(sweep["sweep_id"]))
    expect(page.locator(".sweep-table tbody tr")).to_have_count(2)
    for look in looks(page):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look
        assert violations(page, axe) == [], look


def test_form_with_several_values_fits_and_is_accessible(open_page: Open, axe: str):
    page = open_page("#/new")
    fill_in(page, "1e-3, 2e-3")
    page.get_by_label("Stop unpromising trainings early").check()
    expect(page.get_by_role("complementary", name="Plan").locator("tbody tr")).to_have_count(2)
    for look in looks(page):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), look
        assert violations(page, axe) == [], look
