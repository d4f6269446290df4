import pytest

from api.domain.models.weights import Quantisation
from api.files.weights.header import Header
from api.files.weights.recognition import read_quantisation, recognise


def test_unknown_header_is_not_recognised():
    assert recognise(Header({"w": (4, 4)})) is None


@pytest.mark.parametrize(
    ("names", "dtype", "expected"),
    [
        (["scaled_fp8", "a.scale_weight"], "F8_E4M3", Quantisation.SCALED_FP8),
        (["a.scale_input"], "F8_E4M3", Quantisation.SCALED_FP8),
        (["a.weight_scale", "a.comfy_quant"], "I8", Quantisation.COMFY),
        (["a.weight.quant_state.bitsandbytes__nf4"], "U8", Quantisation.BITSANDBYTES),
        (["a.qweight", "a.wscales"], "I8", Quantisation.NUNCHAKU),
        (["a.weight"], "F8_E5M2", Quantisation.PLAIN_FP8),
        (["a.weight", "a.scale"], "BF16", None),
    ],
)
def test_quantisation_is_detected_from_names_and_types(names: list[str], dtype: str, expected: Quantisation | None):
    assert read_quantisation(Header(dict.fromkeys(names, ()), {dtype: 8})) is expected


def test_quantisation_is_detected_from_metadata():
    assert read_quantisation(Header({"a": ()}, {}, {"_quantization_metadata": "{}"})) is Quantisation.COMFY
