"""A program for the trainer's own Python that makes the pixels of media files with the trainer's own code.

It extracts the classes from the checkout (`models/base.py`, `utils/dataset.py`, `utils/common.py` and ComfyUI's video
reader) without importing modules that need a GPU. It reads one request per line of JSON on standard input. It writes
one answer per line: the size bucket and the shape of the pixels, or null where the trainer skips the file.
"""

import ast
import importlib.util
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import imageio
import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision import transforms


def take(path: Path, names: set[str], space: dict[str, Any]) -> None:
    """Execute the functions and classes of these names, without missing bases and methods."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in tree.body if getattr(node, "name", None) in names]
    exec(compile(ast.Module(nodes, []), str(path), "exec"), space)


def take_methods(path: Path, of: str, names: set[str], space: dict[str, Any]) -> type:
    """Return a class with some methods of one in the checkout."""
    [node] = [each for each in ast.parse(path.read_text()).body if getattr(each, "name", None) == of]
    assert isinstance(node, ast.ClassDef)
    node.body = [each for each in node.body if getattr(each, "name", None) in names]
    exec(compile(ast.Module([node], []), str(path), "exec"), space)
    return space[of]


def load_video_reader(comfy: Path) -> types.ModuleType:
    """Load ComfyUI's module of video files, with empty modules for its imports."""
    for name in ("comfy_api", "comfy_api.latest", "comfy_api.latest._input", "comfy_api.latest._util", "comfy"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["comfy.utils"] = types.ModuleType("comfy.utils")
    package = types.ModuleType("comfy_api.latest._input_impl")
    package.__path__ = []
    sys.modules[package.__name__] = package
    sys.modules["comfy_api.latest._input"].__dict__.update(AudioInput=dict, VideoInput=object)

    class Anything:
        AUTO = MP4 = MKV = WEBM = H264 = AV1 = "any"

    class Components:
        def __init__(self, **fields: Any) -> None:
            self.__dict__.update(fields)

    sys.modules["comfy_api.latest._util"].__dict__.update(
        VideoContainer=Anything, VideoCodec=Anything, VideoComponents=Components, normalize_crop_rect=None
    )
    place = comfy / "comfy_api/latest/_input_impl/video_types.py"
    spec = importlib.util.spec_from_file_location("comfy_api.latest._input_impl.video_types", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trainer:
    """The trainer's code, with the settings of one request."""

    def __init__(self, root: Path, comfy: Path) -> None:
        reader = load_video_reader(comfy)
        extensions = {
            cased for each in imageio.config.video_extensions for cased in (each.extension, each.extension.upper())
        }
        self.space: dict[str, Any] = {
            "torch": torch, "torchvision": torchvision, "transforms": transforms, "Image": Image, "ImageOps": ImageOps,
            "Path": Path, "np": np, "math": math, "VIDEO_EXTENSIONS": extensions, "ROUND_DECIMAL_DIGITS": 3,
            "InputImpl": types.SimpleNamespace(VideoFromFile=reader.VideoFromFile), "print": lambda *_: None,
        }  # fmt: skip
        take(root / "utils/common.py", {"round_to_nearest_multiple", "round_down_to_multiple"}, self.space)
        take(root / "models/base.py", {"convert_crop_and_resize", "PreprocessMediaFile"}, self.space)
        minimax = {**self.space, "FRAMERATE": 24}
        take(root / "models/minimax_h3.py", {"PreprocessMediaFileMinimax"}, minimax)
        self.minimax = minimax["PreprocessMediaFileMinimax"]
        take(root / "utils/dataset.py", {"dedup_and_sort"}, self.space)
        finders = {
            "_find_closest_ar_bucket", "_find_closest_size_bucket",
            "_process_user_provided_ars", "_process_user_provided_resolutions",
        }  # fmt: skip
        self.directory = take_methods(root / "utils/dataset.py", "DirectoryDataset", finders, self.space)

    def bucket(self, request: dict[str, Any], width: int, height: int, frames: int) -> list[int] | None:
        """Return the first size bucket of a file, as `DirectoryDataset` and `ARBucketDataset` find it."""
        dataset, space, settings = self.directory(), self.space, request["settings"]
        lengths = list(settings.get("frame_buckets", [1]))
        dataset.frame_buckets = np.array(sorted({1, *lengths}))
        log_ar = np.log(width / height)
        if sizes := settings.get("size_buckets"):
            sizes = sorted(sizes, key=lambda size: size[-1], reverse=True)
            dataset.size_buckets = np.array(sizes)
            dataset.log_ars = np.log(space["dedup_and_sort"](np.array([w / h for w, h, _ in sizes])))
            found = dataset._find_closest_size_bucket(log_ar, frames, frames > 1)
            return None if found is None else [int(part) for part in found]
        if not settings.get("enable_ar_bucket"):
            ars = np.array([1.0])
        elif settings.get("ar_buckets"):
            ars = dataset._process_user_provided_ars(settings["ar_buckets"])
        else:
            ars = np.geomspace(settings["min_ar"], settings["max_ar"], num=settings["num_ar_buckets"])
        dataset.ars = space["dedup_and_sort"](ars)
        dataset.log_ars = np.log(dataset.ars)
        found = dataset._find_closest_ar_bucket(log_ar, frames, frames > 1)
        if found is None:
            return None
        resolutions = space["dedup_and_sort"](dataset._process_user_provided_resolutions(settings["resolutions"]))
        area = resolutions[0] ** 2
        w = math.sqrt(area * found[0])
        to = request["round_to"]
        near = space["round_to_nearest_multiple"]
        return [near(w, to), near(area / w, to), int(found[1])]

    def make(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the bucket and the shape; write the pixels to the file in the request."""
        path, framerate = Path(request["path"]), request["framerate"]
        is_video = path.suffix in self.space["VIDEO_EXTENSIONS"]
        if is_video:
            video = self.space["InputImpl"].VideoFromFile(str(path))
            width, height = video.get_dimensions()
            if path.suffix.lower() == ".mkv":
                source_frames, height, width, _ = video.get_components().images.shape
            else:
                source_frames = video.get_frame_count()
            frames = int(source_frames * framerate / float(video.get_frame_rate()))
        else:
            with Image.open(path) as image:
                width, height = image.size
            frames = 1
        bucket = self.bucket(request, width, height, frames)
        if bucket is None:
            return None
        config = {"video_clip_mode": request["mode"]}
        if request["is_minimax"]:
            # Sound is not needed.
            make = self.minimax(config)
            make.support_audio = False
        else:
            make = self.space["PreprocessMediaFile"](
                config, support_video=framerate is not None, framerate=framerate,
                round_height=request["pixels_to"], round_width=request["pixels_to"], round_frames=request["frame_step"],
            )  # fmt: skip
        [(tensor, _, _)] = make((None, str(path)), None, tuple(bucket))
        pixels = tensor if tensor.ndim == 4 else tensor.unsqueeze(1)
        exact = pixels * 255
        whole = exact.round()
        assert (exact - whole).abs().max() < 1e-3
        array = whole.to(torch.uint8).permute(1, 2, 3, 0).contiguous().numpy()
        Path(request["target"]).write_bytes(array.tobytes())
        return {"bucket": bucket, "shape": list(array.shape)}


def main() -> None:
    """Answer each request."""
    trainer = Trainer(Path(sys.argv[1]), Path(sys.argv[2]))
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        try:
            answer = trainer.make(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
