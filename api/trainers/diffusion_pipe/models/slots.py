"""Which recognised files fit which slots: `model_type.key`, or `model_type.key/part` for a part of a directory."""

from collections.abc import Mapping

from api.files.weights.fingerprints.fingerprint import Fingerprint
from api.files.weights.fingerprints.text_encoders import LANGUAGE_MODELS, UNKNOWN_LANGUAGE_MODEL
from api.files.weights.recognition import FINGERPRINTS
from api.trainers.diffusion_pipe.models.registry import DESCRIPTIONS


def _with_generic(names: str) -> frozenset[str]:
    known = frozenset(names.split())
    # A language model that is not recognised may still be the right one.
    return known | {UNKNOWN_LANGUAGE_MODEL} if known & LANGUAGE_MODELS else known


_NAMES: Mapping[str, frozenset[str]] = {
    f"{model_type}.{key}": _with_generic(names)
    for model_type, model in DESCRIPTIONS.items()
    for key, names in model.fits.items()
}


def slots_of(component: str) -> frozenset[str]:
    """Return the slots that a component fits, by its fingerprint's name; empty if the trainer cannot use it."""
    return frozenset(slot for slot, names in _NAMES.items() if component in names)


def fingerprints_for(slot: str) -> tuple[Fingerprint, ...]:
    """Return the fingerprints that fit a slot such as `flux.transformer_path`; empty if the slot is unknown."""
    return tuple(each for each in FINGERPRINTS if each.name in _NAMES.get(slot, ()))


def titles_for(slot: str) -> tuple[str, ...]:
    """Return the titles of the components that fit a slot, without generic ones."""
    return tuple(each.title for each in fingerprints_for(slot) if each.name != UNKNOWN_LANGUAGE_MODEL)
