"""Every kind of file that is known here, in every place where a model type takes one: what belongs there is taken, and
what does not is refused with what it is and what belongs there.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.errors import Mistake
from api.files.weights.fingerprints.table import FINGERPRINTS, what_belongs
from api.files.weights.fingerprints.text_encoders import LANGUAGE_MODELS
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_check import check_model
from api.trainers.diffusion_pipe.model_types import MODELS, PathKind
from api.trainers.diffusion_pipe.weights_check import check_files
from tests.unit.files.weights.stand_ins import STAND_INS, Shapes, header_bytes, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import (
    make_hunyuan,
    make_wan,
    write_index,
    write_safetensors,
)

TITLES = {each.name: each.title for each in FINGERPRINTS}
_NAME = "model.safetensors"
_FOLDERS = (PathKind.DIRECTORY, PathKind.PRETRAINED)


@dataclass(frozen=True)
class Place:
    """Where a file can stand: `slot` as the table of fingerprints has it, `part` below a directory that is a model."""

    model_type: str
    key: str
    slot: str
    part: str | None = None
    is_folder: bool = False

    @property
    def right(self) -> set[str]:
        """The fingerprints of what belongs there, as the trainer's code has it."""
        if self.slot == "anima.t5_path":
            return {"t5-xxl-old"}
        if self.slot.endswith(".llm_adapter_path"):
            return {"anima-llm-adapter"}
        if self.slot.endswith(".llm_path") and self.model_type in ("anima", "cosmos_predict2") and self.is_folder:
            return set(LANGUAGE_MODELS)
        return {each.name for each in what_belongs(self.slot)}

    def prepare(self, directory: Path) -> tuple[Path, Any]:
        """The path at which a file is put, and what the configuration names."""
        if self.key == "text_encoders":
            return directory / _NAME, [{"path": str(directory / _NAME), "type": MODELS[self.model_type].encoder_type}]
        if self.part is not None and self.key == "diffusers_path":
            write_index(directory, self.model_type)
            for part in ("transformer", "text_encoder", "vae") if self.model_type == "qwen_image" else ():
                write_safetensors(directory / part / _NAME)
        elif self.slot.startswith("wan.ckpt_path"):
            make_wan(directory)
        elif self.slot.startswith("hunyuan-video.ckpt_path"):
            make_hunyuan(directory)
        named = directory if self.part is not None or self.is_folder else directory / _NAME
        return directory / (self.part or "") / _NAME, str(named)


def places(model_type: str) -> Iterator[Place]:
    facts = MODELS[model_type]
    slots = {slot for each in FINGERPRINTS for slot in each.slots}
    for key, kind in facts.kinds.items():
        slot = f"{model_type}.{key}"
        for inner in sorted(each for each in slots if each.startswith(f"{slot}/") and not slot.startswith("wan.")):
            if part := inner.removeprefix(f"{slot}/"):
                yield Place(model_type, key, inner, part)
        if kind not in _FOLDERS:
            yield Place(model_type, key, slot)
        has_parts = key == "diffusers_path" or slot == "hunyuan-video.ckpt_path"
        if kind in (PathKind.WEIGHTS, PathKind.EITHER) or (kind in _FOLDERS and not has_parts):
            yield Place(model_type, key, slot, is_folder=True)
    if "text_encoders" in facts.keys:
        yield Place(model_type, "text_encoders", f"{model_type}.text_encoders")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "given"


def check(place: Place, named: Any, root: Path, **others: Any) -> list[Mistake]:
    return errors_of(place, find(place, named, root, **others))


def find(place: Place, named: Any, root: Path, **others: Any) -> Findings:
    model = {"type": place.model_type, "dtype": "bfloat16", place.key: named, **others}
    config = TrainerDocument({"model": model, "adapter": {"type": "lora", "rank": 8}}, "/config")
    # Some of Wan's own files are pickles.
    findings = Findings(accepts_risks=place.model_type == "wan")
    check_model(config, place.model_type, root, findings)
    check_files(config, place.model_type, root, findings)
    return findings


def errors_of(place: Place, findings: Findings) -> list[Mistake]:
    # A text encoder of two files is told to lack one, and what else the type needs is named besides.
    return [
        each
        for each in findings.errors
        if each.pointer.startswith(f"/config/model/{place.key}")
        and not each.pointer.endswith("/paths")
        and "is made of 2 files" not in each.message
    ]


def prepare(place: Place, directory: Path) -> tuple[Path, Any]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return place.prepare(directory)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_place_takes_what_belongs_there_and_names_all_else(directory: Path, model_type: str):
    wrong = []
    for place in places(model_type):
        at, named = prepare(place, directory)
        for name, shapes in STAND_INS.items():
            found = check(place, named, write_stand_in(at, shapes).parent)
            if name in place.right:
                # Of a directory of Wan config.json tells which of its models it is.
                is_taken = not [each for each in found if "config.json tells" not in each.message]
            else:
                is_taken = any(f" is {TITLES[name]}" in each.message for each in found) and any(
                    str(each.remedy).startswith(("Here belongs ", "Download it from")) for each in found
                )
            if not is_taken:
                wrong.append((place.slot, place.part, name, [each.message for each in found]))
    assert wrong == []


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_file_that_is_not_recognised_is_warned_of_and_one_without_tensors_refused(directory: Path, model_type: str):
    wrong = []
    for place in places(model_type):
        at, named = prepare(place, directory)
        write_stand_in(at, {"some.layer.weight": [4, 4]})
        found = find(place, named, at.parent)
        is_told = any("is not recognised" in each.message for each in found.warnings)
        if place.right and not is_told:
            wrong.append((place.slot, place.part, "unknown", [each.message for each in found.warnings]))
        write_stand_in(at, {})
        found = find(place, named, at.parent)
        if not any("holds no tensors" in each.message for each in found.errors):
            wrong.append((place.slot, place.part, "empty", [each.message for each in found.errors]))
    assert wrong == []


