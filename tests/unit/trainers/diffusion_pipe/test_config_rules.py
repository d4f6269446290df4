from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from tests.unit.trainers.diffusion_pipe.builders import Case, write_safetensors

Change = Callable[[dict[str, Any]], Any]


def setting(**values: Any) -> Change:
    return lambda config: config.update(values)


def within(table: str, **values: Any) -> Change:
    return lambda config: config[table].update(values)


def without(name: str, table: str | None = None) -> Change:
    return lambda config: (config if table is None else config[table]).pop(name)


ERRORS = [
    (without("epochs"), "/config/epochs"),
    (without("model"), "/config/model"),
    (without("optimizer"), "/config/optimizer"),
    (without("every_n_epochs", "save"), "/config/save_every_n_epochs"),
    (setting(epochs=True), "/config/epochs"),
    (setting(epochs="ten"), "/config/epochs"),
    (setting(epochs=10**30), "/config/epochs"),
    (setting(model=[]), "/config/model"),
    (setting(adapter="lora"), "/config/adapter"),
    (setting(optimizer="adamw"), "/config/optimizer"),
    (setting(monitoring=3), "/config/monitoring"),
    (setting(lr_scheduler="cosine_with_restarts"), "/config/lr_scheduler"),
    (setting(gradient_accumulation_steps=0), "/config/gradient_accumulation_steps"),
    (setting(gradient_clipping=-1), "/config/gradient_clipping"),
    (setting(micro_batch_size_per_gpu=0), "/config/micro_batch_size_per_gpu"),
    (setting(micro_batch_size_per_gpu="2"), "/config/micro_batch_size_per_gpu"),
    (setting(micro_batch_size_per_gpu=[[512, 4], [1024]]), "/config/micro_batch_size_per_gpu/1"),
    (setting(micro_batch_size_per_gpu=True), "/config/micro_batch_size_per_gpu"),
    (setting(image_micro_batch_size_per_gpu=-1), "/config/image_micro_batch_size_per_gpu"),
    (setting(activation_checkpointing="sloth"), "/config/activation_checkpointing"),
    (setting(partition_method="manually"), "/config/partition_method"),
    (setting(partition_method="manual", partition_split=[10]), "/config/partition_split"),
    (setting(partition_method="manual"), "/config/partition_split"),
    (setting(pipeline_stages=2), "/config/pipeline_stages"),
    (setting(uncond_fraction=1.5), "/config/uncond_fraction"),
    (setting(save={"every_n_examples": 1}, gradient_accumulation_steps=2), "/config/save/every_n_examples"),
    (setting(save={"every_n_epochs": 1, "dtype": "bf16"}), "/config/save/dtype"),
    (setting(save={"every_n_epochs": 0}), "/config/save/every_n_epochs"),
    (setting(eval=[]), "/config/eval"),
    (setting(checkpoint_every_n_epochs=0), "/config/checkpoint_every_n_epochs"),
    (setting(save_every_n_epochs=2), "/config/save/every_n_epochs"),
    (setting(eval={"datasets": ["a.toml"], "every_n_epochs": 1}), "/config/eval/datasets/0"),
    (
        setting(eval={"datasets": [{"name": "a", "config": "/no.toml"}], "every_n_epochs": 1}),
        "/config/eval/datasets/0/config",
    ),
    (setting(eval={"datasets": [{"name": "a"}], "every_n_epochs": 1}), "/config/eval/datasets/0/config"),
    (without("dtype", "model"), "/config/model/dtype"),
    (within("model", dtype="bf16"), "/config/model/dtype"),
    (within("model", transformer_dtype="nf4"), "/config/model/transformer_dtype"),
    (within("model", timestep_sample_method="normal"), "/config/model/timestep_sample_method"),
    (within("model", type=3), "/config/model/type"),
    (without("type", "adapter"), "/config/adapter/type"),
    (without("rank", "adapter"), "/config/adapter/rank"),
    (within("adapter", type="loha"), "/config/adapter/type"),
    (within("adapter", alpha=16), "/config/adapter/alpha"),
    (within("adapter", rank=0), "/config/adapter/rank"),
    (within("adapter", rank=16.0), "/config/adapter/rank"),
    (within("adapter", rank="16"), "/config/adapter/rank"),
    (within("adapter", dtype="half"), "/config/adapter/dtype"),
    (within("adapter", dropout=2), "/config/adapter/dropout"),
    (within("adapter", init_from_existing="/nowhere"), "/config/adapter/init_from_existing"),
    (without("type", "optimizer"), "/config/optimizer/type"),
    (within("optimizer", type="torch.optim.AdamW"), "/config/optimizer/type"),
    (within("optimizer", type="__class__"), "/config/optimizer/type"),
    (within("optimizer", lr="fast"), "/config/optimizer/lr"),
    (within("optimizer", betas=[0.9, 2.0]), "/config/optimizer/betas"),
    (within("optimizer", betas=[0.9], beta2_half_life=1000), "/config/optimizer/betas"),
    (
        setting(monitoring={"enable_wandb": True, "wandb_tracker_name": "t", "wandb_run_name": "r"}),
        "/config/monitoring/wandb_api_key",
    ),
    (
        setting(monitoring={"enable_wandb": True, "wandb_api_key": "k", "wandb_run_name": "r"}),
        "/config/monitoring/wandb_tracker_name",
    ),
    (within("optimizer", foreach=None), "/config/optimizer/foreach"),
    (within("optimizer", type="prodigy"), "/config/optimizer/type"),
    (within("optimizer", type="adamw_8bit"), "/config/optimizer/type"),
    (within("optimizer", type="Sophia"), "/config/optimizer/type"),
    (within("optimizer", type="Muon"), "/config/optimizer/type"),
    (within("optimizer", weight_decy=0.1), "/config/optimizer/weight_decy"),
    (within("optimizer", weight_decay="0.01"), "/config/optimizer/weight_decay"),
    (within("optimizer", learning_rate=0.1), "/config/optimizer/learning_rate"),
    (within("optimizer", args={"a": 1}), "/config/optimizer/args"),
    (within("optimizer", fused=True), "/config/optimizer/fused"),
    (within("optimizer", type="automagic"), "/config/optimizer/betas"),
    (within("optimizer", type="AdamW8bit", stabilize=True), "/config/optimizer/stabilize"),
    (within("optimizer", type="Prodigy", args={}), "/config/optimizer/args"),
    (without("lr", "optimizer"), "/config/optimizer/lr"),
    (setting(lora={"rank": 3}), "/config/lora"),
    (within("adapter", exclude_modules=3), "/config/adapter/exclude_modules"),
    (setting(optimizer={"type": "genericoptim", "momentum_type": "x"}), "/config/optimizer/momentum_type"),
    (within("optimizer", betas=[0.9, "x"]), "/config/optimizer/betas"),
    (within("optimizer", betas=[0.9, 1.0]), "/config/optimizer/betas"),
    (within("optimizer", betas=[0.9]), "/config/optimizer/betas"),
    (within("optimizer", type="adamw", betas=[0.9, 0.99, 0.999]), "/config/optimizer/betas"),
    (within("optimizer", type="adamw", weight_decay=-0.1), "/config/optimizer/weight_decay"),
    (setting(optimizer={"type": "sgd", "lr": 0.1, "nesterov": True}), "/config/optimizer/nesterov"),
    (
        setting(optimizer={"type": "genericoptim", "lr": 1e-4, "muon": True, "normuon": True}),
        "/config/optimizer/normuon",
    ),
    (setting(warmup_steps=0.1), "/config/warmup_steps"),
]

