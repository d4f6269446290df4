"""The form of a new training where a trainer and a model's files are present."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.conftest import Open
from tests.e2e.server import ROOT
from tests.e2e.shelves import Shelf, png
from tests.e2e.training_server import TrainingServer
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server that can train SDXL on a dataset with two versions."""
    root = tmp_path_factory.mktemp("ready")
    (root / "trainer").mkdir()
    (root / "trainer" / "train.py").touch()
    (root / "models").mkdir()
    write_stand_in(root / "models" / "sd_xl_base_1.0.safetensors", STAND_INS["sdxl"])
    settings = {
        "DIFFUSION_PIPE_ROOT": str(root / "trainer"),
        "DIFFUSION_PIPE_PYTHON": str(ROOT / "docs" / "scene_trainer.py"),
        "MODELS_DIRECTORIES": str(root / "models"),
    }
    with TrainingServer(root / "server", **settings) as started:
        shelf = Shelf(started.root)
        shelf.put("cats", [shelf.store("1.png", png(1, (640, 640)), "a cat")])
        shelf.close()
        yield started


def test_model_that_can_be_trained_is_preselected_with_its_preset(open_page: Open) -> None:
    page = open_page("#/new")
    expect(page.locator(".model-now")).to_have_attribute("data-model", "sdxl")
    expect(page.locator(".preset-card[aria-pressed=true]")).to_contain_text("24 GB")
    expect(page.locator(".dataset-choice")).to_contain_text("No dataset is chosen.")
    # The user's own choice has priority, also after a reload.
    page.locator(".model-now").click()
    page.locator(".model-card[data-model=toy]").click()
    page.get_by_label("Name").fill("mine")
    page.reload()
    expect(page.get_by_label("Name")).to_have_value("mine")
    expect(page.locator(".model-now")).to_have_attribute("data-model", "toy")


def test_copy_names_the_version_of_its_dataset_by_number(open_page: Open, server: TrainingServer) -> None:
    [preset, *_] = server.get("/models/sdxl/presets?dataset=cats")["presets"]
    task_id = server.start_task(preset["request"])
    pinned = server.task(task_id)["request"]["dataset"]["directories"][0]["dataset"]
    assert pinned.startswith("cats@sha256:")
    page = open_page(f"#/new?from={task_id}")
    expect(page.get_by_label("Version")).to_have_value("1")
    expect(page.get_by_label("Version").locator("option")).to_have_text(["newest (1)"])