def _bytes(content: bytes) -> Callable[[Path, Shapes], object]:
    def write(at: Path, shapes: Shapes) -> None:
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)

    return write


def _cut(at: Path, shapes: Shapes) -> None:
    write_stand_in(at, shapes)
    os.truncate(at, at.stat().st_size - 1)


def _cut_in_its_header(at: Path, shapes: Shapes) -> None:
    _bytes(header_bytes(shapes)[0][:-9])(at, shapes)


def _too_long(at: Path, shapes: Shapes) -> None:
    write_stand_in(at, shapes)
    os.truncate(at, at.stat().st_size + 1)


def _with(kind: str, *more: str, metadata: Mapping[str, str] | None = None) -> Callable[[Path, Shapes], object]:
    return lambda at, shapes: write_stand_in(at, {**shapes, **{name: [1] for name in more}}, kind, metadata)


def _adapter(*names: str) -> Callable[[Path, Shapes], object]:
    return lambda at, shapes: write_stand_in(at, {name: [8, 8] for name in names})


_SHORT = "downloaded to its end"

#: By name: how it is made, what is said of it, and whether ComfyUI's code takes it.
BROKEN: Mapping[str, tuple[Callable[[Path, Shapes], object], str, bool]] = {
    "empty": (_bytes(b""), "is empty", False),
    "a pointer of Git LFS": (_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS", False),
    "an error page": (_bytes(b"\n<!DOCTYPE html><html>401</html>"), "a page of a web site", False),
    "an error in words": (_bytes(b'{"error": "Repository not found"}'), "is no safetensors file", False),
    "GGUF": (_bytes(b"GGUF\3\0\0\0"), "a GGUF file", False),
    "a pickle in disguise": (_bytes(b"\x80\x02}q\x00." + bytes(60)), "is a pickle", False),
    "torch's zip in disguise": (_bytes(b"PK\x03\x04" + bytes(60)), "a pickled checkpoint of torch", False),
    "half a download": (_cut, _SHORT, False),
    "a header that ends early": (_cut_in_its_header, _SHORT, False),
    "a file with bytes behind it": (_too_long, "more than its header tells of", False),
    "fp8 with scales": (_with("F8_E4M3", "scaled_fp8", "a.scale_weight"), "quantised, in fp8 with scales", True),
    "ComfyUI's scales": (_with("F8_E4M3", "a.weight_scale", "a.comfy_quant"), "quantised, in ComfyUI's form", True),
    "ComfyUI's metadata": (_with("U8", metadata={"_quantization_metadata": "{}"}), "ComfyUI's form", True),
    "nf4": (_with("U8", "a.weight.quant_state.bitsandbytes__nf4"), "quantised, in bitsandbytes' form", False),
    "Nunchaku": (_with("U8", "a.qweight", "a.wscales"), "quantised, in Nunchaku's form", False),
    "a LoRA of the trainer's": (
        _adapter("diffusion_model.a.lora_A.weight", "diffusion_model.a.lora_B.weight"),
        "is an adapter (lora)",
        False,
    ),
    "a LoRA of diffusers'": (_adapter("transformer.a.lora_A.weight"), "is an adapter (lora)", False),
    "a LoRA of kohya's": (_adapter("lora_unet_a.lora_down.weight"), "is an adapter (lora)", False),
    "a LoKr": (_adapter("diffusion_model.a.lokr_w1", "diffusion_model.a.lokr_w2"), "is an adapter (lokr)", False),
}


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_what_is_no_whole_model_is_refused_in_each_place_by_what_it_is(directory: Path, model_type: str):
    wrong = []
    for place in places(model_type):
        shapes = next((STAND_INS[name] for name in sorted(place.right)), {"w": [4, 4]})
        at, named = prepare(place, directory)
        for name, (write, says, is_for_comfy) in BROKEN.items():
            write(at, shapes)
            found = check(place, named, directory)
            is_told = any(says in each.message for each in found)
            if is_told is (is_for_comfy and MODELS[model_type].comfy):
                wrong.append((place.slot, place.part, name, [each.message for each in found]))
    assert wrong == []


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_one_part_of_several_is_no_model(directory: Path, model_type: str):
    part = "model-00001-of-00002.safetensors"
    for place in places(model_type):
        at, named = prepare(place, directory)
        at.unlink(missing_ok=True)
        name = sorted(place.right)[:1]
        write_stand_in(at.with_name(part), STAND_INS[name[0]] if name else {"w": [4, 4]})
        if isinstance(named, str):
            named = named.replace(_NAME, part)
        else:
            named = [{**each, "path": each["path"].replace(_NAME, part)} for each in named]
        assert any(
            "00002-of-00002.safetensors" in each.message or "one part of several" in each.message
            for each in check(place, named, directory)
        ), place
