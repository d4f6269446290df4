"""Creates directories of images and videos as users have them, valid and damaged, below `data`."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image

from tests.unit.trainers.diffusion_pipe.builders import write_video

_COUNT = 8
_NAMES = [f"p{index}.png" for index in range(_COUNT)]
_SHAPES = [(512, 512), (512, 256), (256, 512), (512, 384), (384, 512), (640, 512), (512, 640), (300, 512)]
_CAPTIONS = {
    "json": {name: ["a cat", "one cat"] for name in _NAMES},
    "json_str": dict.fromkeys(_NAMES, "a cat"),
    "json_list": [["a cat"]] * _COUNT,
    "json_other": {f"q{name}": ["a cat"] for name in _NAMES},
    "json_none": {name: [] for name in _NAMES},
    "json_part": {name: ["a cat"] for name in _NAMES[:6]},
}


def make_datasets(data: Path) -> None:
    """Create all directories."""
    _make_sound(data)
    _make_captions(data)
    _make_companions(data)
    _make_broken(data)
    _make_archives(data)
    _make_evaluations(data)


def _images(
    folder: Path, count: int = _COUNT, size: tuple[int, int] = (512, 512), suffix: str = ".png", caption: str = ".txt"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", size, (100 + index, 90, 80)).save(folder / f"p{index}{suffix}")
        if caption:
            (folder / f"p{index}{caption}").write_text(f"a cat, picture {index}")
    return folder


def _videos(folder: Path, frames: int, suffix: str = ".mp4", count: int = 4) -> None:
    for index in range(count):
        write_video(folder / f"v{index}{suffix}", frames, 16, (64, 64))


def _make_sound(data: Path) -> None:
    _images(data / "img")
    _images(data / "two", 2)
    _images(data / "one", 1)
    _images(data / "upper", suffix=".PNG")
    _images(data / "webp", suffix=".webp")
    _images(data / "tiny", size=(1, 1))
    _images(data / "a b ü 日本" / "x")
    _images(data / "a,b#c]")
    (data / "link").symlink_to(data / "img")
    for index, size in enumerate(_SHAPES):
        Image.new("RGB", size).save(_images(data / "ars", 0) / f"p{index}.png")
        (data / "ars" / f"p{index}.txt").write_text("a cat")
        Image.new("P", size).save(_images(data / "pal", 0) / f"p{index}.png")
        (data / "pal" / f"p{index}.txt").write_text("a cat")
    (data / "filelinks").mkdir()
    for path in (data / "img").iterdir():
        (data / "filelinks" / path.name).symlink_to(path)
    odd = _images(data / "odd")
    (odd / "old").mkdir()
    for name in ("README.md", ".gitkeep", "Thumbs.db", "list.parquet"):
        (odd / name).write_text("mine")
    _videos(data / "vid", 120)
    _videos(data / "vidU", 120, ".MP4")
    _videos(data / "short", 6)
    _videos(data / "mix", 120)
    _images(data / "mix", 4)


def _make_captions(data: Path) -> None:
    _images(data / "nocap", caption="")
    _images(data / "TXT", caption=".TXT")
    _images(data / "capext", caption=".caption")
    for index in range(_COUNT):
        (_images(data / "emptytxt", index + 1) / f"p{index}.txt").write_text("")
        (_images(data / "lines", index + 1) / f"p{index}.txt").write_text("a cat\n\nand a dog\r\n")
    for index in range(_COUNT):
        (data / "emptytxt" / f"p{index}.txt").write_text("")
    for name, captions in _CAPTIONS.items():
        (_images(data / name, caption="") / "captions.json").write_text(json.dumps(captions))
    (_images(data / "json_bad", caption="") / "captions.json").write_text('{"p0.png": ["a"],}')
    (_images(data / "latin") / "p2.txt").write_bytes("café".encode("latin-1"))


def _make_companions(data: Path) -> None:
    _images(data / "masks", caption="")
    _images(data / "masks_small", size=(256, 256), caption="")
    _images(data / "masks_half", 4, caption="")
    _images(data / "ctl", caption="")
    _images(data / "ctl_less", 5, caption="")
    (_images(data / "ctl_bad", caption="") / "p3.png").write_bytes(b"no picture")
    for index in range(4):
        Image.new("L", (64, 64)).save(_images(data / "vmask", 0) / f"v{index}.png")


def _make_broken(data: Path) -> None:
    (data / "empty").mkdir()
    _images(data / "nested" / "sub")
    cut = _images(data / "trunc") / "p5.png"
    cut.write_bytes(cut.read_bytes()[:-400])
    (_images(data / "zero") / "p5.png").write_bytes(b"")
    frames = [Image.new("RGB", (512, 512), (index * 40, 0, 0)) for index in range(3)]
    frames[0].save(_images(data / "webp_anim") / "q.webp", save_all=True, append_images=frames[1:])
    (data / "webp_anim" / "q.txt").write_text("a cat")


def _make_archives(data: Path) -> None:
    image = io.BytesIO()
    Image.new("L", (512, 512)).save(image, "png")
    for folder, mode, has_captions in (("tar", "w", True), ("targz", "w:gz", True), ("tarnocap", "w", False)):
        (data / folder).mkdir()
        with tarfile.open(data / folder / "a.tar", mode) as archive:
            for name in _NAMES:
                member = tarfile.TarInfo(name)
                member.size = len(image.getvalue())
                archive.addfile(member, io.BytesIO(image.getvalue()))
        if has_captions:
            (data / folder / "captions.json").write_text(json.dumps(_CAPTIONS["json"]))


def _make_evaluations(data: Path) -> None:
    for name, folder in (("eval", "img"), ("eval2", "json"), ("eval_one", "one"), ("eval_nodir", "nowhere")):
        (data / f"{name}.toml").write_text(f"resolutions = [512]\n[[directory]]\npath = '{data}/{folder}'\n")
    (data / "eval_bad.toml").write_text("resolutions = [512\n[[directory]]\n")
