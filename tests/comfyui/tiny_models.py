"""`tiny_models.py COMFYUI_ROOT BASE`: a Wan model of 16 MB with random weights, and two LoRAs."""

import io
import sys
from pathlib import Path

ROOT, BASE = sys.argv[1:]
sys.path[:0] = [ROOT, str(Path(__file__).parent)]

import comfy.options  # noqa: E402, I001 - before the arguments
import comfy.cli_args  # noqa: E402

comfy.cli_args.args.cpu = True

import comfy.ops  # noqa: E402
import sentencepiece  # noqa: E402
import torch  # noqa: E402
from comfy.ldm.wan.model import WanModel  # noqa: E402
from comfy.ldm.wan.vae import WanVAE  # noqa: E402
from comfy.text_encoders.t5 import T5  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from tiny_node import CONFIG, VAE_DIM  # noqa: E402

OPS = comfy.ops.manual_cast
DIM, FFN, BLOCKS = 128, 256, 2
LAYERS = {"self_attn.q": (DIM, DIM), "self_attn.v": (DIM, DIM), "ffn.0": (FFN, DIM), "ffn.2": (DIM, FFN)}


def fill(model):
    """Return its weights, random but the same each time."""
    generator, found = torch.Generator().manual_seed(7), {}
    for key, value in sorted(model.state_dict().items()):
        if key.endswith("gamma") or (value.ndim <= 1 and "norm" in key and key.endswith("weight")):
            found[key] = torch.ones(value.shape)
        else:
            fan = 2500 if key.endswith("bias") else value[0].numel() if value.ndim > 1 else 1
            found[key] = torch.randn(value.shape, generator=generator) / max(1, fan) ** 0.5
    return found


def save(weights, path, dtype=torch.float32):
    target = Path(BASE) / "models" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    typed = {key: value if value.dtype == torch.uint8 else value.to(dtype) for key, value in weights.items()}
    save_file({key: value.contiguous() for key, value in typed.items()}, target)


def tokenizer():
    words = [
        f"a photo of the sks dog cat in a {a} field under {b} light" for a in ("green", "red") for b in ("cold", "dim")
    ]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 5), model_writer=model, vocab_size=256, hard_vocab_limit=False, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, model_type="unigram", minloglevel=2,
    )  # fmt: skip
    return torch.frombuffer(bytearray(model.getvalue()), dtype=torch.uint8).clone()


def lora(prefix):
    generator, found = torch.Generator().manual_seed(1), {}
    for block in range(BLOCKS):
        for layer, (wide, narrow) in LAYERS.items():
            name = f"{prefix}.{block}.{layer}"
            found[f"{name}.lora_A.weight"] = torch.randn(4, narrow, generator=generator) / narrow**0.5
            found[f"{name}.lora_B.weight"] = torch.randn(wide, 4, generator=generator)
    return found


with torch.no_grad():
    sizes = {"dim": DIM, "ffn_dim": FFN, "num_heads": 1, "num_layers": BLOCKS}
    model = WanModel(model_type="t2v", **sizes, device="cpu", dtype=torch.float32, operations=OPS)
    save(fill(model), "diffusion_models/tiny_wan.safetensors")
    text = fill(T5(CONFIG, torch.float32, "cpu", OPS))
    # By this ComfyUI recognises the type.
    text["encoder.block.23.layer.1.DenseReluDense.wi_1.weight"] = torch.zeros(1, 4096)
    save(text | {"spiece_model": tokenizer()}, "text_encoders/tiny_umt5.safetensors", torch.bfloat16)
    shape = {
        "dim_mult": [1, 2, 4, 4],
        "num_res_blocks": 2,
        "attn_scales": [],
        "temperal_downsample": [False, True, True],
    }
    save(fill(WanVAE(dim=VAE_DIM, z_dim=16, **shape, dropout=0.0)), "vae/tiny_wan_vae.safetensors")
    for name, prefix in (("good", "diffusion_model.blocks"), ("foreign", "transformer.blocks")):
        save(lora(prefix), f"../{name}.safetensors")
