"""Models in a browser: files on the machine, identification of files, and saved models."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.dashboard.axe import looks, violations
from tests.e2e.dashboard.conftest import Complaints, Open, pick_model
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.dashboard.test_loading import BUDGET_BYTES, loaded
from tests.e2e.shelves import Shelf, png
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import TrainingServer
from tests.local_hub import running_hub
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server with SDXL, half of Z-Image's files, and a hub without repositories."""
    root = tmp_path_factory.mktemp("models")
    write_stand_in(root / "comfy" / "checkpoints" / "xl.safetensors", STAND_INS["sdxl"])
    write_stand_in(root / "comfy" / "vae" / "ae.safetensors", STAND_INS["vae-flux"])
    settings = {"SIMULATED_GPUS": "2x NVIDIA GeForce RTX 4090", "MODELS_DIRECTORIES": str(root / "comfy")}
    with running_hub() as hub, TrainingServer(root / "server", HF_ENDPOINT=hub.address, **settings) as started:
        yield started


@pytest.fixture(scope="module")
def finished(server: TrainingServer) -> str:
    """A finished training whose model is saved as version 1 with the alias `prod`."""
    task_id = server.start_task(toy(20, name="cats"))
    server.await_status(task_id, "completed")
    artifact = adapter_of(server, task_id)["path"]
    body = {"task_id": task_id, "artifact": artifact, "name": "cats", "aliases": ["prod"], "notes": "sharp"}
    server.post("/models/registry", 201, json=body)
    return task_id


def adapter_of(server: TrainingServer, task_id: str) -> dict[str, Any]:
    found = server.get(f"/training/{task_id}/artifacts")["artifacts"]
    return next(each for each in found if each["kind"] == "model" and each["path"].endswith(".safetensors"))


def type_row(page: Page, name: str) -> Any:
    return page.locator(".type-row", has_text=name).first


@pytest.mark.parametrize(
    ("address", "awaited"),
    [
        ("#/models?type=z_image", ".component"),
        ("#/registry", ".registered-row"),
        ("#/registry/cats", ".version-card"),
        ("#/trainings/{}", ".version-offer"),
        ("#/new?model=sdxl", ".preset-card"),
    ],
)
def test_models_have_no_accessibility_violations(
    open_page: Open, finished: str, axe: str, address: str, awaited: str
) -> None:
    page = open_page(address.format(finished))
    expect(page.locator(awaited).first).to_be_visible()
    assert violations(page, axe) == []
    for look in looks(page):
        assert_fits(page, look)
    assert sum(loaded(page).values()) < BUDGET_BYTES


def test_model_types_show_their_state_on_this_machine(open_page: Open) -> None:
    page = open_page("#/models")
    expect(page.locator(".type-row")).to_have_count(24)
    expect(type_row(page, "SDXL")).to_contain_text("Ready")
    type_row(page, "Z-Image").click()
    expect(page.locator(".component[data-tone=ok]")).to_have_count(1)
    expect(page.get_by_role("button", name="Download 2")).to_be_visible()
    page.get_by_role("button", name="Ready", exact=True).click()
    expect(page.locator(".type-row")).to_have_count(1)


def test_failed_download_shows_the_cause_and_can_be_resumed(open_page: Open) -> None:
    page = open_page("#/models?type=z_image")
    page.get_by_role("button", name="Download 2").click()
    page.get_by_role("link", name="Downloads").click()
    row = page.locator(".downloads .download-row")
    expect(row.locator(".note")).to_contain_text("has no public repository")
    row.get_by_role("button", name="Resume").click()
    expect(row.locator(".status")).to_contain_text("failed")


