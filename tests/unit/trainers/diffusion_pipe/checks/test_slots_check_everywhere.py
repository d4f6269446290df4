"""Every kind of known file in every slot of a model type.

Files that fit are accepted. Others are rejected with their content and the files that fit.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.errors import Finding
from api.files.weights.fingerprints.text_encoders import LANGUAGE_MODELS
from api.files.weights.recognition import FINGERPRINTS
from api.trainers.diffusion_pipe.checks.model_check import check_model
from api.trainers.diffusion_pipe.checks.weights_check import check_files
from api.trainers.diffusion_pipe.config.document import TrainerDocument
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.models.description import PathKind
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.diffusion_pipe.models.slots import fingerprints_for, slots_of
from tests.lengths import IN_FULL
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
class Slot:
    """A slot for a file: `fingerprint_slot` as in the table of fingerprints, `part` below the directory of a model."""

    model_type: str
    key: str
    fingerprint_slot: str
    part: str | None = None
    is_folder: bool = False

    @property
    def right(self) -> set[str]:
        """The fingerprints that fit the slot, according to the trainer's code."""
        if self.fingerprint_slot == "anima.t5_path":
            return {"t5-xxl-old"}
        if self.fingerprint_slot.endswith(".llm_adapter_path"):
            return {"anima-llm-adapter"}
        if (
            self.fingerprint_slot.endswith(".llm_path")
            and self.model_type in ("anima", "cosmos_predict2")
            and self.is_folder
        ):
            return set(LANGUAGE_MODELS)
        return {each.name for each in fingerprints_for(self.fingerprint_slot)}

    def prepare(self, directory: Path) -> tuple[Path, Any]:
        """The path of the file, and the value in the configuration."""
        if self.key == "text_encoders":
            return directory / _NAME, [{"path": str(directory / _NAME), "type": MODELS[self.model_type].encoder_type}]
        if self.part is not None and self.key == "diffusers_path":
            write_index(directory, self.model_type)
            for part in ("transformer", "text_encoder", "vae") if self.model_type == "qwen_image" else ():
                write_safetensors(directory / part / _NAME)
        elif self.fingerprint_slot.startswith("wan.ckpt_path"):
            make_wan(directory)
        elif self.fingerprint_slot.startswith("hunyuan-video.ckpt_path"):
            make_hunyuan(directory)
        named = directory if self.part is not None or self.is_folder else directory / _NAME
        return directory / (self.part or "") / _NAME, str(named)


def slots(model_type: str) -> Iterator[Slot]:
    facts = MODELS[model_type]
    known = {slot for each in FINGERPRINTS for slot in slots_of(each.name)}
    for key, kind in facts.kinds.items():
        slot = f"{model_type}.{key}"
        for inner in sorted(each for each in known if each.startswith(f"{slot}/") and not slot.startswith("wan.")):
            if part := inner.removeprefix(f"{slot}/"):
                yield Slot(model_type, key, inner, part)
        if kind not in _FOLDERS:
            yield Slot(model_type, key, slot)
        has_parts = key == "diffusers_path" or slot == "hunyuan-video.ckpt_path"
        if kind in (PathKind.WEIGHTS, PathKind.EITHER) or (kind in _FOLDERS and not has_parts):
            yield Slot(model_type, key, slot, is_folder=True)
    if "text_encoders" in facts.keys:
        yield Slot(model_type, "text_encoders", f"{model_type}.text_encoders")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "given"


def check(slot: Slot, named: Any, root: Path, **others: Any) -> list[Finding]:
    return errors_of(slot, find(slot, named, root, **others))


def find(slot: Slot, named: Any, root: Path, **others: Any) -> Findings:
    model = {"type": slot.model_type, "dtype": "bfloat16", slot.key: named, **others}
    config = TrainerDocument({"model": model, "adapter": {"type": "lora", "rank": 8}}, "/config")
    # Some of Wan's own files are pickles.
    findings = Findings(accepts_risks=slot.model_type == "wan")
    check_model(config, slot.model_type, root, findings)
    check_files(config, slot.model_type, root, findings)
    return findings


def errors_of(slot: Slot, findings: Findings) -> list[Finding]:
    # A text encoder of two files lacks one here, and other paths of the type are missing, too.
    return [
        each
        for each in findings.errors
        if each.pointer.startswith(f"/config/model/{slot.key}")
        and not each.pointer.endswith("/paths")
        and "needs 2 files" not in each.message
    ]


