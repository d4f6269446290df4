import pytest

from api.trainers.protocol.hints import hint_for

GENERIC = hint_for("an unknown error")

#: Error lines of a trainer, and a word in the expected remedy.
ENDINGS = [
    ("KeyError: 'epochs'", "epochs"),
    ("KeyError: 'blocks.0.self_attn.q.weight'", "incomplete"),
    ("KeyError: 'model.layers.3.mlp.up_proj.weight'", "incomplete"),
    ("KeyError: 'lr'", "gradient_release"),
    ("KeyError: 'nf4'", "not a data type"),
    ("KeyError: 'min_ar'", "top level"),
    ("KeyError: 'output_dir'", "output_dir"),
    ("NotImplementedError: Using RTX 4000 series doesn't support faster communication via P2P", "NCCL_IB_DISABLE=1"),
    ("ImportError: flash_attn_2_cuda.so: undefined symbol: _ZN3c105Error", "flash-attn"),
    ("ImportError: /x/flash_attn_2_cuda.cpython-312.so: undefined symbol: _ZN2at", "flash-attn"),
    ("AssertionError: assert FLASH_ATTN_2_AVAILABLE", "flash-attn"),
    ("ModuleNotFoundError: No module named 'comfy.model_management'", "submodule"),
    ("ModuleNotFoundError: No module named 'xformers'", "install `xformers`"),
    ("RuntimeError: CUDA Setup failed despite GPU being available.", "bitsandbytes"),
    ("RuntimeError: Error building extension 'fused_adam'", "CUDA_HOME"),
    ("deepspeed.ops.op_builder.builder.MissingCUDAException: CUDA_HOME does not exist", "CUDA_HOME"),
    ("RuntimeError: CUDA error: no kernel image is available for execution on the device", "built for this GPU"),
    ("RuntimeError: The NVIDIA driver on your system is too old (found version 11040)", "driver"),
    ("OSError: [Errno 24] Too many open files: '/d/1.png'", "LimitNOFILE"),
    ("RuntimeError: Unrecognized CachingAllocator option: expandable_segments", "PYTORCH_CUDA_ALLOC_CONF"),
    ("wandb.errors.UsageError: api_key not configured (no-tty). call wandb.login(key=[your_api_key])", "wandb_api_key"),
    ("torch._dynamo.exc.BackendCompilerFailed: backend='inductor' raised:", "compile = false"),
    (
        "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
        "download it again",
    ),
    ("safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge", "download it again"),
    ("_pickle.UnpicklingError: Weights only load failed.", ".safetensors"),
    ("RuntimeError: Could not autodetect model variant. model_type=t2v, model_dim=1024", "Wan"),
    ("RuntimeError: Unknown model_type: vace", "Wan"),
    ("RuntimeError: Error(s) in loading state_dict for Chroma:", "another model"),
    ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (512x2560 and 4096x3072)", "another model"),
    ("ValueError: fp8_scaled weights are not supported. Please use bf16 or normal fp8 weights.", "bf16"),
    ("ValueError: Expected /m/a.pth to be a safetensors file", ".safetensors"),
    ("RuntimeError: Multiple safetensors files found in /a", "init_from_existing"),
    ("RuntimeError: modified_state_dict key x is not in the model parameters", "init_from_existing"),
    ("AssertionError: Cannot swap more than 28 blocks. Requested 40 blocks to swap.", "at most 28"),
    (
        "AssertionError: Cannot swap more than 17 double blocks and 36 single blocks. Requested 20 double blocks",
        "17 double blocks and 36 single",
    ),
    ("AssertionError: Block swapping only works with pipeline_stages=1", "pipeline_stages = 1"),
    (
        "RuntimeError: Expected all tensors to be on the same device, but found cuda:0 and cpu!",
        "disable_block_swap_for_eval",
    ),
    ("TypeError: AdamW.__init__() got an unexpected keyword argument 'learning_rate'", "remove `learning_rate`"),
    ("AttributeError: module 'pytorch_optimizer' has no attribute 'prodigy'", "case-sensitive"),
    ("NotImplementedError: Unknown lr_scheduler: poly", "cosine"),
    ("NotImplementedError: video_clip_mode=whole is not recognized", "single_middle"),
    ("TypeError: string indices must be integers, not 'str'", "eval_datasets"),
    ("RuntimeError: Invalid mask_path: /x", "mask_path"),
    ("AssertionError: Directory /x had no images/videos!", "images or videos"),
    ("RuntimeError: No control file exists for image /x/a.png", "control_path"),
    ("ValueError: Mask shape (1, 2) was not the same as image shape (3, 4).", "same size"),
    ("OSError: image file is truncated (3 bytes not processed)", "damaged"),
    ("RuntimeError: stack expects each tensor to be equal size, but got [1] at entry 0", "caching_batch_size"),
    ("FileExistsError: [Errno 17] File exists: '/r/epoch1/tmp'", "tmp"),
    ("ZeroDivisionError: integer modulo by zero", "global batch size"),
]


@pytest.mark.parametrize(("text", "word"), ENDINGS)
def test_remedy_contains_the_expected_advice(text: str, word: str):
    remedy = hint_for(text)
    assert remedy != GENERIC
    assert word in remedy.text


@pytest.mark.parametrize(
    "text", ["KeyError: '" + "a." * 240, "flash_attn " * 45, "{}", "module 'x' has no attribute '{0}'"]
)
def test_any_text_gets_a_remedy(text: str):
    assert hint_for(text)