WARNINGS = [
    (setting(save={"every_n_epochs": 1}), "/config/checkpoint_every_n_minutes"),
    (setting(steps_per_print=10), "/config/steps_per_print"),
    (setting(regenerate_cache=True), "/config/regenerate_cache"),
    (setting(pseudo_huber_c=0.5), "/config/pseudo_huber_c"),
    (setting(image_eval_micro_batch_size_per_gpu=1), "/config/image_eval_micro_batch_size_per_gpu"),
    (setting(epoch=3), "/config/epoch"),
    (setting(rank=3), "/config/rank"),
    (setting(optimization={"gradient_acumulation_steps": 2}), "/config/optimization/gradient_acumulation_steps"),
    (setting(partition_split=[3]), "/config/partition_split"),
    (setting(resume_from_checkpoint=True), "/config/resume_from_checkpoint"),
    (setting(huber_delta=0.5), "/config/huber_delta"),
    (setting(smooth_l1_beta=0.5), "/config/smooth_l1_beta"),
    (setting(warmup_steps=10**6), "/config/warmup_steps"),
    (within("model", debiased_estimation_loss=False), "/config/model/debiased_estimation_loss"),
    (
        setting(
            monitoring={"enable_wandb": True, "wandb_api_key": "", "wandb_tracker_name": "t", "wandb_run_name": "r"}
        ),
        "/config/monitoring/wandb_api_key",
    ),
    (setting(eval={"every_n_examples": 1}, gradient_accumulation_steps=2), "/config/eval/every_n_examples"),
    (within("model", diffusion_model_dtype="float8"), "/config/model/diffusion_model_dtype"),
    (within("model", flux_shift=True), "/config/model/flux_shift"),
    (within("model", guidance=3.5), "/config/model/guidance"),
    (within("model", transformer="x"), "/config/model/transformer"),
    (within("adapter", rnak=3), "/config/adapter/rnak"),
    (within("adapter", decompose_factor=4), "/config/adapter/decompose_factor"),
    (within("optimizer", type="NewestOptimizer"), "/config/optimizer/type"),
    (setting(optimizer={"type": "automagic", "lr": 0.1}), "/config/optimizer/lr"),
    (setting(monitoring={"enable_wandbb": True}), "/config/monitoring/enable_wandbb"),
]

