from pathlib import Path

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, TextCase, remarks, setting, without, write_video

ERRORS = [
    (without("epochs"), "/config/epochs"),
    (without("model"), "/config/model"),
    (without("optimizer"), "/config/optimizer"),
    (without("every_n_epochs", "save"), "/config/save_every_n_epochs"),
    (setting(activation_checkpointing="sloth"), "/config/activation_checkpointing"),
    (setting(partition_method="manually"), "/config/partition_method"),
    (setting(partition_method="manual", partition_split=[10]), "/config/partition_method"),
    (setting(partition_method="manual"), "/config/partition_method"),
    (setting(pipeline_stages=2), "/config/pipeline_stages"),
    (setting(save={"every_n_examples": 1}, gradient_accumulation_steps=2), "/config/save/every_n_examples"),
    (
        setting(monitoring={"enable_wandb": True, "wandb_tracker_name": "t", "wandb_run_name": "r"}),
        "/config/monitoring/wandb_api_key",
    ),
    (
        setting(monitoring={"enable_wandb": True, "wandb_api_key": "k", "wandb_run_name": "r"}),
        "/config/monitoring/wandb_tracker_name",
    ),
    (setting(lora={"rank": 3}), "/config/lora"),
    (setting(warmup_steps=0.1), "/config/warmup_steps"),
]

WARNINGS = [
    (setting(save={"every_n_epochs": 1}), "/config/checkpoint_every_n_minutes"),
    (setting(steps_per_print=10), "/config/steps_per_print"),
    (setting(partition_split=[3]), "/config/partition_split"),
    (setting(resume_from_checkpoint=True), "/config/resume_from_checkpoint"),
    (setting(eval={"every_n_examples": 1}, gradient_accumulation_steps=2), "/config/eval/every_n_examples"),
]

NOTHING = [
    setting(optimization={"activation_checkpointing": "unsloth", "blocks_to_swap": 0, "compile": True}),
    setting(save={"every_n_steps": 100, "dtype": "bfloat16", "checkpoint_every_n_epochs": 1}),
    setting(save={}, save_every_n_steps=100, checkpoint_every_n_minutes=0.5),
    setting(partition_method="uniform"),
    setting(resume_from_checkpoint=False),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS, warnings=WARNINGS, nothing=NOTHING)


@pytest.mark.parametrize(
    ("gpus", "stages", "fits"), [(4, 2, True), (4, 4, True), (4, 3, False), (3, 2, False), (1, 2, False)]
)
def test_gpus_must_divide_into_pipelines(tmp_path: Path, gpus: int, stages: int, fits: bool):
    case = Case(tmp_path)
    case.gpus = gpus
    case.config["pipeline_stages"] = stages
    assert case.errors() == ([] if fits else ["/config/pipeline_stages"])


@pytest.mark.parametrize("split", [[], [10, 20], [20.0], ["a"], [0]])
def test_partition_split_needs_one_layer_less_than_stages(tmp_path: Path, split: list):
    case = Case(tmp_path)
    case.gpus = 2
    case.config.update(pipeline_stages=2, partition_method="manual", partition_split=split)
    assert case.errors() == ["/config/partition_split"]


def test_valid_partition_split_is_accepted(tmp_path: Path):
    case = Case(tmp_path)
    case.gpus = 3
    case.config.update(pipeline_stages=3, partition_method="manual", partition_split=[10, 20])
    assert case.errors() == []


@pytest.mark.parametrize(("source", "works"), [("", False), ("def _allocate_or_extend_buffers(): ...", True)])
def test_flux2_with_three_stages_needs_a_fixed_trainer(tmp_path: Path, source: str, works: bool):
    case = Case(tmp_path, "flux2")
    (tmp_path / "trainer" / "utils").mkdir()
    (tmp_path / "trainer" / "utils" / "patches.py").write_text(source)
    case.gpus = 4
    case.config["pipeline_stages"] = 4
    assert case.errors() == ([] if works else ["/config/pipeline_stages"])


def test_gradient_release_needs_one_pipeline(tmp_path: Path):
    case = Case(tmp_path)
    case.gpus = 2
    case.config["optimizer"]["gradient_release"] = True
    assert case.errors() == ["/config/optimizer/gradient_release"]


def test_block_swap_needs_an_adapter(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.config["blocks_to_swap"] = 3
    del case.config["adapter"]
    assert case.errors() == ["/config/blocks_to_swap"]


def test_block_swap_needs_one_stage(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.gpus = 2
    case.config.update(blocks_to_swap=3, pipeline_stages=2)
    assert case.errors() == ["/config/blocks_to_swap"]


def test_resume_key_in_the_text_is_removed_with_a_warning(tmp_path: Path):
    case = TextCase(tmp_path)
    case.config = "resume_from_checkpoint = true\n" + case.config
    found = case.check()
    assert [mistake.pointer for mistake in found.warnings] == ["/config_toml/resume_from_checkpoint"]
    assert found.plan is not None
    assert "resume_from_checkpoint" not in found.plan.files["config.toml"]


@pytest.mark.parametrize(("model_type", "warnings"), [("hunyuan-video", ["/config/video_clip_mode"]), ("flux", [])])
def test_unknown_clip_mode_is_no_error_without_videos(tmp_path: Path, model_type: str, warnings: list[str]):
    case = Case(tmp_path, model_type)
    case.config["video_clip_mode"] = "multiple_overlapping"
    assert case.warnings() == warnings


@pytest.mark.parametrize("is_evaluation", [False, True])
def test_unknown_clip_mode_hangs_at_the_first_video(tmp_path: Path, is_evaluation: bool):
    case = Case(tmp_path, "hunyuan-video")
    case.config["video_clip_mode"] = "multiple_overlapping"
    write_video(tmp_path / "videos" / "a.mp4", 49, 24)
    directory = {"path": str(tmp_path / "videos"), "frame_buckets": [33]}
    if is_evaluation:
        text = f"resolutions = [512]\nframe_buckets = [33]\n[[directory]]\npath = '{directory['path']}'\n"
        (tmp_path / "eval.toml").write_text(text)
        evaluation = {"name": "held out", "config": str(tmp_path / "eval.toml")}
        case.config["eval"] = {"datasets": [evaluation], "every_n_epochs": 1}
    else:
        case.dataset["directories"].append(directory)
    assert case.only_error().pointer == "/config/video_clip_mode"


@pytest.mark.parametrize(("has_adapter", "remedy"), [(True, "Remove [lora]"), (False, "Rename [lora]")])
def test_old_table_lora_is_removed_beside_an_adapter(case: Case, has_adapter: bool, remedy: str):
    case.config["lora"] = {"rank": 16}
    if not has_adapter:
        del case.config["adapter"]
    (mistake,) = [each for each in case.check().errors if each.pointer == "/config/lora"]
    assert remedy in str(mistake.remedy)


@pytest.mark.parametrize("split", [{}, {"partition_split": [10]}])
def test_one_pipeline_stage_is_not_split_by_hand(case: Case, split: dict):
    case.config.update(partition_method="manual", **split)
    assert "partition_method = 'parameters'" in str(case.only_error().remedy)