def prepare(slot: Slot, directory: Path) -> tuple[Path, Any]:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    return slot.prepare(directory)


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_each_slot_accepts_its_files_and_rejects_others(directory: Path, model_type: str):
    wrong = []
    for place, slot in enumerate(slots(model_type)):
        at, named = prepare(slot, directory)
        for number, (name, shapes) in enumerate(STAND_INS.items()):
            # Each slot rejects another quarter of the files.
            if not IN_FULL and name not in slot.right and (number + place) % 4:
                continue
            found = check(slot, named, write_stand_in(at, shapes).parent)
            if name in slot.right:
                # For a Wan directory, config.json names the model.
                is_taken = not [each for each in found if "config.json names" not in each.message]
            else:
                is_taken = any(f" is {TITLES[name]}" in each.message for each in found) and any(
                    str(each.remedy).startswith(("Set the path of ", "Download it from")) for each in found
                )
            if not is_taken:
                wrong.append((slot.fingerprint_slot, slot.part, name, [each.message for each in found]))
    assert wrong == []


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_unrecognised_file_is_a_warning_and_one_without_tensors_an_error(directory: Path, model_type: str):
    wrong = []
    for slot in slots(model_type):
        at, named = prepare(slot, directory)
        write_stand_in(at, {"some.layer.weight": [4, 4]})
        found = find(slot, named, at.parent)
        is_reported = any("is not recognised" in each.message for each in found.warnings)
        if slot.right and not is_reported:
            wrong.append((slot.fingerprint_slot, slot.part, "unknown", [each.message for each in found.warnings]))
        write_stand_in(at, {})
        found = find(slot, named, at.parent)
        if not any("contains no tensors" in each.message for each in found.errors):
            wrong.append((slot.fingerprint_slot, slot.part, "empty", [each.message for each in found.errors]))
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


_SHORT = "download it again"

#: By name: how to create it, part of the finding, and whether ComfyUI's code loads it.
BROKEN: Mapping[str, tuple[Callable[[Path, Shapes], object], str, bool]] = {
    "empty": (_bytes(b""), "is empty", False),
    "a pointer of Git LFS": (_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git LFS", False),
    "an error page": (_bytes(b"\n<!DOCTYPE html><html>401</html>"), "is a web page", False),
    "an error in words": (_bytes(b'{"error": "Repository not found"}'), "safetensors file", False),
    "GGUF": (_bytes(b"GGUF\3\0\0\0"), "a GGUF file", False),
    "a pickle in disguise": (_bytes(b"\x80\x02}q\x00." + bytes(60)), "is a pickle", False),
    "torch's zip in disguise": (_bytes(b"PK\x03\x04" + bytes(60)), "a pickled checkpoint of torch", False),
    "half a download": (_cut, _SHORT, False),
    "a header that ends early": (_cut_in_its_header, _SHORT, False),
    "a file with bytes behind it": (_too_long, "longer than its header states", False),
    "fp8 with scales": (_with("F8_E4M3", "scaled_fp8", "a.scale_weight"), "quantised in fp8 with scales", True),
    "ComfyUI's scales": (_with("F8_E4M3", "a.weight_scale", "a.comfy_quant"), "quantised in ComfyUI's format", True),
    "ComfyUI's metadata": (_with("U8", metadata={"_quantization_metadata": "{}"}), "ComfyUI's format", True),
    "nf4": (_with("U8", "a.weight.quant_state.bitsandbytes__nf4"), "quantised in the format of bitsandbytes", False),
    "Nunchaku": (_with("U8", "a.qweight", "a.wscales"), "quantised in the format of Nunchaku", False),
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
def test_incomplete_model_is_rejected_in_each_slot(directory: Path, model_type: str):
    wrong = []
    for slot in slots(model_type):
        shapes = next((STAND_INS[name] for name in sorted(slot.right)), {"w": [4, 4]})
        at, named = prepare(slot, directory)
        for name, (write, message, is_for_comfy) in BROKEN.items():
            write(at, shapes)
            found = check(slot, named, directory)
            is_reported = any(message in each.message for each in found)
            if is_reported is (is_for_comfy and MODELS[model_type].comfy):
                wrong.append((slot.fingerprint_slot, slot.part, name, [each.message for each in found]))
    assert wrong == []


@pytest.mark.parametrize("model_type", sorted(MODELS))
def test_single_shard_is_rejected(directory: Path, model_type: str):
    part = "model-00001-of-00002.safetensors"
    for slot in slots(model_type):
        at, named = prepare(slot, directory)
        at.unlink(missing_ok=True)
        name = sorted(slot.right)[:1]
        write_stand_in(at.with_name(part), STAND_INS[name[0]] if name else {"w": [4, 4]})
        if isinstance(named, str):
            named = named.replace(_NAME, part)
        else:
            named = [{**each, "path": each["path"].replace(_NAME, part)} for each in named]
        assert any(
            "00002-of-00002.safetensors" in each.message or "one of several parts" in each.message
            for each in check(slot, named, directory)
        ), slot
