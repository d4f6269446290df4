"""`python docs/screenshots.py`: takes the pictures of the page, in both themes, of a server and trainings of its own.

It needs Chromium and what requirements/dev.txt names; the pictures have the system's fonts (Inter is best).
`python docs/screenshots.py --unchanged` only notes that the pictures still show what the screens look like.
"""

import hashlib
import io
import json
import math
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser import ABSENT, find_browser, launch  # noqa: E402
from tests.e2e.server import until  # noqa: E402
from tests.e2e.training_server import TrainingServer  # noqa: E402
from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
SOURCES = PICTURES / "sources.json"
SIZE = {"width": 1440, "height": 900}
MAX_BYTES = 250_000
#: So long the trainings run before they are photographed.
SECONDS = 90.0

#: The folder of the scripts that a picture shows.
SCREENS = {"machine": "machine", "tasks": "tasks", "task": "tasks", "start": "start", "dataset": "datasets"}

_SUBJECTS = ("hills at dawn", "a quiet lake", "hills after rain", "the coast in the evening", "a valley in fog")


def find_sources() -> dict[str, str]:
    """Return a hash of the scripts of each picture's screen."""
    hashes = {}
    for picture, folder in SCREENS.items():
        found = hashlib.sha256()
        for path in sorted((ROOT / "api" / "dashboard" / "screens" / folder).rglob("*.js")):
            found.update(path.name.encode() + path.read_bytes())
        hashes[picture] = found.hexdigest()[:16]
    return hashes


def main() -> int:
    """Take all of them."""
    if sys.argv[1:] != ["--unchanged"] and not _take_all():
        return 1
    SOURCES.write_text(json.dumps(find_sources(), indent=2) + "\n")
    return 0


def _take_all() -> bool:
    path = find_browser()
    if path is None:
        print(ABSENT, file=sys.stderr)
        return False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer = folder / "diffusion-pipe"
        trainer.mkdir()
        (folder / "models").mkdir()
        write_stand_in(folder / "models" / "sd_xl_base_1.0.safetensors", STAND_INS["sdxl"])
        (trainer / "train.py").touch()
        settings = {
            "SIMULATED_GPUS": "4x NVIDIA GeForce RTX 4090",
            "GPU_MONITOR_INTERVAL": "1",
            "MODELS_DIRECTORIES": str(folder / "models"),
            "DIFFUSION_PIPE_ROOT": str(trainer),
            "DIFFUSION_PIPE_PYTHON": str(ROOT / "docs" / "scene_trainer.py"),
        }
        with TrainingServer(folder / "server", **settings) as server:
            shown = _start(server)
            with sync_playwright() as play:
                browser = launch(play, path)
                for theme in ("light", "dark"):
                    page = browser.new_page(viewport=SIZE, color_scheme=theme, locale="en-GB", bypass_csp=True)
                    for picture, address in shown.items():
                        _take(page, f"http://127.0.0.1:{server.port}/{address}", picture, theme)
                    page.close()
                browser.close()
    return True


def _start(server: TrainingServer) -> Mapping[str, str]:
    """Upload a dataset, start trainings that run, wait, fail and have ended, and return where to look."""
    files = {"file": ("watercolours.zip", _draw_dataset(), "application/zip")}
    task = server.post("/preprocess/upload", 202, files=files, data={"dataset": "watercolours"})["task_id"]
    until(lambda: server.get(f"/preprocess/status/{task}")["status"] == "completed", 60.0, "the dataset")
    preset = next(iter(server.get("/models/sdxl/presets?dataset=watercolours")["presets"]))["request"]

    def start(name: str, gpus: int, epochs: int, **optimizer: Any) -> str:
        config = {**preset["config"], "epochs": epochs, "optimizer": {**preset["config"]["optimizer"], **optimizer}}
        return str(server.start_task({**preset, "name": name, "gpu_count": gpus, "config": config}))

    failing = start("product shots, 1024 px", 1, 20, lr=0.02)
    server.await_status(failing, "failed")
    toy = {"model_type": "toy", "name": "quick test", "config": {"epochs": 1}}
    server.await_status(server.start_task(toy), "completed")
    main_id = start("watercolour style, SDXL LoRA", 1, 12)
    start("portraits of Ann", 1, 40)
    start("night streets, 2 GPUs", 2, 30)
    for name, gpus in (("botanical prints", 1), ("watercolour style, rank 64", 2), ("pixel art", 1)):
        start(name, gpus, 20)
    time.sleep(SECONDS)
    return {
        "start": "#/new?model=sdxl&dataset=watercolours",
        "machine": "#/gpus",
        "tasks": "#/trainings",
        "task": f"#/trainings/{main_id}",
        "dataset": "#/datasets/watercolours",
    }


def _draw_dataset() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(24):
            picture = io.BytesIO()
            _draw(number).save(picture, "JPEG", quality=90)
            archive.writestr(f"{number + 1:02d}.jpg", picture.getvalue())
            archive.writestr(f"{number + 1:02d}.txt", f"ohwx watercolour, {_SUBJECTS[number % len(_SUBJECTS)]}")
    return content.getvalue()


def _draw(number: int) -> Image.Image:
    """Draw hills below a sky."""
    chance = random.Random(number)
    width, height = chance.choice([(1024, 1024), (1216, 832), (832, 1216)])
    sky = [(chance.randint(150, 250), chance.randint(150, 220), chance.randint(170, 240)) for _ in range(2)]
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    for y in range(height):
        share = y / height
        draw.line([(0, y), (width, y)], tuple(round(a + (b - a) * share) for a, b in zip(*sky, strict=True)))
    x, y, radius = chance.randint(100, width - 100), chance.randint(80, height // 3), chance.randint(30, 70)
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], (255, 240, chance.randint(170, 230)))
    tint = (chance.randint(20, 90), chance.randint(70, 120), chance.randint(60, 130))
    for layer in range(5):
        base, high = height * (0.45 + 0.11 * layer), height * 0.06
        waves = [(chance.uniform(1.5, 5), chance.uniform(0, 6)) for _ in range(3)]
        ridge = [
            (
                x,
                base
                + sum(
                    high * math.sin(often * x / width * 2 + shift) / (n + 1) for n, (often, shift) in enumerate(waves)
                ),
            )
            for x in range(0, width + 8, 8)
        ]
        shade = tuple(round(value + (215 - value) * (1 - layer / 4) * 0.75) for value in tint)
        draw.polygon([(0, height), *ridge, (width, height)], shade)
        picture = picture.filter(ImageFilter.GaussianBlur(1.6))
        draw = ImageDraw.Draw(picture)
    return picture


def _take(page: Page, address: str, name: str, theme: str) -> None:
    page.goto(address)
    if name == "start":
        page.get_by_role("button", name="Validate").click()
    # Machines without Chinese fonts would show boxes there.
    page.add_style_tag(content="button[lang=zh-CN] { visibility: hidden }")
    page.wait_for_timeout(6000)
    picture = PICTURES / f"{name}-{theme}.png"
    page.screenshot(path=picture)
    # 255 colours are enough for a page and make a third of the bytes.
    Image.open(picture).convert("RGB").quantize(255, dither=Image.Dither.NONE).save(picture, optimize=True)
    print(f"{picture.relative_to(ROOT)}: {picture.stat().st_size:,} bytes", flush=True)
    assert picture.stat().st_size <= MAX_BYTES, picture


if __name__ == "__main__":
    sys.exit(main())
