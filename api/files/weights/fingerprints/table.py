"""All fingerprints in the order in which they are tried: the first match counts."""

from api.files.weights.fingerprints.fingerprint import Fingerprint
from api.files.weights.fingerprints.text_encoders import TEXT_ENCODERS, UNKNOWN_LANGUAGE_MODEL
from api.files.weights.fingerprints.transformers import TRANSFORMERS
from api.files.weights.fingerprints.vaes import VAES

#: Complete checkpoints contain encoders and VAEs, too, so they come first.
FINGERPRINTS: tuple[Fingerprint, ...] = (*TRANSFORMERS, *TEXT_ENCODERS, *VAES)


def fingerprints_for(slot: str) -> tuple[Fingerprint, ...]:
    """Return the fingerprints that fit a slot such as `flux.transformer_path`; empty if the slot is unknown."""
    return tuple(each for each in FINGERPRINTS if slot in each.slots)


def titles_for(slot: str) -> tuple[str, ...]:
    """Return the titles of the components that fit a slot, without generic ones."""
    return tuple(each.title for each in fingerprints_for(slot) if each.name != UNKNOWN_LANGUAGE_MODEL)
