import functools
import io
import json
import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from api.domain.tasks.training import GPURequest, TrainingPlan, TrainingRequest
from api.errors import Finding
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.models.slots import fingerprints_for
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import Check, Command, Launch
from tests.unit.files.weights.stand_ins import STAND_INS, Shapes, write_stand_in

PYTHON = sys.executable

#: Changes to a configuration without findings.
Change = Callable[[dict[str, Any]], Any]


def setting(**values: Any) -> Change:
    return lambda config: config.update(values)


def within(table: str, **values: Any) -> Change:
    return lambda config: config[table].update(values)


def without(name: str, table: str | None = None) -> Change:
    return lambda config: (config if table is None else config[table]).pop(name)


def make_root(tmp_path: Path) -> Path:
    root = tmp_path / "trainer"
    root.mkdir(exist_ok=True)
    (root / "train.py").write_text("")
    return root


def make_trainer(tmp_path: Path, budget_seconds: float = 60.0, allow_pickled_weights: bool = False) -> DiffusionPipe:
    root = make_root(tmp_path)
    return DiffusionPipe(root, PYTHON, budget_seconds, allow_pickled_weights=allow_pickled_weights)


@functools.cache
def _png(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, "png")
    return buffer.getvalue()


def write_image(path: Path, size: tuple[int, int] = (512, 512), caption: str | None = "a thing") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(_png(size))
    else:
        Image.new("L", size).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)
    return path


def make_images(directory: Path, count: int = 4, size: tuple[int, int] = (512, 512)) -> Path:
    for index in range(count):
        write_image(directory / f"{index}.png", size)
    return directory


