"""Makes diffusion-pipe's unchanged train.py run on a CPU. Python imports this module first if it is on PYTHONPATH.

Each patch replaces one thing that needs a GPU, or shrinks a model whose size is fixed in the code. None changes what
the trainer prints, saves or reads. Words in WANDB_NOTES, a variable that a request may set, request failures:

oom_at=3    step at which the GPU's memory is exhausted
pace=0.5    additional seconds per step
bad_item=3  number of the item whose encoding fails while the dataset is cached
"""

# ruff: noqa: PLC0415, PLW0108, A002 - modules are imported when the trainer has imported them; names are torch's own

import functools
import importlib.abc
import importlib.util
import os
import sqlite3
import sys
import time
import types
from fractions import Fraction

_requested = dict(word.split("=", 1) for word in os.environ.get("WANDB_NOTES", "").split() if "=" in word)
_patches = {}
_being_found = set()

OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 23.64 GiB of which 1.12 GiB is "
    "free. Including non-PyTorch memory, this process has 22.50 GiB memory in use."
)


def after_import(name):
    """Call the decorated function with the module of this name as soon as it has been imported."""

    def register(patch):
        _patches[name] = patch
        return patch

    return register


class PatchFinder(importlib.abc.MetaPathFinder):
    """Finds modules like the other finders, and patches those that are registered."""

    def find_spec(self, name, path=None, target=None):
        if name not in _patches or name in _being_found:
            return None
        _being_found.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            _being_found.discard(name)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            _patches[name](module)

        spec.loader.exec_module = execute_and_patch
        return spec


sys.meta_path.insert(0, PatchFinder())


# -- Python and packages ---------------------------------------------------------------------------------------------

if sys.version_info < (3, 12):
    # The trainer's cache passes autocommit=False, which older versions reject.
    _connect = sqlite3.connect
    sqlite3.connect = lambda *args, autocommit=None, **kwargs: _connect(*args, **kwargs)

if importlib.util.find_spec("torchaudio") is None:
    # ComfyUI imports it in many places; only models with sound call it.
    for part in ("", ".functional", ".transforms"):
        module = types.ModuleType(f"torchaudio{part}")
        module.__spec__ = importlib.util.spec_from_loader(module.__name__, None)
        module.__path__, module.__version__, module.MelScale = [], "0", None
        sys.modules[module.__name__] = module
    sys.modules["torchaudio"].functional = sys.modules["torchaudio.functional"]
    sys.modules["torchaudio"].transforms = sys.modules["torchaudio.transforms"]


@after_import("comfy.cli_args")
def use_cpu_in_comfy(cli_args):
    cli_args.args.cpu = True


@after_import("comfy_api.latest._input_impl.video_types")
def add_missing_methods(video_types):
    """ComfyUI older than the trainer's commit lacks two methods, without which every video is skipped."""
    import av

    video = video_types.VideoFromFile
    if hasattr(video, "get_frame_count"):
        return

    def read(self, attribute):
        with av.open(self.get_stream_source()) as container:
            return getattr(container.streams.video[0], attribute)

    video.get_frame_count = lambda self: int(read(self, "frames"))
    video.get_frame_rate = lambda self: Fraction(read(self, "average_rate"))


# -- devices ---------------------------------------------------------------------------------------------------------


@after_import("torch")
def use_cpu(torch):
    def on_cpu(value):
        is_cuda = isinstance(value, str | torch.device) and str(value).partition(":")[0] == "cuda"
        return torch.device("cpu") if is_cuda else value

    move = torch.Tensor.to

    @functools.wraps(move)
    def move_to_cpu(*args, **kwargs):
        return move(*map(on_cpu, args), **{key: on_cpu(value) for key, value in kwargs.items()})

    torch.Tensor.to = move_to_cpu
    for kind in (torch.Tensor, torch.nn.Module):
        kind.cuda = lambda self, *args, **kwargs: self
    torch.cuda.set_device = lambda device: None
    torch.cuda.current_device = lambda: 0

    class CPUAutocast(torch.autocast):
        def __init__(self, device_type, *args, **kwargs):
            super().__init__(str(on_cpu(device_type)), *args, **kwargs)

    torch.autocast = torch.amp.autocast = torch.amp.autocast_mode.autocast = CPUAutocast

    # Unlike a GPU's, the CPU's autocast leaves weights of another type than the input, which some models have.
    layer_norm = torch.nn.functional.layer_norm

    def layer_norm_in_one_type(input, normalized_shape, weight=None, bias=None, eps=1e-5):
        of_input = [None if value is None else value.to(input.dtype) for value in (weight, bias)]
        return layer_norm(input, normalized_shape, *of_input, eps)

    torch.nn.functional.layer_norm = layer_norm_in_one_type


