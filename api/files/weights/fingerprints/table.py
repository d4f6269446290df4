"""All fingerprints, in the order in which they are tried: the first that fits holds."""

from api.files.weights.fingerprints.fingerprint import Fingerprint
from api.files.weights.fingerprints.text_encoders import TEXT_ENCODERS, UNKNOWN_LANGUAGE_MODEL
from api.files.weights.fingerprints.transformers import TRANSFORMERS
from api.files.weights.fingerprints.vaes import VAES

#: Whole checkpoints hold encoders and VAEs, too, and so stand before them.
FINGERPRINTS: tuple[Fingerprint, ...] = (*TRANSFORMERS, *TEXT_ENCODERS, *VAES)


def what_belongs(slot: str) -> tuple[Fingerprint, ...]:
    """What can stand in a place such as `flux.transformer_path`; empty where this service does not know."""
    return tuple(each for each in FINGERPRINTS if slot in each.slots)


def titles_of(slot: str) -> tuple[str, ...]:
    """The same as sentences have it, without what is known only for what kind of thing it is."""
    return tuple(each.title for each in what_belongs(slot) if each.name != UNKNOWN_LANGUAGE_MODEL)