def write_video(path: Path, frames: int, rate: int, size: tuple[int, int] = (512, 512)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        picture = np.zeros((size[1], size[0], 3), dtype=np.uint8)
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    path.with_suffix(".txt").write_text("it moves")


def write_safetensors(path: Path, tensors: Shapes | None = None) -> str:
    """A file with these tensors, not recognised as any model unless they match one."""
    return str(write_stand_in(path, tensors or {"w": [1]}, "F32"))


def write_right(path: Path, slot: str) -> str:
    """Write a file with the known tensors of a slot such as `flux.transformer_path`."""
    known = [each.name for each in fingerprints_for(slot) if each.name in STAND_INS]
    return str(write_stand_in(path, STAND_INS[known[0]] if known else {"w": [1]}))


#: The smallest content recognised as a complete torch pickle, which is a zip file.
PICKLE = b"PK\x03\x04" + bytes(60) + b"PK\x05\x06" + bytes(18)

#: The recognised Wan weights by type and width.
WAN_STAND_INS = {
    ("t2v", 1536): STAND_INS["wan-2.1-t2v-1.3b"],
    ("i2v", 1536): STAND_INS["wan-2.1-i2v-1.3b"],
    ("t2v", 5120): STAND_INS["wan-t2v-14b"],
    ("i2v", 5120): STAND_INS["wan-2.1-i2v-14b"],
    ("flf2v", 5120): STAND_INS["wan-2.1-flf2v-14b"],
    ("ti2v", 3072): STAND_INS["wan-2.2-ti2v-5b"],
}

WAN_CLIP = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"

#: A complete [model] of each type: files, and directories with their required content.
FILES = {
    "sdxl": "checkpoint_path",
    "ltx-video": "single_file_path",
    "cosmos": "transformer_path vae_path text_encoder_path",
    "lumina_2": "transformer_path llm_path vae_path",
    "chroma": "transformer_path",
    "cosmos_predict2": "transformer_path vae_path t5_path",
    "anima": "transformer_path vae_path llm_path",
    "qwen_image": "transformer_path text_encoder_path vae_path",
    "hunyuan_image": "transformer_path vae_path text_encoder_path byt5_path",
    "auraflow": "transformer_path text_encoder_path vae_path",
    "ltx2": "diffusion_model text_encoder",
    "minimax_h3": "diffusion_model vae audio_vae",
    **dict.fromkeys(
        ("z_image", "hunyuan_video_15", "flux2", "ernie_image", "ideogram4", "krea2"), "diffusion_model vae"
    ),
}
#: The text encoders that fit the first transformer of each type.
ENCODERS = {
    "z_image": "qwen-3-4b",
    "hunyuan_video_15": "qwen-2.5-vl-7b byt5-small-glyph",
    "flux2": "mistral-small-3",
    "ernie_image": "ministral-3-3b",
    "ideogram4": "qwen-3-vl-8b",
    "krea2": "qwen-3-vl-4b",
    "minimax_h3": "qwen-3-vl-32b",
}
DIRECTORIES = {
    "flux": "diffusers_path",
    "ltx-video": "diffusers_path",
    "hunyuan-video": "ckpt_path",
    "wan": "ckpt_path",
    "chroma": "diffusers_path",
    "hidream": "diffusers_path llama3_path",
    "sd3": "diffusers_path",
    "omnigen2": "diffusers_path",
}


def make_model(model_type: str, directory: Path) -> dict[str, Any]:
    """A complete [model] of each type, with files without data."""
    model: dict[str, Any] = {"type": model_type, "dtype": "bfloat16"}
    for name in FILES.get(model_type, "").split():
        model[name] = write_right(directory / f"{name}.safetensors", f"{model_type}.{name}")
    for name in DIRECTORIES.get(model_type, "").split():
        (directory / name / "transformer").mkdir(parents=True, exist_ok=True)
        model[name] = str(directory / name)
        if name == "llama3_path":
            write_right(directory / name / "model.safetensors", f"{model_type}.{name}")
    if "diffusers_path" in model:
        write_index(directory / "diffusers_path", model_type)
    if model_type == "hunyuan-video":
        make_hunyuan(directory / "ckpt_path")
    if model_type == "wan":
        make_wan(directory / "ckpt_path")
    if model_type == "auraflow":
        model["max_sequence_length"] = 256
    if "vae" in model:
        names, facts = ENCODERS[model_type].split(), MODELS[model_type]
        encoders = [str(write_stand_in(directory / f"{name}.safetensors", STAND_INS[name])) for name in names]
        files = {"path": encoders[0]} if facts.encoder_files == 1 else {"paths": encoders}
        model["text_encoders"] = [{**files, "type": facts.encoder_type}]
    return model


#: The pipeline that the trainer loads from `diffusers_path`.
PIPELINES = {
    **dict.fromkeys(("flux", "chroma"), "FluxPipeline"),
    "ltx-video": "LTXPipeline",
    "hidream": "HiDreamImagePipeline",
    "sd3": "StableDiffusion3Pipeline",
    "omnigen2": "OmniGen2Pipeline",
    "qwen_image": "QwenImagePipeline",
}


def write_index(directory: Path, model_type: str, **parts: list[str]) -> None:
    """The model_index.json of a model in the format of diffusers."""
    directory.mkdir(parents=True, exist_ok=True)
    index = {"_class_name": PIPELINES[model_type], **parts}
    (directory / "model_index.json").write_text(json.dumps(index))


def make_hunyuan(directory: Path) -> Path:
    """The directory of the original HunyuanVideo."""
    inner = directory / "hunyuan-video-t2v-720p"
    write_safetensors(inner / "transformers" / "mp_rank_00_model_states.pt")
    write_safetensors(inner / "vae" / "pytorch_model.pt")
    for part in ("text_encoder", "text_encoder_2"):
        write_right(directory / part / "model.safetensors", f"hunyuan-video.ckpt_path/{part}")
    return directory


def make_wan(directory: Path, kind: str = "t2v", width: int = 1536, tensors: Shapes | None = None) -> Path:
    """The directory of a Wan model. Its .pth files are pickles, as the trainer expects."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("Wan2.1_VAE.pth", "Wan2.2_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth", WAN_CLIP):
        (directory / name).write_bytes(PICKLE)
    write_safetensors(directory / "model.safetensors", tensors or WAN_STAND_INS.get((kind, width)))
    (directory / "google" / "umt5-xxl").mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({"model_type": kind, "dim": width}))
    return directory


def make_config(model: dict[str, Any]) -> dict[str, Any]:
    """A configuration without findings."""
    return {
        "epochs": 10,
        "micro_batch_size_per_gpu": 1,
        "pipeline_stages": 1,
        "gradient_accumulation_steps": 1,
        "save": {"every_n_epochs": 1, "checkpoint_every_n_minutes": 60},
        "model": model,
        "adapter": {"type": "lora", "rank": 16, "dtype": "bfloat16"},
        "optimizer": {"type": "adamw_optimi", "lr": 2e-5, "betas": [0.9, 0.99]},
    }


def make_dataset(directory: Path) -> dict[str, Any]:
    return {"resolutions": [512], "directories": [{"path": str(directory), "num_repeats": 1}]}


def besides_pickles(warnings: Sequence[Finding]) -> list[Finding]:
    """The findings without the unavoidable one that Wan's own files are pickles."""
    return [each for each in warnings if "can hold code" not in each.message]


class Case:
    """A request that can be changed before its check, and the trainer that checks it."""

    def __init__(self, tmp_path: Path, model_type: str = "sdxl") -> None:
        self.tmp_path = tmp_path
        self.images = make_images(tmp_path / "images")
        self.model_type = model_type
        self.config = make_config(make_model(model_type, tmp_path / "models"))
        self.dataset = make_dataset(self.images)
        if model_type == "cosmos":
            self.dataset = {
                "size_buckets": [[960, 960, 1]],
                "directories": [{"path": str(self.images), "size_buckets": [[960, 960, 1]]}],
            }
        self.gpus = 1
        self.output_dir = tmp_path / "task" / "output"
        # Some of Wan's files are pickles. Its original directory needs this permission.
        self.trainer = make_trainer(tmp_path, allow_pickled_weights=model_type == "wan")

    def request(self, **others: Any) -> TrainingRequest:
        return TrainingRequest(
            model_type=self.model_type,
            gpus=GPURequest(count=self.gpus),
            config=deepcopy(self.config),
            dataset=deepcopy(self.dataset),
            **others,
        )

    def check(self, **others: Any) -> Check:
        """Return the findings. Each must be a sentence with a remedy."""
        found = self.trainer.check(self.request(**others), self.output_dir)
        for mistake in (*found.errors, *found.warnings):
            assert mistake.remedy, mistake
            assert mistake.message.endswith("."), mistake
        return found

    def plan(self) -> TrainingPlan:
        """Return the plan of a request without errors."""
        plan = self.check().plan
        assert plan is not None
        return plan

    def errors(self) -> list[str]:
        """Return the pointers of the errors."""
        return [mistake.pointer for mistake in self.check().errors]

    def only_error(self) -> Finding:
        found = self.check()
        assert len(found.errors) == 1, found.errors
        return found.errors[0]

    def only_warning(self) -> Finding:
        """Return the only warning of a request without errors."""
        found = self.check()
        assert found.errors == ()
        assert len(found.warnings) == 1, found.warnings
        return found.warnings[0]

    def warnings(self) -> list[str]:
        """Return the pointers of the warnings of a request without errors."""
        found = self.check()
        assert found.errors == ()
        return [mistake.pointer for mistake in found.warnings]


def remarks(
    errors: Sequence[tuple[Change, str]] = (),
    warnings: Sequence[tuple[Change, str]] = (),
    nothing: Sequence[Change] = (),
) -> Callable[..., None]:
    """Test a table of changes: each causes one error or one warning at its pointer, or nothing."""
    rows = [
        *(pytest.param(change, Case.errors, [pointer], id=f"error {pointer}") for change, pointer in errors),
        *(pytest.param(change, Case.warnings, [pointer], id=f"warning {pointer}") for change, pointer in warnings),
        *(pytest.param(change, Case.warnings, [], id="nothing") for change in nothing),
    ]

    @pytest.mark.parametrize(("change", "found", "pointers"), rows)
    def test(case: Case, change: Change, found: Callable[[Case], list[str]], pointers: list[str]) -> None:
        change(case.config)
        assert found(case) == pointers

    return test


CONFIG_TOML = """\
# how it was done last time
output_dir = '/elsewhere'  # not here
dataset = '/elsewhere/dataset.toml'
epochs = 3
save_every_n_epochs = 1
checkpoint_every_n_minutes = 60

[model]
type = 'sdxl'
checkpoint_path = '{checkpoint}'
dtype = 'bfloat16'

[adapter]
type = 'lora'
rank = 16

[optimizer]   # as in the paper
type = 'adamw_optimi'
lr = 2e-5
betas = [0.9, 0.99]
"""

DATASET_TOML = """\
resolutions = [512]

[[directory]]
path = '{images}'  # all of them
"""


class TextCase:
    """Return the same request in text form."""

    def __init__(self, tmp_path: Path) -> None:
        self.images = make_images(tmp_path / "images")
        checkpoint = write_right(tmp_path / "models" / "xl.safetensors", "sdxl.checkpoint_path")
        self.config = CONFIG_TOML.format(checkpoint=checkpoint)
        self.dataset = DATASET_TOML.format(images=self.images)
        self.output_dir = tmp_path / "task" / "output"
        self.trainer = make_trainer(tmp_path)

    def request(self, **others: Any) -> TrainingRequest:
        return TrainingRequest(model_type="sdxl", config_toml=self.config, dataset_toml=self.dataset, **others)

    def check(self, **others: Any) -> Check:
        return self.trainer.check(self.request(**others), self.output_dir)

    def errors(self) -> list[str]:
        return [mistake.pointer for mistake in self.check().errors]


def launch(case: Case | TextCase, **others) -> Launch:
    return Launch(
        directory=case.output_dir.parent / "attempts" / "2",
        output_dir=case.output_dir,
        gpu_indices=(2, 3),
        master_port=29671,
        **others,
    )


def prepare(case: Case | TextCase, request=None, **others) -> Command:
    request = request or case.request()
    plan = case.trainer.check(request, case.output_dir).plan
    assert plan is not None
    return case.trainer.prepare(request, plan, launch(case, **others))
