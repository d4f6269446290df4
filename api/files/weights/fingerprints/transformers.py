"""Fingerprints of transformers, UNets and complete checkpoints, and of similar ones that cannot be trained.

Sources of the signs: the trainer's `models/` (commit 8f83dbf), the configurations in its examples, and ComfyUI's
comfy/model_detection.py at the commit that the trainer pins. The first match counts, so rejected variants come before
the models that they resemble.
"""

from api.files.weights.fingerprints.fingerprint import Fingerprint, define

_TRAINER = "trainer models/"
_COMFY = "ComfyUI comfy/model_detection.py"

_UNET = "input_blocks.0.0.weight"


def _transformer(name: str, title: str, has: str, *, lacks: str = "", source: str = _TRAINER) -> Fingerprint:
    return define(name, title, "transformer", has, source, lacks=lacks)


def _checkpoint(name: str, title: str, has: str, *, lacks: str = "") -> Fingerprint:
    return define(name, title, "checkpoint", has, _TRAINER, lacks=lacks)


#: Comes first, because a ControlNet has many tensors of its base model.
_CONTROLNET = define(
    "controlnet",
    "a ControlNet, which is not trained",
    "controlnet",
    "controlnet_* or control_model.* or input_hint_block.* or zero_convs.* or control_layers.* or lora_controlnet",
    "ComfyUI comfy/controlnet.py",
)

_SDXL = (
    _checkpoint("sdxl-inpaint", "an inpainting checkpoint of SDXL", f"{_UNET} [320,9,3,3]; label_emb.0.0.weight"),
    _checkpoint("sdxl-refiner", "the refiner of SDXL", f"{_UNET} [384,4,3,3]"),
    _checkpoint(
        "sdxl",
        "a checkpoint of SDXL",
        f"{_UNET} [320,4,3,3]; label_emb.0.0.weight [1280,2816]; conditioner.*",
    ),
    _checkpoint(
        "sdxl-unet",
        "the UNet of SDXL alone, without its text encoders",
        f"{_UNET} [320,4,3,3]; label_emb.0.0.weight",
    ),
    _checkpoint("stable-diffusion", "a checkpoint of Stable Diffusion 1 or 2", f"{_UNET} [320,4|9,3,3]"),
    _transformer("sdxl-unet-diffusers", "a UNet in diffusers' naming", "conv_in.weight [320,4|9,3,3]; down_blocks.*"),
    _checkpoint("sd3-single-file", "a checkpoint of Stable Diffusion 3 as a single file", "joint_blocks.*"),
)

_FLUX = (
    _transformer("chroma-radiance", "Chroma Radiance", "distilled_guidance_layer.*; nerf_blocks.*"),
    _transformer(
        "chroma",
        "the transformer of Chroma",
        "distilled_guidance_layer.norms.0.scale or distilled_guidance_layer.*; img_in.weight [3072,64]",
        lacks="vector_in.*",
    ),
    *(
        _transformer(f"flux2-{name}", f"the transformer of Flux 2 {title}", has, source=_COMFY)
        for name, title, has in (
            ("dev", "dev", "img_in.weight [6144,128]"),
            ("klein-9b", "Klein 9B", "img_in.weight [4096,128]"),
            ("klein-4b", "Klein 4B", "img_in.weight [3072,128]; double_stream_modulation_img.lin.weight"),
        )
    ),
    *(
        _transformer(f"flux-{name}", f"the transformer of Flux.1 {title}", f"img_in.weight [3072,{width}]; vector_in.*")
        for name, title, width in (
            ("fill", "Fill", 384),
            ("control", "Canny or Depth", 128),
            ("flex2", "as Flex.2", 196),
        )
    ),
    _transformer(
        "flux-dev",
        "the transformer of Flux.1 dev or Kontext",
        "img_in.weight [3072,64]; guidance_in.*; vector_in.* or double_blocks.*",
        lacks="distilled_guidance_layer.*; txt_norm.weight; cond_type_embedding.weight",
    ),
    _transformer(
        "flux-schnell",
        "the transformer of Flux.1 schnell, or one that is not distilled for guidance",
        "img_in.weight [3072,64]; vector_in.*",
    ),
    _transformer(
        "flux-diffusers",
        "the transformer of Flux.1 in diffusers' naming",
        "x_embedder.weight [3072,64]; single_transformer_blocks.*",
    ),
)