NOTHING = [
    setting(optimization={"activation_checkpointing": "unsloth", "blocks_to_swap": 0, "compile": True}),
    setting(micro_batch_size_per_gpu=[[512, 2], [1024, 1]]),
    setting(save={"every_n_steps": 100, "dtype": "bfloat16", "checkpoint_every_n_epochs": 1}),
    setting(save={}, save_every_n_steps=100, checkpoint_every_n_minutes=0.5),
    setting(partition_method="uniform"),
    setting(eval={"before_first_step": False, "micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 1}),
    within("optimizer", type="AdamW"),
    within("optimizer", type="Prodigy", lr=1, d_coef=2),
    setting(optimizer={"type": "genericoptim", "lr": 1e-4, "betas": [0.9, 1]}),
    setting(optimizer={"type": "SGD", "lr": 1e-3, "momentum": 0.9, "nesterov": True}),
    setting(optimizer={"type": "AdEMAMix", "lr": 1e-4, "betas": [0.9, 0.999, 0.9999]}),
    setting(resume_from_checkpoint=False),
    within("optimizer", betas=[0.9, 1.0], beta2_half_life=1000),
    within("adapter", exclude_modules=["a"]),
    setting(lr_scheduler="linear", warmup_steps=10, max_steps=20),
]


@pytest.mark.parametrize(("change", "pointer"), ERRORS)
def test_mistake_is_one_error_at_its_place(tmp_path: Path, change: Change, pointer: str):
    case = Case(tmp_path)
    change(case.config)
    assert case.errors() == [pointer]


@pytest.mark.parametrize(("change", "pointer"), WARNINGS)
def test_what_costs_or_is_ignored_is_one_warning_at_its_place(tmp_path: Path, change: Change, pointer: str):
    case = Case(tmp_path)
    change(case.config)
    assert case.warnings() == [pointer]


@pytest.mark.parametrize("change", NOTHING)
def test_what_the_trainer_takes_is_not_remarked_on(tmp_path: Path, change: Change):
    case = Case(tmp_path)
    change(case.config)
    assert case.warnings() == []


def test_every_finding_says_what_to_do(tmp_path: Path):
    for change, _ in (*ERRORS, *WARNINGS):
        case = Case(tmp_path)
        change(case.config)
        found = case.check()
        assert all(mistake.remedy and mistake.message.endswith(".") for mistake in (*found.errors, *found.warnings))


def test_all_mistakes_are_found_at_once(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["epochs"]
    case.config["adapter"]["alpha"] = 1
    case.config["model"]["dtype"] = "bf16"
    case.dataset["directories"][0]["path"] = "/nowhere"
    assert set(case.errors()) == {
        "/config/epochs",
        "/config/adapter/alpha",
        "/config/model/dtype",
        "/dataset/directories/0/path",
    }


def test_slip_in_a_key_gets_a_suggestion(tmp_path: Path):
    case = Case(tmp_path)
    case.config["warmup_step"] = 3
    (mistake,) = case.check().warnings
    assert mistake.remedy == "Did you mean `warmup_steps`?"


def test_key_of_another_table_is_shown_where_it_belongs(tmp_path: Path):
    case = Case(tmp_path)
    case.config["rank"] = 3
    (mistake,) = case.check().warnings
    assert mistake.remedy == "It belongs into [adapter]."


@pytest.mark.parametrize(
    ("gpus", "stages", "fits"), [(4, 2, True), (4, 4, True), (4, 3, False), (3, 2, False), (1, 2, False)]
)
def test_gpus_divide_into_pipelines_or_it_is_an_error(tmp_path: Path, gpus: int, stages: int, fits: bool):
    case = Case(tmp_path)
    case.gpus = gpus
    case.config["pipeline_stages"] = stages
    assert case.errors() == ([] if fits else ["/config/pipeline_stages"])


@pytest.mark.parametrize("split", [[], [10, 20], [20.0], ["a"], [0]])
def test_partition_split_has_one_layer_less_than_stages(tmp_path: Path, split: list):
    case = Case(tmp_path)
    case.gpus = 2
    case.config.update(pipeline_stages=2, partition_method="manual", partition_split=split)
    assert case.errors() == ["/config/partition_split"]


def test_partition_split_that_fits_is_taken(tmp_path: Path):
    case = Case(tmp_path)
    case.gpus = 3
    case.config.update(pipeline_stages=3, partition_method="manual", partition_split=[10, 20])
    assert case.errors() == []


@pytest.mark.parametrize(
    ("model_type", "works"), [("sdxl", True), ("anima", True), ("lumina_2", False), ("flux", False)]
)
def test_gradient_release_is_for_models_with_rates_of_their_own(tmp_path: Path, model_type: str, works: bool):
    case = Case(tmp_path, model_type)
    case.config["optimizer"]["gradient_release"] = True
    assert case.errors() == ([] if works else ["/config/optimizer/gradient_release"])


@pytest.mark.parametrize(("source", "works"), [("", False), ("def _allocate_or_extend_buffers(): ...", True)])
def test_flux2_in_three_stages_waits_for_ever_unless_the_trainer_is_mended(tmp_path: Path, source: str, works: bool):
    case = Case(tmp_path, "flux2")
    (tmp_path / "trainer" / "utils").mkdir()
    (tmp_path / "trainer" / "utils" / "patches.py").write_text(source)
    case.gpus = 4
    case.config["pipeline_stages"] = 4
    assert case.errors() == ([] if works else ["/config/pipeline_stages"])


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"shift": 3, "flux_shift": True}, "flux_shift"),
        ({"timestep_sample_method": "uniform", "sigmoid_scale": 1.3}, "sigmoid_scale"),
        ({"cache_text_embeddings": False}, "cache_text_embeddings"),
    ],
)
def test_what_another_key_makes_useless_is_one_warning(tmp_path: Path, settings: dict[str, Any], key: str):
    case = Case(tmp_path, "flux")
    case.config["model"].update(settings)
    assert case.warnings() == [f"/config/model/{key}"]


