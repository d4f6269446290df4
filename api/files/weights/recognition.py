"""Recognise the model component in a header by its fingerprint, and the quantisation of its weights."""

from api.domain.models.weights import Component, Quantisation
from api.files.weights.fingerprints.fingerprint import Fingerprint
from api.files.weights.fingerprints.text_encoders import TEXT_ENCODERS
from api.files.weights.fingerprints.transformers import TRANSFORMERS
from api.files.weights.fingerprints.vaes import VAES
from api.files.weights.header import Header

#: Complete checkpoints contain encoders and VAEs, too, so they come first.
FINGERPRINTS: tuple[Fingerprint, ...] = (*TRANSFORMERS, *TEXT_ENCODERS, *VAES)

#: Endings of tensor names of quantised weights: the older form, which the trainer looks for, and ComfyUI's newer one.
OLD_SCALES = (".scale_weight", ".scale_input")

NEW_SCALES = (".comfy_quant", ".weight_scale", ".weight_scale_2", ".input_scale")

#: All endings that indicate a quantisation; most files have none, so one check of the names is enough.
_NF4 = ".quant_state.bitsandbytes__nf4"

_FP4 = ".quant_state.bitsandbytes__fp4"

_MARKS = (*OLD_SCALES, *NEW_SCALES, _NF4, _FP4, ".absmax", ".qweight")

_QUANTISATION_METADATA = "_quantization_metadata"


def recognise(header: Header) -> Component | None:
    """Return the component that these tensors form; None if no fingerprint matches."""
    found = next((each for each in FINGERPRINTS if each.fits(header)), None)
    return None if found is None else Component(found.name, found.title, found.component, found.source)


def read_quantisation(header: Header) -> Quantisation | None:
    """Return how the weights are quantised; None if they are not."""
    is_plain = not header.has_key_ending(*_MARKS) and "scaled_fp8" not in header.shapes
    if is_plain and _QUANTISATION_METADATA not in header.metadata:
        return Quantisation.PLAIN_FP8 if (header.dtype or "").startswith("F8_") else None
    if "scaled_fp8" in header.shapes or header.has_key_ending(*OLD_SCALES):
        return Quantisation.SCALED_FP8
    if header.has_key_ending(*NEW_SCALES) or _QUANTISATION_METADATA in header.metadata:
        return Quantisation.COMFY
    if header.has_key_ending(_NF4, _FP4, ".absmax"):
        return Quantisation.BITSANDBYTES
    if header.has_key_ending(".qweight") and header.has_key_ending(".wscales"):
        return Quantisation.NUNCHAKU
    return Quantisation.PLAIN_FP8 if (header.dtype or "").startswith("F8_") else None
