"""What belongs under a key of [model], in words, for those who named something else."""

from api.files.weights.fingerprints.table import titles_of

#: Any language model is taken as a directory (models/cosmos_predict2.py), Anima's alone as a file.
ANY_LANGUAGE_MODEL = "anima.llm_path/"

#: Where the headers of what belongs there are not known, or where too much belongs there to be listed.
_WORDS = {
    "minimax_h3.vae": "the video VAE of MiniMax H3 (minimax_h3_video_vae_fp16.safetensors)",
    "minimax_h3.audio_vae": "the audio VAE of MiniMax H3 (minimax_h3_audio_vae_fp32.safetensors)",
    ANY_LANGUAGE_MODEL: "a language model as a directory in transformers' form",
}


def what_to_name(slots: tuple[str, ...]) -> str:
    """The advice for what stands in these places and does not belong there."""
    titles = dict.fromkeys(
        title for slot in slots for title in ((_WORDS[slot],) if slot in _WORDS else titles_of(slot))
    )
    return f"Here belongs {', or '.join(titles)}." if titles else "Name the right file."