def test_text_encoder_of_two_files_needs_both(tmp_path: Path):
    case = Case(tmp_path, "hunyuan_video_15")
    encoder = case.config["model"]["text_encoders"][0]
    encoder["path"] = encoder.pop("paths")[0]
    assert case.errors() == ["/config/model/text_encoders/0/path"]


def test_misspelt_type_of_a_text_encoder_is_told(tmp_path: Path):
    case = Case(tmp_path, "z_image")
    case.config["model"]["text_encoders"][0]["type"] = "lumina-2"
    assert case.warnings() == ["/config/model/text_encoders/0/type"]


def test_gradient_release_needs_one_pipeline(tmp_path: Path):
    case = Case(tmp_path)
    case.gpus = 2
    case.config["optimizer"]["gradient_release"] = True
    assert case.errors() == ["/config/optimizer/gradient_release"]


def test_blocks_are_swapped_with_an_adapter_only(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.config["blocks_to_swap"] = 3
    del case.config["adapter"]
    assert case.errors() == ["/config/blocks_to_swap"]


def test_blocks_are_swapped_with_one_stage_only(tmp_path: Path):
    case = Case(tmp_path, "flux")
    case.gpus = 2
    case.config.update(blocks_to_swap=3, pipeline_stages=2)
    assert case.errors() == ["/config/blocks_to_swap"]


def test_adapter_to_go_on_from_holds_one_safetensors_file(tmp_path: Path):
    case = Case(tmp_path)
    adapter = tmp_path / "epoch5"
    adapter.mkdir()
    case.config["adapter"]["init_from_existing"] = str(adapter)
    assert case.errors() == ["/config/adapter/init_from_existing"]
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(b"\x80\x02}q\x00.123")
    assert case.errors() == ["/config/adapter/init_from_existing"]
    write_safetensors(weights)
    assert case.errors() == []


@pytest.mark.parametrize(
    ("tensors", "fits"),
    [({"a.lora_A.weight": [16, 4]}, True), ({"a.lora_A.weight": [8, 4]}, False), ({"a.lokr_w1": [8]}, False)],
)
def test_adapter_to_go_on_from_has_the_rank_that_is_asked_for(
    tmp_path: Path, tensors: dict[str, list[int]], fits: bool
):
    case = Case(tmp_path, "chroma")
    write_safetensors(tmp_path / "epoch5" / "adapter_model.safetensors", tensors)
    case.config["adapter"]["init_from_existing"] = str(tmp_path / "epoch5")
    assert case.errors() == ([] if fits else ["/config/adapter/init_from_existing"])


@pytest.mark.parametrize(("kind", "works"), [("AdamW", False), ("Prodigy", False), ("automagic", True)])
def test_model_that_hands_the_rate_on_needs_one(tmp_path: Path, kind: str, works: bool):
    case = Case(tmp_path, "anima")
    case.config["optimizer"] = {"type": kind}
    assert case.errors() == ([] if works else ["/config/optimizer/lr"])


@pytest.mark.parametrize(
    ("optimizer", "model", "works"),
    [(0, {}, False), (0, {"mlp_lr": 1e-5}, True), (1e-5, {"llm_adapter_lr": 0}, True)],
)
def test_some_learning_rate_is_above_zero(tmp_path: Path, optimizer: float, model: dict[str, float], works: bool):
    case = Case(tmp_path, "anima")
    case.config["optimizer"]["lr"] = optimizer
    case.config["model"].update(model)
    assert case.errors() == ([] if works else ["/config/optimizer/lr"])


def test_adapter_to_fuse_is_a_safetensors_file(tmp_path: Path):
    case = Case(tmp_path, "chroma")
    adapter = tmp_path / "adapter.safetensors"
    adapter.write_bytes(b"PK\x03\x04" + bytes(60))
    case.config["adapter"]["fuse_adapters"] = [{"path": str(adapter), "weight": 1.0}]
    assert case.errors() == ["/config/adapter/fuse_adapters/0/path"]
    write_safetensors(adapter)
    assert case.errors() == []


def test_both_forms_at_once_are_an_error(tmp_path: Path):
    case = Case(tmp_path)
    found = case.check(config_toml="epochs = 1", dataset_toml="")
    assert [mistake.pointer for mistake in found.errors] == [""]


def test_half_a_form_is_an_error(tmp_path: Path):
    case = Case(tmp_path)
    case.dataset = {}
    assert case.errors() == ["/dataset"]


def test_trainer_that_is_not_set_up_is_named_with_its_settings(tmp_path: Path):
    case = Case(tmp_path)
    del case.config["epochs"]
    case.trainer = DiffusionPipe(None, None)
    found = case.check()
    assert [mistake.pointer for mistake in found.errors] == ["/model_type", "/model_type", "/config/epochs"]
    assert "DIFFUSION_PIPE_ROOT" in str(found.errors[0].remedy)
    assert "DIFFUSION_PIPE_PYTHON" in str(found.errors[1].remedy)
