from pathlib import Path

import pytest

from tests.unit.trainers.diffusion_pipe.builders import Case, remarks, setting, within, without

ERRORS = [
    (without("type", "optimizer"), "/config/optimizer/type"),
    (within("optimizer", type="torch.optim.AdamW"), "/config/optimizer/type"),
    (within("optimizer", type="__class__"), "/config/optimizer/type"),
    (within("optimizer", lr="fast"), "/config/optimizer/lr"),
    (within("optimizer", betas=[0.9, 2.0]), "/config/optimizer/betas"),
    (within("optimizer", betas=[0.9], beta2_half_life=1000), "/config/optimizer/betas"),
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
    (setting(optimizer={"type": "genericoptim", "momentum_type": "x"}), "/config/optimizer/momentum_type"),
    (within("optimizer", betas=[0.9, 1.0]), "/config/optimizer/betas"),
    (within("optimizer", betas=[0.9]), "/config/optimizer/betas"),
    (within("optimizer", type="adamw", betas=[0.9, 0.99, 0.999]), "/config/optimizer/betas"),
    (within("optimizer", type="adamw", weight_decay=-0.1), "/config/optimizer/weight_decay"),
    (setting(optimizer={"type": "sgd", "lr": 0.1, "nesterov": True}), "/config/optimizer/nesterov"),
    (
        setting(optimizer={"type": "genericoptim", "lr": 1e-4, "muon": True, "normuon": True}),
        "/config/optimizer/normuon",
    ),
    (
        setting(optimizer={"type": "genericoptim", "lr": 1e-4, "rank": 32, "proj_type": "svd"}),
        "/config/optimizer/update_proj_gap",
    ),
    (
        setting(optimizer={"type": "genericoptim", "lr": 1e-4, "rank": 32, "update_proj_gap": 50}),
        "/config/optimizer/proj_type",
    ),
    (
        setting(optimizer={"type": "genericoptim", "lr": 1e-4, "update_proj_gap": 50}),
        "/config/optimizer/rank",
    ),
    (
        setting(optimizer={"type": "genericoptim", "lr": 1e-4, "rank": 32, "update_proj_gap": 50, "proj_type": "std"}),
        "/config/optimizer/proj_type",
    ),
    (
        setting(optimizer={"type": "genericoptim", "momentum_type": "sm", "update_proj_gap": 50, "proj_type": "topk"}),
        "/config/optimizer/rank",
    ),
]

WARNINGS = [
    (within("optimizer", type="NewestOptimizer"), "/config/optimizer/type"),
    (setting(optimizer={"type": "automagic", "lr": 0.1}), "/config/optimizer/lr"),
]

NOTHING = [
    within("optimizer", type="AdamW"),
    within("optimizer", type="Prodigy", lr=1, d_coef=2),
    setting(optimizer={"type": "genericoptim", "lr": 1e-4, "betas": [0.9, 1]}),
    setting(
        optimizer={
            "type": "genericoptim",
            "momentum_type": "sm",
            "rank": 32,
            "update_proj_gap": 50,
            "proj_type": "topk",
        }
    ),
    setting(optimizer={"type": "SGD", "lr": 1e-3, "momentum": 0.9, "nesterov": True}),
    setting(optimizer={"type": "AdEMAMix", "lr": 1e-4, "betas": [0.9, 0.999, 0.9999]}),
    within("optimizer", betas=[0.9, 1.0], beta2_half_life=1000),
]

test_change_gets_the_remark_that_fits = remarks(errors=ERRORS, warnings=WARNINGS, nothing=NOTHING)


@pytest.mark.parametrize(
    ("model_type", "works"), [("sdxl", True), ("anima", True), ("lumina_2", False), ("flux", False)]
)
def test_gradient_release_is_limited_to_models_with_group_rates(tmp_path: Path, model_type: str, works: bool):
    case = Case(tmp_path, model_type)
    case.config["optimizer"]["gradient_release"] = True
    assert case.errors() == ([] if works else ["/config/optimizer/gradient_release"])


@pytest.mark.parametrize(("kind", "works"), [("AdamW", False), ("Prodigy", False), ("automagic", False)])
def test_model_that_passes_the_learning_rate_on_needs_one(tmp_path: Path, kind: str, works: bool):
    case = Case(tmp_path, "anima")
    case.config["optimizer"] = {"type": kind}
    assert case.errors() == ([] if works else ["/config/optimizer/lr"])


@pytest.mark.parametrize(
    ("optimizer", "model", "works"),
    [(0, {}, False), (0, {"mlp_lr": 1e-5}, True), (1e-5, {"llm_adapter_lr": 0}, True)],
)
def test_some_learning_rate_must_be_above_zero(tmp_path: Path, optimizer: float, model: dict[str, float], works: bool):
    case = Case(tmp_path, "anima")
    case.config["optimizer"]["lr"] = optimizer
    case.config["model"].update(model)
    assert case.errors() == ([] if works else ["/config/optimizer/lr"])


def test_rates_of_all_groups_replace_the_common_one(tmp_path: Path):
    case = Case(tmp_path, "anima")
    case.config["optimizer"] = {"type": "automagic"}
    rates = ("self_attn_lr", "cross_attn_lr", "mlp_lr", "mod_lr", "llm_adapter_lr")
    case.config["model"].update(dict.fromkeys(rates, 1e-5))
    assert case.errors() == []
    del case.config["adapter"]  # the part outside of the blocks is trained, too
    assert case.errors() == ["/config/optimizer/lr"]


def test_rates_of_all_parts_of_sdxl_replace_the_common_one(case: Case):
    case.config["optimizer"] = {"type": "adamw"}
    assert case.warnings() == ["/config/optimizer/lr"]
    case.config["model"].update(unet_lr=1e-5, text_encoder_1_lr=1e-6, text_encoder_2_lr=1e-6)
    assert case.warnings() == []