_QWEN = (
    _transformer(
        "qwen-image-layered",
        "Qwen-Image Layered",
        "txt_norm.weight [3584]; time_text_embed.addition_t_embedding.weight",
    ),
    _transformer("qwen-image-edit-2511", "Qwen-Image-Edit 2511", "txt_norm.weight [3584]; __index_timestep_zero__"),
    _transformer(
        "qwen-image",
        "the transformer of Qwen-Image or Qwen-Image-Edit",
        "img_in.weight [3072,64]; txt_norm.weight [3584] or txt_in.weight [3072,3584]",
    ),
)

_Z_IMAGE = (
    _transformer("z-image-pixel", "the variant of Z-Image that works on pixels", "cap_embedder.1.weight; dec_net.*"),
    _transformer(
        "z-image-diffusers",
        "the transformer of Z-Image in diffusers' naming",
        "cap_embedder.1.weight [3840,2560]; layers.0.attention.to_q.weight",
    ),
    _transformer(
        "z-image",
        "the transformer of Z-Image",
        "cap_embedder.1.weight [3840,2560]",
        source=_COMFY,
    ),
    _transformer("lumina-2", "the transformer of Lumina 2", "cap_embedder.1.weight [2304,2304]"),
)

_WAN_PATCH = "patch_embedding.weight"

_WAN = (
    _transformer(
        "wan-diffusers",
        "the transformer of Wan in diffusers' naming",
        "condition_embedder.*; patch_embedding.weight or blocks.0.attn1.to_q.weight",
    ),
    _transformer("wan-vace", "Wan VACE", f"{_WAN_PATCH}; vace_blocks.* or vace_patch_embedding.*"),
    _transformer("wan-control", "a Wan model with a control adapter", f"{_WAN_PATCH}; control_adapter.*"),
    _transformer(
        "wan-audio",
        "a Wan model driven by audio",
        f"{_WAN_PATCH}; audio_proj.* or casual_audio_encoder.* or audio_injector.* or music_encoder.*",
    ),
    _transformer(
        "wan-animate",
        "Wan 2.2 Animate, which the trainer does not train",
        f"{_WAN_PATCH}; face_adapter.* or pose_patch_embedding.* or motion_encoder.*",
        source=_COMFY,
    ),
    *(
        _transformer(name, f"the transformer of {title}", f"{_WAN_PATCH} [{shape},1,2,2]{more}", lacks=lacks)
        for name, title, shape, more, lacks in (
            ("wan-2.1-t2v-1.3b", "Wan 2.1 T2V-1.3B", "1536,16", "", ""),
            ("wan-2.1-i2v-1.3b", "Wan 2.1 Fun-1.3B-InP", "1536,36", "", ""),
            ("wan-t2v-14b", "Wan 14B text-to-video (2.1, or 2.2 low or high noise)", "5120,16", "", ""),
            ("wan-2.1-flf2v-14b", "Wan 2.1 FLF2V-14B", "5120,36", "; img_emb.emb_pos", ""),
            ("wan-2.1-i2v-14b", "Wan 2.1 I2V-14B", "5120,36", "; blocks.0.cross_attn.k_img.weight", ""),
            ("wan-2.2-i2v-14b", "Wan 2.2 I2V-A14B", "5120,36", "", "blocks.0.cross_attn.k_img.weight"),
            ("wan-2.2-ti2v-5b", "Wan 2.2 TI2V-5B", "3072,48", "", ""),
        )
    ),
)

