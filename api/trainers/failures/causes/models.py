"""Models, and their parts that do not belong together."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "unknown_wan",
        pattern=r"Could not autodetect model variant|Unknown model_type",
        remedy=(
            "ckpt_path holds a Wan version that this trainer does not support: use T2V, I2V or FLF2V of 2.1, "
            "or T2V, I2V or TI2V-5B of 2.2"
        ),
        remedy_zh="ckpt_path 中是此训练器不认识的 Wan：请使用 2.1 的 T2V、I2V 或 FLF2V，或 2.2 的 T2V、I2V 或 TI2V-5B",
        examples=(
            "RuntimeError: Could not autodetect model variant. model_type=t2v, model_dim=1024",
            "RuntimeError: Unknown model_type: vace",
        ),
    ),
    KnownCause(
        "unknown_to_comfy",
        pattern=r"state_dict for .*size mismatch for|^KeyError: '[\w.]+\.(?:weight|bias)'",
        within=r"/submodules/ComfyUI/",
        remedy=(
            "the trainer's ComfyUI takes the file for one of another model or size, most often as it is too "
            "old to know it: run `git pull` and `git submodule update --init --recursive` in the trainer's "
            "directory; if it recurs, set the bf16 file that belongs to the model in [model]"
        ),
        remedy_zh=(
            "训练器的 ComfyUI 把该文件当成了其他模型或其他大小的模型，多半是 ComfyUI 太旧、不认识它：在训练器的"
            "目录中运行 `git pull` 与 `git submodule update --init --recursive`；若再次出现，请在 [model] 中设"
            "置属于该模型的 bf16 文件"
        ),
        examples=(
            (
                '  File "/t/models/../submodules/ComfyUI/comfy/sd.py", line 9, in load_clip\n'
                "RuntimeError: Error(s) in loading state_dict for Qwen3_4B:\n"
                "\tsize mismatch for a.weight: copying"
            ),
            (
                '  File "/t/submodules/ComfyUI/comfy/sd.py", line 9, in load\n'
                "KeyError: 'double_blocks.0.img_attn.weight'"
            ),
        ),
    ),
    KnownCause(
        "other_size",
        pattern=r"Trying to set a tensor of shape|expected shape torch\.Size\(.{1,80}but got",
        remedy=(
            "the weights are of another size than the model's config.json: set a directory (ckpt_path or "
            "diffusers_path) and weights (transformer_path) of the same model and size"
        ),
        remedy_zh=(
            "权重的大小与模型的 config.json 不符：请设置同一模型、同一大小的目录（ckpt_path 或 diffusers_path）"
            "与权重（transformer_path）"
        ),
        examples=(
            'ValueError: Trying to set a tensor of shape torch.Size([5120, 16, 1, 2, 2]) in "weight" (which has',
            "ValueError: Cannot load x because y expected shape torch.Size([3072, 64]), but got torch.Size([1])",
        ),
    ),
    KnownCause(
        "other_encoder",
        pattern=r"mat1 and mat2 shapes",
        remedy=(
            "a text encoder, or another file of [model], is of another model or variant: set the right one, "
            "and start the training again with regenerate_cache = true"
        ),
        remedy_zh=(
            "文本编码器或 [model] 的另一个文件属于另一个模型或变体：请设置正确的文件，并以 regenerate_cache = "
            "true 重新开始训练"
        ),
        examples=(
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (512x2560 and 4096x3072)",
            "RuntimeError: mat1 and mat2 shapes cannot be multiplied (512x7680 and 12288x4096)",
        ),
    ),
    KnownCause(
        "too_large",
        pattern=r"INT_MAX|int32_t>::max|integer out of range|invalid configuration argument",
        remedy=(
            "a tensor is too large for an operation of the GPU: lower the resolutions, frame_buckets, "
            "caching_batch_size or micro_batch_size_per_gpu"
        ),
        remedy_zh=(
            "某个张量对 GPU 的一项运算来说太大：请降低分辨率、frame_buckets、caching_batch_size 或 "
            "micro_batch_size_per_gpu"
        ),
        examples=(
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "RuntimeError: only supports tensors with less than INT_MAX elements"
            ),
            "RuntimeError: canUse32BitIndexMath: value > std::numeric_limits<int32_t>::max()",
            "RuntimeError: integer out of range",
            "torch.AcceleratorError: CUDA error: invalid configuration argument",
        ),
    ),
    KnownCause(
        "indivisible",
        pattern=r"divisible by|% (?:self\.)?\w{0,40}patch_size",
        remedy=(
            "sizes do not divide into the model's patches: use resolutions or size_buckets of multiples of 32, "
            "and frame_buckets of 1, 5, 9 and so on (4n + 1; for ltx models 8n + 1), and start the training "
            "again with regenerate_cache = true"
        ),
        remedy_zh=(
            "尺寸不能被模型的 patch 整除：请使用 32 的倍数的分辨率或 size_buckets，frame_buckets 为 1、5、9 等"
            "（4n + 1；ltx 模型为 8n + 1），并以 regenerate_cache = true 重新开始训练"
        ),
        examples=(
            (
                '  File "/v/site-packages/deepspeed/runtime/pipe/engine.py", line 9, in train_batch\n'
                '  File "/t/models/a.py", line 9, in forward\n'
                "    assert T % self.patch_size == 0\n"
                "AssertionError"
            ),
            "ValueError: `height` and `width` have to be divisible by 16 but are 520 and 512.",
        ),
    ),
    KnownCause(
        "sizes_differ",
        pattern=(
            r"size of tensor a|Given normalized_shape|expected input\[.{1,80}channels"
            r"|is invalid for input of size"
            r"|EinopsError|Sizes of tensors must match|Expected size for first two dimensions"
            r"|expanded size of the tensor|must have same number of dimensions"
        ),
        remedy=(
            "a VAE, a text encoder or another file of [model] is of another model, or the cache is of an "
            "earlier one: set the right file, and start the training again with regenerate_cache = true; if a "
            "resumed training failed, restore its earlier [adapter] and [optimizer]"
        ),
        remedy_zh=(
            "VAE、文本编码器或 [model] 的另一个文件属于另一个模型，或缓存来自之前的模型：请设置正确的文件，并以"
            " regenerate_cache = true 重新开始训练；若是继续训练时失败，请恢复之前的 [adapter] 与 [optimizer]"
        ),
        examples=(
            (
                "RuntimeError: The size of tensor a (64) must match the size of tensor b (96) at non-singleton "
                "dimension 3"
            ),
            "RuntimeError: The expanded size of the tensor (15) must match the existing size (16)",
            "RuntimeError: Given normalized_shape=[4096], expected input with shape [*, 4096]",
            (
                "RuntimeError: Given groups=1, weight of size [320, 4, 3, 3], expected input[1, 16, 64, 64] to "
                "have 4 channels"
            ),
            "RuntimeError: shape '[1, 16, 64]' is invalid for input of size 512",
            "einops.EinopsError: Error while processing rearrange-reduction pattern",
            "RuntimeError: Sizes of tensors must match except in dimension 1.",
            "RuntimeError: Expected size for first two dimensions of batch2 tensor to be: [1, 77]",
            "RuntimeError: Tensors must have same number of dimensions: got 3 and 4",
        ),
    ),
    KnownCause(
        "other_transformer",
        pattern=(
            r"state_dict for (?:\w*(?:Transformer[23]D|WanModel|DiT\b|DIT\b|UNet|Transformer\b)\w*|(?:Flux"
            r"|Chroma"
            r"|Qwen\w*Image)\w*)|\[other transformer\]$"
        ),
        remedy=(
            "the file of the transformer is of another model, or has another form: set the right one "
            "(transformer_path, diffusion_model or checkpoint_path in [model], or the directory in ckpt_path "
            "or diffusers_path)"
        ),
        remedy_zh=(
            "transformer 的文件属于另一个模型或另一种格式：请设置正确的文件（[model] 的 transformer_path、"
            "diffusion_model 或 checkpoint_path，或 ckpt_path、diffusers_path 中的目录）"
        ),
        examples=(
            "RuntimeError: Error(s) in loading state_dict for Chroma:",
            "RuntimeError: Error(s) in loading state_dict for ChromaTransformer2DModel:",
            "RuntimeError: Error(s) in loading state_dict for WanModel:",
            (
                "    set_module_tensor_to_device(transformer, key, device='cpu', dtype=dtype, value=tensor)\n"
                "AttributeError: 'AModel' object has no attribute 'conv1'"
            ),
        ),
    ),
    KnownCause(
        "other_vae",
        pattern=r"state_dict for \w*(?:VAE|Autoencoder)\w*|\[other VAE\]$",
        remedy=(
            "the file of the VAE is of another model, or has another form: set the right one (vae_path or vae "
            "in [model], or the one in ckpt_path or diffusers_path)"
        ),
        remedy_zh=(
            "VAE 的文件属于另一个模型或另一种格式：请设置正确的文件（[model] 的 vae_path 或 vae，或 ckpt_path、"
            "diffusers_path 中的文件）"
        ),
        examples=(
            "RuntimeError: Error(s) in loading state_dict for AutoencoderKLCausal3D:",
            "RuntimeError: Error(s) in loading state_dict for WanVAE_:",
            (
                "    set_module_tensor_to_device(vae, key, device='cpu', dtype=dtype, value=tensor)\n"
                "AttributeError: 'AModel' object has no attribute 'conv1'"
            ),
            (
                "    set_module_tensor_to_device(vae, key, device='cpu', dtype=dtype, value=tensor)\n"
                "ValueError: AutoencoderKLQwenImage("
            ),
        ),
    ),
    KnownCause(
        "other_text_encoder",
        pattern=(
            r"state_dict for \w*(?:T5|Llama|Qwen|Gemma|CLIP|Mistral|Ministral|Bert|TextModel|TextEncoder)\w*"
            r"|\[other text encoder\]$|Unrecognized configuration class"
        ),
        remedy=(
            "the file of a text encoder is of another model, or has another form: set the right one "
            "(text_encoders, text_encoder_path, llm_path, t5_path, clip_path or llama3_path in [model], or the "
            "one in ckpt_path)"
        ),
        remedy_zh=(
            "文本编码器的文件属于另一个模型或另一种格式：请设置正确的文件（[model] 的 text_encoders、"
            "text_encoder_path、llm_path、t5_path、clip_path 或 llama3_path，或 ckpt_path 中的文件）"
        ),
        examples=(
            "RuntimeError: Error(s) in loading state_dict for T5Encoder:",
            "RuntimeError: Error(s) in loading state_dict for Gemma2Model:",
            "RuntimeError: Error(s) in loading state_dict for CLIPTextModel:",
            "ValueError: Unrecognized configuration class <class 'Qwen2_5_VLConfig'> for this kind",
            (
                "    set_module_tensor_to_device(self.text_encoder, name, device='cpu', dtype=dtype, value=tensor)\n"
                "KeyError: 'model.embed_tokens.weight'"
            ),
        ),
    ),
    KnownCause(
        "other_model",
        pattern=(
            r"Error\(s\) in loading state_dict|size mismatch for|Missing key\(s\)|Unexpected key\(s\)"
            r"|does not have a parameter or a buffer named"
        ),
        remedy=(
            "a file of another model, or another version of it, is set in one of [model]'s paths: compare them "
            "with the trainer's documentation"
        ),
        remedy_zh="[model] 的某个路径是另一个模型或另一个版本的文件：请与训练器的文档对照",
        examples=(
            "ValueError: AutoencoderKLQwenImage() does not have a parameter or a buffer named conv1.weight.",
            "RuntimeError: Error(s) in loading state_dict for Net:",
            "RuntimeError: size mismatch for a.weight",
            "RuntimeError: Missing key(s) in state_dict: 'a'",
            "RuntimeError: Unexpected key(s) in state_dict: 'a'",
        ),
    ),
    KnownCause(
        "no_vae_inside",
        pattern=r"assert len\(vae_sd\) > 0",
        remedy=(
            "the file in `[model].diffusion_model` has no VAE, as it holds the transformer only: set the "
            "complete checkpoint of the model"
        ),
        remedy_zh="`[model].diffusion_model` 处的文件只含 transformer，没有 VAE：请设置该模型的完整检查点",
        examples=("    assert len(vae_sd) > 0\nAssertionError",),
    ),
    KnownCause(
        "other_checkpoint",
        pattern=r"Missing key: `",
        remedy=(
            "the checkpoint that the error names lacks the weights that the trainer reads: download the "
            "official one again, or set transformer_path in [model] to a .safetensors file of the model"
        ),
        remedy_zh=(
            "错误所指的检查点缺少训练器要读取的权重：请重新下载官方的检查点，或把 [model] 中的 "
            "transformer_path 设为该模型的 .safetensors 文件"
        ),
        examples=("KeyError: 'Missing key: `module` in the checkpoint: /m/a.pt.'",),
    ),
    KnownCause(
        "incomplete_weights",
        pattern=(
            r"Cound not find safetensors|appear to be missing in the checkpoint|No model weights found"
            r"|Invalid model path|CORRUPTED MODEL|assert len\(missing_keys\) == 0"
            r"|File does not contain tensor|KeyError: '(?:[\w.]+\.)?(?:blocks|layers|double_blocks|single_blocks"
            r"|transformer_blocks)\.\d[\w.]*'|KeyError: '[\w.]+\.(?:weight|bias)'"
        ),
        remedy="the weights are incomplete or of another model: download all their files, or correct the path",
        remedy_zh="权重不完整，或属于另一个模型：下载其全部文件，或改正路径",
        examples=(
            "KeyError: 'blocks.0.self_attn.q.weight'",
            "KeyError: 'model.layers.3.mlp.up_proj.weight'",
            "ValueError: No model weights found in /m/hunyuan",
            (
                "    set_module_tensor_to_device(transformer, name, device='cpu', dtype=dtype, value=tensor)\n"
                "KeyError: 'blocks.0.q.weight'"
            ),
            "RuntimeError: Cound not find safetensors in /m",
            "ValueError: These weights appear to be missing in the checkpoint",
            "ValueError: Invalid model path: /m/hunyuan",
            "ValueError: CORRUPTED MODEL: /m/a",
            '  File "/t/models/hunyuan.py", line 9, in load_vae\n    assert len(missing_keys) == 0\nAssertionError',
            "safetensors_rust.SafetensorError: File does not contain tensor a.weight",
        ),
    ),
    KnownCause(
        "distilled",
        pattern=r"guidance distilled model",
        remedy=(
            "the file set as `diffusion_model` is of a distilled model, which cannot be trained: set the base "
            "model's file"
        ),
        remedy_zh="`diffusion_model` 所设的文件属于蒸馏模型，无法训练：请设置基础模型的文件",
        examples=("ValueError: Cannot train a guidance distilled model",),
    ),
    KnownCause(
        "other_ltx",
        pattern=r"text_projection_type ==",
        remedy=(
            "`diffusion_model` is of another LTX, but the type ltx2 trains LTX 2.3 only: set the checkpoint of that"
        ),
        remedy_zh="`diffusion_model` 的文件属于另一个 LTX，而类型 ltx2 只能训练 LTX 2.3：请填写它的 checkpoint",
        examples=('    assert self.text_projection_type == "dual_linear"\nAssertionError',),
    ),
    KnownCause(
        "invalid_vae",
        pattern=r"VAE is invalid",
        remedy="the file set as `vae` in [model] is not a VAE of this model: set the VAE file that belongs to it",
        remedy_zh="[model] 中 `vae` 所设的文件不是此模型的 VAE：请设置属于该模型的 VAE 文件",
        examples=("RuntimeError: ERROR: VAE is invalid: None",),
    ),
    KnownCause(
        "undetected_model",
        pattern=r"[Cc]ould not (?:auto)?detect (?:Flux2 )?model|Unknown Flux2 model",
        remedy=(
            "the file in [model] is of a model that the trainer's ComfyUI does not know, or no model at all: "
            "compare it with the documentation, or update the trainer and its submodules"
        ),
        remedy_zh=(
            "[model] 中的文件属于训练器的 ComfyUI 不认识的模型，或根本不是模型：请对照文档，或更新训练器及其子模块"
        ),
        examples=(
            "RuntimeError: ERROR: Could not detect model type of: /m/x.safetensors",
            "RuntimeError: Could not autodetect Flux2 model version from weights file.",
            "RuntimeError: Unknown Flux2 model",
        ),
    ),
    KnownCause(
        "text_encoder_path",
        pattern=(
            r"Missing text encoder path|need text encoder path|Unknown text encoder|assert pooled is None"
            r"|Unsupported text encoder type|does not have a function to call it"
        ),
        remedy=(
            "set the text encoder that belongs to this model in [model], with its path and type as in the "
            "trainer's example for this model type; if they are right, update the trainer and its submodules"
        ),
        remedy_zh=(
            "请在 [model] 中按照训练器为此模型类型提供的示例，设置属于此模型的文本编码器及其路径和类型；若它们"
            "正确，请更新训练器及其子模块"
        ),
        examples=(
            "RuntimeError: Missing text encoder path",
            "RuntimeError: Text encoder <class 'X'> does not have a function to call it",
            "    assert pooled is None\nAssertionError",
            "RuntimeError: You need text encoder path",
            "ValueError: Unknown text encoder type",
            "ValueError: Unsupported text encoder type: t5",
        ),
    ),
    KnownCause(
        "other_layout",
        pattern=r"^KeyError",
        within=r"\bjson_config\[",
        remedy=(
            "the model's config.json has another layout, most often that of a repository for Diffusers: "
            "download the official repository of the model (its name has no `-Diffusers`), and give its "
            "directory"
        ),
        remedy_zh=(
            "模型的 config.json 是另一种结构，多半属于供 Diffusers 使用的仓库：请下载该模型的官方仓库（名称不含"
            " `-Diffusers`），并填写其目录"
        ),
        examples=("    model_type = self.json_config['model_type']\nKeyError: 'model_type'",),
    ),
    KnownCause(
        "flux_unsaved",
        pattern=r"not found in diffusers_to_bfl_map",
        remedy="the trainer cannot save a whole model of this variant of Flux: train an adapter of type lora",
        remedy_zh="训练器不能保存 Flux 这一变体的完整模型：请训练 lora 类型的适配器",
        examples=("  x, in save_model\nKeyError: 'Key not found in diffusers_to_bfl_map: x'",),
    ),
    KnownCause(
        "unknown_model_type",
        pattern=r"NotImplementedError: Model type (.{0,80}) is not implemented",
        remedy=(
            "the trainer does not know the model type `{what}`: correct `type` in [model], as in the trainer's "
            "docs/supported_models.md; if it is right, update the trainer"
        ),
        remedy_zh=(
            "训练器不认识模型类型 `{what}`：请按训练器的 docs/supported_models.md 更正 [model] 中的 `type`；若"
            "它正确，请更新训练器"
        ),
        examples=("NotImplementedError: Model type flux1 is not implemented",),
    ),
    KnownCause(
        "timestep_method",
        pattern=r"^NotImplementedError$",
        within=r"in (?:prepare_inputs|get_t_distribution)$",
        remedy="set timestep_sample_method in [model] to 'logit_normal' or 'uniform', or remove it",
        remedy_zh="请把 [model] 中的 timestep_sample_method 设为 'logit_normal' 或 'uniform'，或去掉它",
        examples=('  File "/t/models/z_image.py", line 70, in prepare_inputs\nNotImplementedError',),
    ),
    KnownCause(
        "diffusers_directory",
        pattern=r"^NotImplementedError$",
        within=r'/models/(?:sd3|omnigen2)\.py", line \d+, in (?:__init__|load_diffusion_model)$',
        remedy=(
            "set diffusers_path in [model] to the model's directory for Diffusers: this type is loaded from it only"
        ),
        remedy_zh="请把 [model] 的 diffusers_path 设为该模型的 Diffusers 目录：训练器只能由此加载这种类型",
        examples=('  File "/t/models/sd3.py", line 38, in __init__\nNotImplementedError',),
    ),
    KnownCause(
        "lora_only",
        pattern=r"NotImplementedError(?:$|: Adapter type)",
        remedy="the trainer does not support this for this model: train an adapter of type lora",
        remedy_zh="训练器对此模型做不到：请训练 lora 类型的适配器",
        examples=(
            "NotImplementedError",
            '  File "/t/models/sd3.py", line 67, in save_model\nNotImplementedError',
        ),
    ),
    KnownCause(
        "index_in_table",
        pattern=r"index out of range in self",
        remedy=(
            "a caption has a token that the text encoder does not know: set the text encoder and tokenizer "
            "that belong to the model, and shorten very long captions"
        ),
        remedy_zh="某条标注含有文本编码器不认识的 token：请设置属于该模型的文本编码器与 tokenizer，并缩短过长的标注",
        examples=("IndexError: index out of range in self",),
    ),
    KnownCause(
        "index_on_gpu",
        pattern=r"device-side assert",
        remedy=(
            "an index on the GPU was out of range: check that text encoders and tokenizers belong to the "
            "model, and shorten very long captions; CUDA_LAUNCH_BLOCKING=1 in `env` makes the traceback show "
            "the place"
        ),
        remedy_zh=(
            "GPU 上的某个索引超出范围：请确认文本编码器与 tokenizer 属于该模型，并缩短过长的标注；在 `env` 中设"
            "置 CUDA_LAUNCH_BLOCKING=1 可使堆栈显示出错的位置"
        ),
        examples=(
            "torch.AcceleratorError: CUDA error: device-side assert triggered",
            "RuntimeError: CUDA error: device-side assert triggered",
        ),
    ),
)
