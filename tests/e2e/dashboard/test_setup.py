"""The setup checklist, the file dialog and settings, by mouse and keyboard."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.dashboard.axe import violations
from tests.e2e.dashboard.conftest import Complaints, Open
from tests.e2e.dashboard.layout import assert_fits
from tests.e2e.training_server import TrainingServer
from tests.media import picture

#: The smallest valid weight file: a header without tensors.
WEIGHTS = b"\2\0\0\0\0\0\0\0{}"

_HEADER = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
ONE_TENSOR = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(4)


def make_pipeline(directory: Path) -> None:
    """Make a directory like that of a complete Flux.1 in diffusers' format."""
    parts = {"text_encoder": "CLIPTextModel", "transformer": "FluxTransformer2DModel", "vae": "AutoencoderKL"}
    index = {"_class_name": "FluxPipeline"} | {part: ["diffusers", name] for part, name in parts.items()}
    directory.mkdir(exist_ok=True)
    (directory / "model_index.json").write_text(json.dumps(index))
    for part in parts:
        (directory / part).mkdir()
        (directory / part / "config.json").write_text("{}")
        (directory / part / "model.safetensors").write_bytes(ONE_TENSOR)


def make_home(directory: Path) -> Path:
    """Make a directory that administrators may browse."""
    made = directory / "home"
    for name in ("diffusion-pipe/examples", "models/flux", "pictures/cats", ".ssh"):
        (made / name).mkdir(parents=True)
    for name in ("diffusion-pipe/train.py", "diffusion-pipe/examples/main_example.toml"):
        (made / name).touch()
    (made / "python").write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.12.4 || sleep 3\n')
    (made / "python").chmod(0o755)
    (made / "models" / "flux" / "a.safetensors").write_bytes(WEIGHTS)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingServer]:
    """A server without any setting that the checklist is about. Its tests set none but those of captions."""
    directory = tmp_path_factory.mktemp("setup")
    with TrainingServer(directory / "server", BROWSE_DIRECTORIES=str(make_home(directory))) as started:
        yield started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_home(tmp_path)


@pytest.fixture
def new_server(tmp_path: Path, home: Path) -> Iterator[TrainingServer]:
    with TrainingServer(tmp_path / "server", BROWSE_DIRECTORIES=str(home)) as started:
        yield started


def test_new_machine_is_set_up_by_mouse(open_page: Open, new_server: TrainingServer, home: Path) -> None:
    page = open_page(at=new_server)
    trainer, models = page.locator('[data-step="trainer"]'), page.locator('[data-step="models"]')
    # The checkout was found; only the Python is chosen.
    expect(trainer.get_by_label("Checkout of diffusion-pipe")).to_have_value(str(home / "diffusion-pipe"))
    trainer.get_by_role("button", name="Browse").nth(1).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="python").click()
    expect(trainer.get_by_label("Python of the trainer")).to_have_value(str(home / "python"))
    trainer.get_by_role("button", name="Save").click()
    # It is checked meanwhile, and does not work. Its form is closed, so that nothing moves when the check ends.
    expect(models.get_by_role("listitem")).to_contain_text([str(home / "models")])
    expect(trainer.get_by_role("button", name="Save")).to_have_count(0)
    models.get_by_role("button", name="Remove").click()
    models.get_by_role("button", name="Add a folder").click()
    expect(dialog.get_by_role("listitem")).to_contain_text(["diffusion-pipe", "models", "pictures", "python"])
    expect(dialog.get_by_role("button", name="python")).to_have_count(0)
    dialog.get_by_role("button", name="models").click()
    expect(dialog.get_by_role("button", name="flux")).to_be_visible()
    dialog.get_by_role("button", name="Choose this folder").click()
    expect(page.locator('[data-step="trainer"][data-state="problem"]')).to_be_visible()
    expect(trainer.get_by_role("button", name="Save")).to_have_count(0)
    models.get_by_role("button", name="Save").click()
    expect(page.locator('[data-step="models"][data-state="done"]')).to_be_visible()
    # Then the first open step is opened.
    expect(models.get_by_role("button", name="Save")).to_have_count(0)
    expect(trainer.get_by_role("button", name="Save")).to_be_visible()
    page.locator('[data-step="first_training"] summary').click()
    page.get_by_role("button", name="Start a toy training").click()
    page.wait_for_url("**/#/trainings/train_*")


