"""Rules that a later reading of the trainer's code found: what it fails on, what it ignores, and what it accepts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.files.weights.stand_ins import STAND_INS, write_stand_in
from tests.unit.trainers.diffusion_pipe.builders import (
    Case,
    Change,
    TextCase,
    make_images,
    setting,
    within,
    write_image,
    write_safetensors,
    write_video,
)

OPTIMIZER = "/config/optimizer"
PATH = "/dataset/directories/0/path"


def optimizer(**values: Any) -> Change:
    return setting(optimizer={"lr": 1e-4, **values})


#: Model type, GPUs, change, pointer, and words of the message or remedy.
ERRORS: list[tuple[str, int, Change, str, str]] = [
    ("sdxl", 1, optimizer(type="adamw", foreach=True, fused=True), f"{OPTIMIZER}/foreach", "fused"),
    ("sdxl", 1, optimizer(type="Ranger21"), f"{OPTIMIZER}/num_iterations", "number of steps"),
    ("sdxl", 1, optimizer(type="AdEMAMix", betas=[0.9, 0.99]), f"{OPTIMIZER}/betas", "3 betas"),
    ("sdxl", 1, optimizer(type="Adan", betas=[0.9, 0.99]), f"{OPTIMIZER}/betas", "3 betas"),
    ("sdxl", 1, optimizer(type="SOAP", precondition_frequency=0), f"{OPTIMIZER}/precondition_frequency", "above 0"),
    ("sdxl", 1, optimizer(type="AdamMini"), f"{OPTIMIZER}/type", "takes `model`"),
    ("sdxl", 1, optimizer(type="LOMO"), f"{OPTIMIZER}/type", "takes `model`"),
    ("sdxl", 1, optimizer(type="SAM"), f"{OPTIMIZER}/type", "takes `base_optimizer`"),
    ("sdxl", 1, optimizer(type="Lookahead"), f"{OPTIMIZER}/type", "takes `optimizer`"),
    ("sdxl", 1, optimizer(type="AliG"), f"{OPTIMIZER}/type", "several times"),
    ("sdxl", 1, optimizer(type="SophiaH"), f"{OPTIMIZER}/type", "second derivatives"),
    ("sdxl", 1, optimizer(type="Muon"), f"{OPTIMIZER}/type", "genericoptim"),
    ("wan", 1, setting(adapter={"type": "lokr", "rank": 16.0}), "/config/adapter/rank", "whole number"),
    ("flux", 1, within("adapter", exclude_modules=".*"), "/config/adapter/exclude_modules", "all modules"),
    ("flux", 1, within("adapter", exclude_modules="(a"), "/config/adapter/exclude_modules", "regular expression"),
    ("sdxl", 1, setting(epochs=0, lr_scheduler="cosine"), "/config/epochs", "divide by zero"),
    (
        "flux",
        2,
        setting(pipeline_stages=2, partition_method="manual", partition_split=[400]),
        "/config/partition_split/0",
        "last stage",
    ),
    ("sdxl", 1, setting(save={"every_n_epochs": 0}), "/config/save/every_n_epochs", "divide by zero"),
    ("sdxl", 1, setting(logging_steps=0), "/config/logging_steps", "Set 1 or more"),
    ("hunyuan-video", 1, within("model", guidance="1.0"), "/config/model/guidance", "quotes"),
    ("flux", 1, within("model", timestep_sample_method="normal"), "/config/model/timestep_sample_method", "uniform"),
    ("sdxl", 1, within("optimizer", blocks_to_swap=4), f"{OPTIMIZER}/blocks_to_swap", "above the first table"),
]

WARNINGS: list[tuple[str, Change, str, str]] = [
    ("sdxl", optimizer(type="ScheduleFreeAdamW"), f"{OPTIMIZER}/type", "averages"),
    ("sdxl", optimizer(type="Prodigy", fast=True), f"{OPTIMIZER}/fast", "ignores"),
    ("sdxl", within("optimizer", lr=0), f"{OPTIMIZER}/lr", "nothing is learned"),
    ("sdxl", within("optimizer", lr=2e5), f"{OPTIMIZER}/lr", "exponent"),
    ("sdxl", within("model", min_snr_gamma=0), "/config/model/min_snr_gamma", "by 0"),
    ("flux", within("adapter", dropout=1.0), "/config/adapter/dropout", "nothing"),
    ("sdxl", within("adapter", exclude_modules=["a"]), "/config/adapter/exclude_modules", "not read"),
    ("sdxl", setting(lr_scheduler="linear", epochs=1000, max_steps=10), "/config/max_steps", "hardly"),
    (
        "sdxl",
        setting(lr_scheduler="cosine", optimizer={"type": "adamw", "lr": 1e-7}),
        "/config/lr_scheduler",
        "rises",
    ),
    (
        "sdxl",
        setting(save={"every_n_examples": 8, "every_n_steps": 4, "checkpoint_every_n_minutes": 60}),
        "/config/save/every_n_steps",
        "precedence",
    ),
    ("sdxl", setting(reentrant_activation_checkpointing=True), "/config/reentrant_activation_checkpointing", "ignored"),
    (
        "sdxl",
        setting(gradient_clipping=1.0, optimizer={"type": "adamw", "lr": 1e-4, "gradient_release": True}),
        "/config/gradient_clipping",
        "does not clip",
    ),
    ("flux", within("model", guidance="3.5"), "/config/model/guidance", "quotes"),
    ("sdxl", setting(micro_batch_size_per_gpu=[[512, 2, 9]]), "/config/micro_batch_size_per_gpu/0", "first two"),
    ("anima", within("model", multiscale_loss_weight=0.5), "/config/model/multiscale_loss_weight", "922"),
]


@pytest.mark.parametrize(("model_type", "gpus", "change", "pointer", "words"), ERRORS)
def test_setting_that_fails_is_an_error_that_names_the_cause(
    tmp_path: Path, model_type: str, gpus: int, change: Change, pointer: str, words: str
):
    case = Case(tmp_path, model_type)
    case.gpus = gpus
    change(case.config)
    mistake = case.only_error()
    assert mistake.pointer == pointer
    assert words in f"{mistake.message} {mistake.remedy}"


@pytest.mark.parametrize(("model_type", "change", "pointer", "words"), WARNINGS)
def test_setting_without_meaning_is_a_warning(
    tmp_path: Path, model_type: str, change: Change, pointer: str, words: str
):
    case = Case(tmp_path, model_type)
    change(case.config)
    mistake = case.only_warning()
    assert mistake.pointer == pointer
    assert words in f"{mistake.message} {mistake.remedy}"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("resolutions", [-512], "minus"), ("num_repeats", True, "number 1")],
)
def test_odd_value_of_a_dataset_is_accepted(case: Case, key: str, value: Any, words: str):
    if key == "num_repeats":
        del case.dataset["directories"][0]["num_repeats"]
    case.dataset[key] = value
    assert words in case.only_warning().message


def test_text_that_only_the_trainer_can_read_is_accepted(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("2e-5", "2.e-5")
    found = case.check()
    assert found.errors == ()
    assert found.plan is not None
    assert "lr = 2.0e-5" in found.plan.files["config.toml"]


def test_endless_epochs_with_a_limit_of_steps_are_accepted(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = case.config.replace("epochs = 3", "epochs = inf\nmax_steps = 7")
    found = case.check()
    assert found.errors == found.warnings == ()
    assert found.plan is not None
    assert found.plan.total_steps == 7


def add_second(case: Case) -> Path:
    second = case.tmp_path / "second"
    second.mkdir()
    case.dataset["directories"].append({"path": str(second)})
    return second


def test_directory_without_captions_beside_a_good_one_is_a_warning(case: Case):
    write_image(add_second(case) / "a.png", caption=None)
    mistake = case.only_warning()
    assert mistake.pointer == "/dataset/directories/1/path"
    assert "caption" in mistake.message


def test_directory_of_short_videos_beside_a_good_one_is_a_warning(tmp_path: Path):
    case = Case(tmp_path, "wan")
    case.dataset["frame_buckets"] = [33]
    write_video(add_second(case) / "a.mp4", 5, 16)
    found = case.check()
    assert found.errors == ()
    assert any("fit no bucket" in each.message for each in found.warnings)


def many_repeats(case: Case) -> None:
    case.dataset["directories"][0]["num_repeats"] = 1e9


def block_cache(case: Case) -> None:
    (case.images / "cache").write_text("")


def numbers_as_captions(case: Case) -> None:
    (case.images / "captions.json").write_text('{"0.png": [1], "1.png": ["a"], "2.png": ["a"], "3.png": ["a"]}')


def marked_json(case: Case) -> None:
    (case.images / "captions.json").write_text('\ufeff{"0.png": ["a"]}')


def empty_delimiter(case: Case) -> None:
    case.dataset.update(cache_shuffle_num=2, cache_shuffle_delimiter="")


def heic_only(case: Case) -> None:
    for image in case.images.glob("*.png"):
        image.rename(image.with_suffix(".heic"))


def upper_case_captions(case: Case) -> None:
    for caption in case.images.glob("*.txt"):
        caption.rename(caption.with_suffix(".TXT"))


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        (many_repeats, "/dataset/directories/0/num_repeats", "in memory"),
        (block_cache, PATH, "The file cache is in the way"),
        (numbers_as_captions, PATH, "list of strings"),
        (marked_json, PATH, "byte-order mark"),
        (empty_delimiter, "/dataset/cache_shuffle_delimiter", "empty delimiter"),
        (heic_only, PATH, "All 4 files are .heic, which no model type can read. Convert them to JPEG"),
        (upper_case_captions, PATH, "4 captions end in .TXT"),
    ],
)
def test_dataset_that_fails_is_an_error_that_names_the_cause(
    case: Case, change: Callable[[Case], None], pointer: str, words: str
):
    change(case)
    mistake = case.only_error()
    assert mistake.pointer == pointer
    assert words in f"{mistake.message} {mistake.remedy}"


def test_captions_by_whole_path_train_sdxl_without_captions(case: Case):
    (case.images / "captions.json").write_text('{"0.png": ["a"], "1.png": ["a"], "2.png": ["a"], "3.png": ["a"]}')
    case.dataset["online_captions"] = True
    assert "empty captions" in case.only_warning().message


def test_caption_with_a_byte_order_mark_is_a_warning(case: Case):
    (case.images / "0.txt").write_text("\ufeffa thing")
    assert "byte-order mark" in case.only_warning().message


def test_animated_gif_is_a_still_image(tmp_path: Path):
    case = Case(tmp_path, "wan")
    frames = [Image.new("RGB", (512, 512), color) for color in ("red", "blue")]
    frames[0].save(case.images / "moving.gif", save_all=True, append_images=frames[1:])
    (case.images / "moving.txt").write_text("it moves")
    assert any("1 of 5 files are animated GIFs" in each.message for each in case.check().warnings)


def test_loss_at_several_scales_fails_on_large_videos(tmp_path: Path):
    case = Case(tmp_path, "cosmos_predict2")
    case.config["model"]["multiscale_loss_weight"] = 0.5
    case.dataset.update(resolutions=[960], frame_buckets=[1, 33])
    write_video(case.images / "a.mp4", 80, 16)
    assert case.errors() == ["/config/model/multiscale_loss_weight"]


def test_fused_adapter_of_chroma_is_a_directory(tmp_path: Path):
    case = Case(tmp_path, "chroma")
    case.config["adapter"]["fuse_adapters"] = [{"path": write_safetensors(tmp_path / "a.safetensors")}]
    assert case.errors() == ["/config/adapter/fuse_adapters/0/path"]
    write_safetensors(tmp_path / "lora" / "adapter_model.safetensors")
    (tmp_path / "lora" / "adapter_config.json").write_text("{}")
    case.config["adapter"]["fuse_adapters"] = [{"path": str(tmp_path / "lora")}]
    assert case.errors() == []


def test_rank_of_an_existing_adapter_is_used(tmp_path: Path):
    case = Case(tmp_path, "flux")
    adapter = write_safetensors(tmp_path / "a.safetensors", {"a.lora_A.weight": [8, 4]})
    case.config["adapter"]["init_from_existing"] = adapter
    assert case.only_warning().pointer == "/config/adapter/rank"


@pytest.mark.parametrize(
    ("settings", "errors", "warnings"),
    [
        ("resolutions = [512]", 0, 0),
        ("resolutions = [256]", 0, 1),
        ("resolutions = [512]\nenable_ar_bucket = true\nar_buckets = [1.0, 1.5]", 0, 1),
        ("resolutions = [512]\nenable_ar_bucket = true\nar_buckets = [1.5, 2.0]", 1, 0),
        ("resolutions = [512]\nskip_empty_caption = false", 0, 1),
        ("resolutions = [512]\nshuffle_metadata = false", 0, 1),
        ("resolutions = [512]\ncaption_prefix = 'a '", 1, 0),
    ],
)
def test_evaluation_on_the_training_directory_shares_its_cache(case: Case, settings: str, errors: int, warnings: int):
    file = case.tmp_path / "eval.toml"
    file.write_text(f"{settings}\n[[directory]]\npath = '{case.images}'\n")
    case.config["eval"] = {"datasets": [{"name": "e", "config": str(file)}], "every_n_epochs": 1}
    found = case.check()
    assert (len(found.errors), len(found.warnings)) == (errors, warnings)
    assert all("one cache" in each.message for each in (*found.errors, *found.warnings))


def test_two_evaluations_on_one_directory_share_its_cache(case: Case):
    make_images(case.tmp_path / "other")
    entries = []
    for name, prefix in (("a", ""), ("b", "caption_prefix = 'x '\n")):
        file = case.tmp_path / f"{name}.toml"
        file.write_text(f"resolutions = [512]\n{prefix}[[directory]]\npath = '{case.tmp_path / 'other'}'\n")
        entries.append({"name": name, "config": str(file)})
    case.config["eval"] = {"datasets": entries, "every_n_epochs": 1}
    assert case.only_error().pointer == "/config/eval/datasets/1/config"


def test_evaluation_on_other_files_has_its_own_settings(case: Case):
    make_images(case.tmp_path / "other")
    file = case.tmp_path / "eval.toml"
    file.write_text(f"resolutions = [256]\ncaption_prefix = 'a '\n[[directory]]\npath = '{case.tmp_path / 'other'}'\n")
    case.config["eval"] = {"datasets": [{"name": "e", "config": str(file)}], "every_n_epochs": 1}
    assert case.warnings() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$HOME/models/x", "`$HOME` is not resolved"),
        ("~/models/x", "`~` is not resolved"),
        ("/models/x ", "space"),
        ("C:\\models\\x", "backslashes"),
    ],
)
def test_missing_path_names_the_cause(case: Case, text: str, words: str):
    case.config["model"]["checkpoint_path"] = text
    assert words in case.only_error().message


def test_link_to_nothing_is_named(case: Case):
    (case.tmp_path / "link").symlink_to("/nowhere")
    case.config["model"]["checkpoint_path"] = str(case.tmp_path / "link")
    assert "link is a link" in case.only_error().message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("epochs = 010", "`010` has a leading zero in line 1, column 11, which is not valid TOML. Write 10."),
        ("\ufeffepochs = 1", "byte-order mark"),
        ("epochs = .5", "Write 0.5."),
        ("compile = True", "Write true or false"),
        ("dataset = /data/x", "without quotes"),
        ("dataset = “x”", "typographic quote"),
    ],
)
def test_mistake_of_toml_names_the_cause(tmp_path: Path, line: str, words: str):
    case = TextCase(tmp_path)
    case.config = f"{line}\n{case.config}"
    (mistake,) = case.check().errors
    assert words in f"{mistake.message} {mistake.remedy}"


@pytest.mark.parametrize(("key", "remedy"), [("epoch", "Correct the name"), ("loras", "Correct the name")])
def test_suggested_key_would_help(case: Case, key: str, remedy: str):
    case.config[key] = 1
    assert str(case.only_warning().remedy).startswith(remedy)


def test_suggested_optimizer_would_work(case: Case):
    case.config["optimizer"]["type"] = "Sophia"
    assert "SophiaH" not in str(case.only_error().remedy)


@pytest.mark.parametrize(
    ("model_type", "key", "value", "remedy"),
    [
        ("wan", "vae_path", "/m/vae.safetensors", "[model] of other types"),
        ("flux", "min_t", 0.2, "[model] of other types"),
        ("flux", "blocks_to_swap", 20, "the configuration itself"),
    ],
)
def test_known_key_in_the_wrong_table_is_named(tmp_path: Path, model_type: str, key: str, value: Any, remedy: str):
    case = Case(tmp_path, model_type)
    case.config["model"][key] = value
    found = {each.pointer: each for each in case.check().warnings}
    assert remedy in str(found[f"/config/model/{key}"].remedy)


@pytest.mark.parametrize("model_type", ["cosmos", "ltx-video", "sdxl"])
def test_other_loss_of_a_type_with_its_own_is_a_warning(tmp_path: Path, model_type: str):
    case = Case(tmp_path, model_type)
    case.config["huber_delta"] = 0.1
    assert "/config/huber_delta" in case.warnings()


def test_second_text_encoder_is_a_warning(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    case.config["model"]["text_encoders"] *= 2
    assert case.only_warning().pointer == "/config/model/text_encoders/1"


def test_separate_adapter_of_the_language_model_fits_both_transformers(tmp_path: Path):
    case = Case(tmp_path, "anima")
    adapter = write_stand_in(tmp_path / "adapter.safetensors", STAND_INS["anima-llm-adapter"])
    case.config["model"]["llm_adapter_path"] = str(adapter)
    assert case.errors() == []
    write_stand_in(Path(case.config["model"]["transformer_path"]), STAND_INS["cosmos-predict2-2b"])
    assert case.errors() == []


@pytest.mark.parametrize(("steps", "errors"), [(3, []), (4, ["/config/epochs"]), (5, ["/config/epochs"])])
def test_epochs_may_be_missing_if_the_first_is_never_completed(case: Case, steps: int, errors: list[str]):
    del case.config["epochs"]
    case.config["max_steps"] = steps
    found = case.check()
    assert [each.pointer for each in found.errors] == errors
    assert [each.pointer for each in found.warnings] == ["/config/epochs"]


def test_caption_in_the_place_of_a_control_image_is_explained(tmp_path: Path):
    case = Case(tmp_path, "flux")
    (tmp_path / "control").mkdir()
    for image in case.images.glob("*.txt"):
        (tmp_path / "control" / image.name).write_text("a thing")
    case.dataset["directories"][0]["control_path"] = str(tmp_path / "control")
    assert "Move captions" in str(case.only_error().remedy)


def test_video_with_an_ending_in_mixed_case_is_to_be_renamed(tmp_path: Path):
    case = Case(tmp_path, "wan")
    case.dataset["frame_buckets"] = [17]
    write_video(case.images / "a.mp4", 40, 16)
    (case.images / "a.mp4").rename(case.images / "a.Mp4")
    assert any("mix cases" in each.message and "Rename" in str(each.remedy) for each in case.check().warnings)
    for image in case.images.glob("*.png"):
        image.unlink()
    assert "Rename" in str(case.only_error().remedy)
