"""All fingerprints, in the order in which they are tried: the first that fits holds."""

from api.weights.fingerprints.fingerprint import Fingerprint
from api.weights.fingerprints.text_encoders import TEXT_ENCODERS
from api.weights.fingerprints.transformers import TRANSFORMERS
from api.weights.fingerprints.vaes import VAES

#: Whole checkpoints hold encoders and VAEs, too, and so stand before them.
FINGERPRINTS: tuple[Fingerprint, ...] = (*TRANSFORMERS, *TEXT_ENCODERS, *VAES)


def what_belongs(slot: str) -> tuple[Fingerprint, ...]:
    """What can stand in a place such as `flux.transformer_path`; empty where this service does not know."""
    return tuple(each for each in FINGERPRINTS if slot in each.slots)