_HUNYUAN = (
    _transformer(
        "hunyuan-video-15-distilled",
        "HunyuanVideo 1.5, distilled for guidance",
        "cond_type_embedding.weight or img_in.proj.weight [2048,65,1,1,1]; guidance_in.*",
        source=_COMFY,
    ),
    _transformer(
        "hunyuan-video-15",
        "the transformer of HunyuanVideo 1.5",
        "cond_type_embedding.weight or img_in.proj.weight [2048,65,1,1,1]",
        lacks="single_blocks.*",
        source=_COMFY,
    ),
    _transformer(
        "hunyuan-image-distilled",
        "HunyuanImage 2.1, distilled",
        "img_in.proj.weight [3584,64,1,1]; guidance_in.* or time_r_in.*",
    ),
    _transformer(
        "hunyuan-image",
        "the transformer of HunyuanImage 2.1",
        "img_in.proj.weight [3584,64,1,1]",
    ),
    _transformer(
        "hunyuan-video",
        "the transformer of HunyuanVideo",
        "img_in.proj.weight [3072,16,1,2,2]",
    ),
    _transformer(
        "hunyuan-video-i2v", "HunyuanVideo for images to video, or SkyReels V1", "img_in.proj.weight [3072,32|33,1,2,2]"
    ),
)

_LTX_BLOCK = "transformer_blocks.0.attn2.to_k.weight"

_LTX = (
    _checkpoint("ltx-2.0", "LTX-2 (2.0, without prompt_adaln)", "audio_adaln_single.*", lacks="prompt_adaln_single.*"),
    _checkpoint("ltx-2.3", "a checkpoint of LTX-2.3", "prompt_adaln_single.*; vae.*"),
    _checkpoint("ltx-2.3-transformer", "the transformer of LTX-2.3 alone, without its VAE", "prompt_adaln_single.*"),
    _checkpoint(
        "ltx-video",
        "a checkpoint of LTX-Video",
        f"{_LTX_BLOCK} [2048|4096,*]; vae.* or adaln_single.*",
        lacks="audio_adaln_single.*",
    ),
)

_COSMOS = (
    _transformer(
        "cosmos",
        "the transformer of Cosmos 1.0 7B",
        "blocks.block0.blocks.0.block.attn.to_q.0.weight [4096,4096]",
    ),
    _transformer("cosmos-other", "Cosmos 1.0 of another size", "blocks.block0.*"),
    _transformer("cosmos-video2world", "Cosmos Predict 2 Video2World", "x_embedder.proj.1.weight [2048|5120,72]"),
    _transformer(
        "anima",
        "the transformer of Anima",
        "x_embedder.proj.1.weight [2048|5120,68]; llm_adapter.*",
    ),
    *(
        _transformer(
            f"cosmos-predict2-{size}",
            f"the transformer of Cosmos Predict 2 {size.upper()}",
            f"x_embedder.proj.1.weight [{width},68]",
        )
        for size, width in (("2b", 2048), ("14b", 5120))
    ),
)

_OTHERS = (
    _transformer(
        "minimax-h3",
        "the transformer of MiniMax H3",
        "video_patch_proj.weight; audio_patch_proj.weight",
        source=_COMFY,
    ),
    _transformer(
        "auraflow",
        "the transformer of AuraFlow or Pony V7",
        "double_layers.0.attn.w1q.weight or model.double_layers.0.attn.w1q.weight",
    ),
    _transformer(
        "hidream",
        "the transformer of HiDream-I1",
        "caption_projection.0.linear.weight",
    ),
    _transformer("hidream-o1", "HiDream-O1", "t_embedder1.*"),
    _transformer(
        "sd3",
        "the transformer of Stable Diffusion 3.5",
        "pos_embed.proj.weight [1536|2432,16,2,2]",
    ),
    _transformer(
        "omnigen2",
        "the transformer of OmniGen2",
        "time_caption_embed.timestep_embedder.linear_1.bias",
    ),
    _transformer(
        "ideogram4",
        "the transformer of Ideogram 4",
        "embed_image_indicator.weight",
        source=_COMFY,
    ),
    _transformer(
        "krea2",
        "the transformer of Krea 2",
        "txtfusion.projector.weight [*,12]; first.weight [6144,64]",
        source=_COMFY,
    ),
    _transformer(
        "ernie-image",
        "the transformer of ERNIE-Image",
        "layers.0.mlp.linear_fc2.weight",
        source=_COMFY,
    ),
)

TRANSFORMERS: tuple[Fingerprint, ...] = (
    _CONTROLNET,
    *_SDXL,
    *_FLUX,
    *_QWEN,
    *_Z_IMAGE,
    *_WAN,
    *_HUNYUAN,
    *_LTX,
    *_COSMOS,
    *_OTHERS,
)