@after_import("deepspeed.comm.torch")
def build_nothing(comm):
    """Keep DeepSpeed from compiling a faster communication for CPUs, which takes a minute and a compiler."""
    comm.build_shm_op = lambda: None


@after_import("models.wan.attention")
def replace_flash_attention(attention):
    import torch

    def attend(q, k, v, q_lens=None, k_lens=None, *args, causal=False, **kwargs):
        mask = None if k_lens is None else (torch.arange(k.size(1)) < k_lens[:, None])[:, None, None]
        heads_first = [each.to(v.dtype).transpose(1, 2) for each in (q, k, v)]
        found = torch.nn.functional.scaled_dot_product_attention(*heads_first, attn_mask=mask, is_causal=causal)
        return found.transpose(1, 2).contiguous()

    attention.flash_attention = attend


# -- sizes that the code fixes ---------------------------------------------------------------------------------------


@after_import("models.wan.t5")
def shrink_wan_text_encoder(t5):
    small = {"vocab_size": 128, "dim_attn": 64, "dim_ffn": 64, "num_heads": 2, "encoder_layers": 1}
    t5.umt5_xxl = functools.partial(t5.umt5_xxl, **small)


@after_import("models.wan.vae2_1")
def shrink_wan_vae(vae):
    vae._video_vae = functools.partial(vae._video_vae, dim=8, num_res_blocks=1)


@after_import("models.qwen_image")
def shrink_qwen_image(qwen_image):
    """Its sizes are in the trainer's own configuration files. A head has 128 channels for its rotary embedding."""
    text = {"hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 1, "num_key_value_heads": 1, "layer_types": ["full_attention"]}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 128}
    kind = qwen_image.transformers.Qwen2_5_VLConfig
    read = kind.from_pretrained

    def read_and_shrink(*args, **kwargs):
        config = read(*args, **kwargs)
        for part, values in ((config.text_config, text), (config.vision_config, vision)):
            for name, value in values.items():
                setattr(part, name, value)
        return config

    kind.from_pretrained = read_and_shrink
    transformer = {"num_layers": 1, "num_attention_heads": 1, "joint_attention_dim": 128}
    for name, small in (("QwenImageTransformer2DModel", transformer), ("AutoencoderKLQwenImage", {"base_dim": 8})):
        kind = getattr(qwen_image.diffusers, name)
        kind.from_config = functools.partial(_from_small_config, kind.from_config, small)


def _from_small_config(create, small, config, **kwargs):
    return create({**config, **small}, **kwargs)


# -- requested failures ----------------------------------------------------------------------------------------------


@after_import("deepspeed.runtime.pipe.engine")
def fail_at_step(engine):
    import torch

    pace, oom_at = (float(_requested.get(name, "0")) for name in ("pace", "oom_at"))
    train_batch = engine.PipelineEngine.train_batch

    def train_batch_or_fail(self, *args, **kwargs):
        time.sleep(pace)
        if self.global_steps + 1 == oom_at:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return train_batch(self, *args, **kwargs)

    engine.PipelineEngine.train_batch = train_batch_or_fail


@after_import("utils.dataset")
def fail_at_item(dataset):
    bad, count = int(_requested.get("bad_item", "0")), 0
    handle = dataset.DatasetManager._handle_task

    def handle_or_fail(self, task):
        nonlocal count
        count += 1
        if count == bad:
            raise IndexError("index out of range in self")
        return handle(self, task)

    dataset.DatasetManager._handle_task = handle_or_fail