def test_first_training_takes_ten_clicks(open_page: Open, tmp_path: Path, home: Path) -> None:
    (home / "diffusion-pipe" / "venv" / "bin").mkdir(parents=True)
    (home / "python").rename(home / "diffusion-pipe" / "venv" / "bin" / "python")
    (home / "models" / "flux" / "a.safetensors").unlink()
    make_pipeline(home / "models" / "flux")
    (home / "pictures" / "cats" / "a.png").write_bytes(picture())
    (home / "pictures" / "cats" / "a.txt").write_text("a cat")
    # The Python is not the trainer's, which a check would find.
    with TrainingServer(tmp_path / "first", BROWSE_DIRECTORIES=str(home), TRAINER_CHECK="0") as server:
        page = open_page(at=server)
        trainer, models = page.locator('[data-step="trainer"]'), page.locator('[data-step="models"]')
        expect(trainer).to_contain_text("Found on this server")
        trainer.get_by_role("button", name="Save").click()
        expect(models).to_contain_text("Found on this server")
        models.get_by_role("button", name="Save").click()
        page.get_by_role("link", name="New dataset").click()
        page.get_by_role("dialog").get_by_role("button", name="Browse").click()
        folder = page.get_by_role("dialog", name="Choose a folder")
        folder.get_by_role("button", name="pictures").click()
        folder.get_by_role("button", name="cats").click()
        # Files show that it is the right one.
        expect(folder.get_by_role("listitem")).to_contain_text(["a.png", "a.txt"])
        folder.get_by_role("button", name="Choose this folder").click()
        expect(page.get_by_role("textbox", name="Name")).to_have_value("cats")
        page.get_by_role("button", name="Create").click()
        page.get_by_role("button", name="Train", exact=True).click()
        # The model whose files are here is chosen.
        expect(page.locator(".model-now")).to_contain_text("Flux.1")
        expect(page.get_by_role("complementary", name="Plan")).to_contain_text("No errors")
        page.get_by_role("button", name="Start", exact=True).click()
        page.wait_for_url("**/#/trainings/train_*")
        page.close()


def test_folder_is_chosen_by_keyboard(open_page: Open, server: TrainingServer) -> None:
    page = open_page("#/settings/setup")
    page.locator('[data-step="models"] summary').focus()
    page.keyboard.press("Enter")
    page.locator('[data-step="models"]').get_by_role("button", name="Add a folder").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Choose a folder")
    # It opens in the folder that was found.
    expect(dialog.get_by_role("button", name="flux")).to_be_focused()
    page.keyboard.press("Backspace")
    expect(dialog.get_by_role("button", name="models")).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(dialog.get_by_role("button", name="diffusion-pipe")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("button", name="flux")).to_be_focused()
    page.keyboard.press("Backspace")
    expect(dialog.get_by_role("button", name="models")).to_be_focused()
    page.keyboard.press("End")
    expect(dialog.get_by_role("button", name="pictures")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert server.get("/settings")["settings"][2]["value"] == []


def test_rejected_value_is_explained_at_its_field(
    open_page: Open, server: TrainingServer, complaints: Complaints
) -> None:
    complaints.allowed = ("status of 422",)
    page = open_page("#/settings/setup")
    captions = page.locator('[data-step="captions"]')
    captions.locator("summary").click()
    captions.get_by_label("Address of the vision model").fill("ollama")
    captions.get_by_role("button", name="Save").click()
    expect(captions.get_by_role("alert").filter(has_text="must be an address")).to_be_visible()


def test_hidden_checklist_stays_hidden(open_page: Open, server: TrainingServer) -> None:
    page = open_page()
    page.get_by_role("region", name="Setup").get_by_role("button", name="Hide").click()
    expect(page.get_by_role("region", name="Setup")).to_have_count(0)
    page.reload()
    expect(page.locator(".gpu-tile").first).to_be_visible()
    expect(page.get_by_role("region", name="Setup")).to_have_count(0)


def test_captions_cannot_be_written_before_a_model_is_set(open_page: Open, server: TrainingServer) -> None:
    server.post("/datasets", 201, json={"name": "cats"})
    page = open_page("#/datasets/cats?tab=prepare")
    button = page.get_by_role("button", name="Write captions")
    expect(button).to_have_attribute("aria-disabled", "true")
    page.get_by_role("link", name="Go to the setup").click()
    captions = page.locator('[data-step="captions"]')
    captions.locator("summary").click()
    captions.get_by_label("Address of the vision model").fill("http://127.0.0.1:9/v1")
    captions.get_by_label("Name of the vision model").fill("eyes")
    captions.get_by_label("Key for that address").fill("sk-secret")
    captions.get_by_role("button", name="Save").click()
    expect(page.locator('[data-step="captions"][data-state="done"]')).to_be_visible()
    expect(captions.get_by_label("Key for that address")).to_have_value("")
    page.go_back()
    expect(page.get_by_role("heading", name="cats")).to_be_visible()
    expect(page.get_by_role("link", name="Go to the setup")).to_have_count(0)


def test_setup_fits_and_is_accessible(open_page: Open, server: TrainingServer, axe: str) -> None:
    page = open_page("#/settings/setup")
    expect(page.get_by_role("heading", name="Folders")).to_be_visible()
    assert violations(page, axe) == []
    page.locator('[data-step="trainer"]').get_by_role("button", name="Browse").first.click()
    expect(page.get_by_role("dialog").get_by_role("listitem").first).to_be_visible()
    assert violations(page, axe, "dialog") == []
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 844})
    assert_fits(page)