def test_file_is_identified_by_its_content(open_page: Open, server: TrainingServer, complaints: Complaints) -> None:
    complaints.allowed = ("status of 404",)
    path = write_stand_in(Path(server.settings["MODELS_DIRECTORIES"]) / "x.bin", STAND_INS["vae-flux2"])
    page = open_page("#/models")
    page.get_by_label("Path on the server").fill(str(path))
    page.get_by_role("button", name="Identify").click()
    expect(page.locator(".examine .note")).to_contain_text("Complete.")
    page.locator(".place-list").get_by_role("link", name="ideogram4").click()
    expect(page.locator(".type-detail code").first).to_have_text("ideogram4")
    page.get_by_label("Path on the server").fill("/nowhere")
    page.get_by_role("button", name="Identify").click()
    expect(page.locator(".examine .note[data-tone=bad]")).to_be_visible()


def test_version_in_use_cannot_be_deleted(open_page: Open, finished: str, complaints: Complaints) -> None:
    complaints.allowed = ("status of 409",)
    page = open_page("#/registry")
    page.get_by_role("link", name="cats").click()
    card = page.locator(".version-card")
    expect(card.locator(".alias.prod")).to_be_visible()
    card.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("prod")
    page.get_by_role("button", name="Cancel").click()
    card.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Aliases").click()
    page.get_by_label("Notes").fill("overtrained")
    page.get_by_role("button", name="Save").click()
    expect(card).to_contain_text("overtrained")
    expect(card.get_by_role("link", name="cats")).to_have_attribute("href", f"#/trainings/{finished}")


def test_training_is_started_saved_and_downloaded_by_mouse(open_page: Open, server: TrainingServer) -> None:
    shelf = Shelf(server.root)
    shelf.put("pups", [shelf.store("pup.png", png(3), "a pup")])
    shelf.close()
    page = open_page("#/", accept_downloads=True)
    page.get_by_role("link", name="New training").click()
    # Settings of a directory are dropped when the toy is chosen instead.
    pick_model(page, "sdxl")
    page.get_by_label("Dataset", exact=True).select_option("pups")
    page.get_by_label("Repeats").fill("2")
    page.get_by_label("Repeats").press("Tab")
    pick_model(page, "toy")
    expect(page.get_by_label("Repeats")).to_have_count(0)
    expect(page.locator(".start-side")).to_contain_text("Ready to start")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".task-head")).to_be_visible()
    task_id = page.url.rsplit("/", 1)[1]
    with page.expect_download() as given:
        page.get_by_role("link", name=re.compile(r"Download (LoRA|model) \(\d")).click()
    assert given.value.suggested_filename.endswith(".safetensors")
    page.get_by_role("button", name="Save to library as toy").click()
    page.get_by_role("link", name="Open").click()
    card = page.locator(".version-card")
    card.get_by_role("button", name="Set as prod").click()
    expect(card.locator(".alias.prod")).to_be_visible()
    with page.expect_download() as given:
        card.get_by_role("link", name="Download").click()
    assert given.value.suggested_filename.startswith("toy-v1-epoch")
    version = server.get("/models/registry/toy/versions/prod")
    content = Path(given.value.path()).read_bytes()
    assert hashlib.sha256(content).hexdigest() == version["sha256"]
    assert version["origin"]["task_id"] == task_id
    expect(card.get_by_role("link", name="pups@sha256:")).to_be_visible()


def test_preselected_model_is_scrolled_into_view(open_page: Open) -> None:
    page = open_page("#/new?model=z_image", viewport={"width": 390, "height": 844})
    expect(page.locator(".model-now")).to_have_attribute("data-model", "z_image")
    page.locator(".model-now").click()
    expect(page.locator(".model-card[aria-pressed=true]")).to_be_in_viewport()
    assert page.evaluate(
        """() => {
          const list = document.querySelector(".model-cards").getBoundingClientRect();
          const chosen = document.querySelector(".model-card[aria-pressed=true]").getBoundingClientRect();
          return chosen.top >= list.top && chosen.bottom <= list.bottom + 1;
        }"""
    )


def test_small_screen_scrolls_to_the_plan(open_page: Open) -> None:
    page = open_page("#/new", viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="Validate").click()
    expect(page.locator(".start-side").get_by_text("Ready to start")).to_be_in_viewport()
