import pytest

from api.trainers.failures.hints import hint_for

GENERIC = hint_for("an unknown error")

COMFY = '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip'
TRAINER = '  File "/t/models/wan/wan.py", line 9, in __init__'
STARTED = '  File "/t/train.py", line 9, in <module>'
PACKAGE = '  File "/v/site-packages/deepspeed/runtime/engine.py", line 9, in backward'
LATENTS = "safetensors_rust.SafetensorError: Error while deserializing header: "


@pytest.mark.parametrize(
    "text", ["KeyError: '" + "a." * 240, "flash_attn " * 45, "{}", "module 'x' has no attribute '{0}'"]
)
def test_any_text_gets_a_remedy(text: str):
    assert hint_for(text)


@pytest.mark.parametrize(
    ("text", "traceback", "word"),
    [
        ("KeyError: 'epochs'", [], "`epochs`"),
        ("AssertionError: Cannot swap more than 28 blocks. Requested 40 blocks to swap.", [], "at most 28 can"),
        (
            "AssertionError: Cannot swap more than 17 double blocks and 36 single blocks. Requested 20 double blocks",
            [],
            "17 double blocks and 36 single",
        ),
        ("toml.decoder.TomlDecodeError: Duplicate keys! (line 7 column 1 char 120)", [], "wrong at line 7 column 1:"),
        ("tomllib.TOMLDecodeError: Invalid value (at line 2, column 11)", [], "wrong at line 2, column 11:"),
        ("ModuleNotFoundError: No module named 'cv2'", [], "`opencv-python-headless`"),
        ("ImportError: packages that were not found in your environment: einops. Run", [], "`einops`"),
        ("ImportError: cannot import name 'a' from 'optimum' (/v/a.py)", [], "`optimum-quanto`"),
        ("OSError: Unable to load weights from checkpoint file for '/m/a.safetensors' at '/m/a'.", [], "`/m/a.saf"),
        (LATENTS + "HeaderTooLarge", ["    load(self.model_config['vae_path'])"], "`[model].vae_path` is no saf"),
        (LATENTS + "InvalidHeader", ["    load(self.model_config['dtype'])"], "a file of weights is no"),
        ("KeyError: 'type'", [STARTED, "    config['model']['type']"], "`[model].type` is missing"),
        ("KeyError: 'path'", [STARTED, "    directory_config['path']"], "`[[directory]].path`"),
        ("AttributeError: 'str' object has no attribute 'get'", [STARTED, "    adapter_config['type']"], "`[adapter]`"),
    ],
)
def test_remedy_names_the_part_of_the_error(text: str, traceback: list[str], word: str):
    assert word in hint_for(text, traceback).text


def test_number_of_the_gpu_is_read_from_a_warning_further_up():
    warning = "Found GPU0 GTX 1080 which is of cuda capability 6.1."
    error = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    assert "(sm_61) is too old" in hint_for(error, output=[warning, "caching latents: (1.0, 512, 512, 1)"]).text


def test_rank_of_an_adapter_is_read_from_the_lines_after_the_exception():
    details = ["\tsize mismatch for a.lora_A.default.weight: copying a param with shape torch.Size([16, 8]) from"]
    remedy = hint_for("RuntimeError: Error(s) in loading state_dict for WanModel:", details=details)
    assert "set `rank` in [adapter] to 16" in remedy.text


def test_place_of_an_error_of_the_system_does_not_tell_its_cause():
    assert hint_for("OSError: [Errno 71] Protocol error", [TRAINER, "    open(path)"]) == GENERIC


def test_place_in_the_code_of_others_says_more_than_the_class_of_an_error():
    assert "submodule ComfyUI" in hint_for("KeyError: 'x'", [COMFY, "    a['x']"]).text
    assert "lacks the key `x`" in hint_for("KeyError: 'x'", [STARTED, "    a['x']"]).text
    assert "a file in [model]" in hint_for("KeyError: 'x'", [TRAINER, "    a['x']"]).text
    assert "`[model].x` is missing" in hint_for("KeyError: 'x'", [TRAINER, "    self.model_config['x']"]).text
    assert "`deepspeed`" in hint_for("AssertionError: not a scalar", [STARTED, "    x", PACKAGE, "    y"]).text


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("BrokenPipeError: [Errno 32] Broken pipe", []),
        ("AttributeError: 'NoneType' object has no attribute 'x'", []),
        ("RuntimeError: unknown", [PACKAGE, "    y"]),
        ("NotImplementedError: No operator found for `an_operator`", []),
    ],
)
def test_error_that_says_too_little_gets_the_general_advice(text: str, frames: list[str]):
    assert hint_for(text, [STARTED, "    x", *frames]) == GENERIC
