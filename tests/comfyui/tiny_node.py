"""A custom node that shrinks what ComfyUI does not derive from the files of a Wan model.

Loaders, tokenizer, sampler and decoder are ComfyUI's own; only two fixed sizes are replaced.
"""

import comfy.ldm.wan.vae
import comfy.text_encoders.t5
import comfy.text_encoders.wan
from comfy import sd1_clip

CONFIG = {
    "d_ff": 64, "d_kv": 64, "d_model": 4096, "num_heads": 2, "num_layers": 1, "vocab_size": 256,
    "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True, "model_type": "umt5", "layer_norm_epsilon": 1e-6,
    "relative_attention_num_buckets": 32, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
VAE_DIM = 8

_wan_vae = comfy.ldm.wan.vae.WanVAE


class TinyUMT5(sd1_clip.SDClipModel):
    def __init__(self, device="cpu", layer="last", layer_idx=None, dtype=None, model_options=None):
        super().__init__(
            device=device,
            layer=layer,
            layer_idx=layer_idx,
            textmodel_json_config=dict(CONFIG),
            dtype=dtype,
            special_tokens={"end": 1, "pad": 0},
            model_class=comfy.text_encoders.t5.T5,
            enable_attention_masks=True,
            zero_out_masked=True,
            model_options=model_options or {},
        )


comfy.text_encoders.wan.UMT5XXlModel = TinyUMT5
comfy.ldm.wan.vae.WanVAE = lambda **given: _wan_vae(**{**given, "dim": VAE_DIM})

NODE_CLASS_MAPPINGS: dict[str, type] = {}
