from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.slot_words import what_to_name


def test_advice_names_all_that_belongs_there():
    assert what_to_name(("z_image.text_encoders",)) == "Here belongs the text encoder Qwen3 4B."
    assert what_to_name(("anima.transformer_path", "cosmos_predict2.transformer_path")).count(", or ") == 2


def test_each_file_that_a_model_type_takes_has_such_words():
    silent = {
        f"{model_type}.{key}"
        for model_type, facts in MODELS.items()
        for key in facts.kinds
        if not what_to_name((f"{model_type}.{key}",)).startswith("Here belongs")
    }
    # Whole models, whose parts are told, and two keys that stand for another type's.
    assert {each for each in silent if not each.endswith((".diffusers_path", "hunyuan-video.ckpt_path"))} == {
        "anima.t5_path",
        "cosmos_predict2.llm_adapter_path",
    }
