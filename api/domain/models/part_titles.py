"""Coded titles of model parts, such as "the VAE of Flux 2"."""

from api.domain.reason import Reason

#: Codes and forms of titles; the first that fits is used. Names of models are the same in all languages.
PART_FORMS = (
    ("part_in_diffusers_naming", "{part} in diffusers' naming"),
    ("part_in_comfyui_naming", "{part} in ComfyUI's names"),
    ("part_in_wan_naming", "{part} in Wan's names"),
    ("part_of_first_version", "{part} of the first version"),
    ("part_single_file", "{part} as a single file"),
    ("part_without_vae", "{part} alone, without its VAE"),
    ("part_without_encoders", "{part} alone, without its text encoders"),
    ("part_or_undistilled", "{part}, or one that is not distilled for guidance"),
    ("part_distilled", "{part}, distilled for guidance"),
    ("part_of_other_size", "{part} of another size"),
    ("part_untrainable", "{part}, which the trainer does not train"),
    ("part_video_vae", "the video VAE of {part}"),
    ("part_audio_vae", "the audio VAE of {part}"),
    ("part_vae", "the VAE of {part}"),
    ("part_llm_adapter", "the adapter between a language model and the transformer of {part}"),
    ("part_transformer", "the transformer of {part}"),
    ("part_unet", "the UNet of {part}"),
    ("part_encoder_of", "the text encoder of {part}"),
    ("part_encoder", "the text encoder {part}"),
    ("part_image_encoder", "the image encoder CLIP of {part}"),
    ("part_language_model", "the language model {part}"),
    ("part_refiner", "the refiner of {part}"),
    ("part_inpainting", "an inpainting checkpoint of {part}"),
    ("part_checkpoint", "a checkpoint of {part}"),
    ("part_unknown_language_model", "an unknown language model"),
    ("part_language_model_directory", "a language model as a directory in transformers' form"),
    ("part_pixels", "the variant of Z-Image that works on pixels"),
    ("part_controlnet", "a ControlNet, which is not trained"),
    ("part_wan_audio", "a Wan model driven by audio"),
    ("part_wan_control", "a Wan model with a control adapter"),
)


def coded_title(title: str) -> Reason | str:
    """Return the title of a part with its code. A title of another form, such as a name, stays as it is."""
    for code, form in PART_FORMS:
        before, place, after = form.partition("{part}")
        if not place and title == form:
            return Reason.of(form, code)
        if place and title.startswith(before) and title.endswith(after) and len(title) > len(before) + len(after):
            return Reason.of(form, code, part=coded_title(title[len(before) : len(title) - len(after)]))
    return title
