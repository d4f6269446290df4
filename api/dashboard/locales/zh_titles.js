// Chinese names of model parts, and notes of presets, variants and memory.

/** Titles of model parts by pattern; names are not translated. @type {readonly (readonly [RegExp, string])[]} */
export const parts = [
  [/^the video VAE of (.+)$/, "$1 的视频 VAE"],
  [/^the audio VAE of (.+)$/, "$1 的音频 VAE"],
  [/^the VAE of (.+)$/, "$1 的 VAE"],
  [/^the transformer of (.+)$/, "$1 的 transformer"],
  [/^the text encoder of (.+)$/, "$1 的文本编码器"],
  [/^the text encoder (.+)$/, "文本编码器 $1"],
  [/^the language model (.+)$/, "语言模型 $1"],
  [/^the directory of (.+), without its transformer$/, "$1 的目录，不含 transformer"],
  [/^the directory of (.+)$/, "$1 的目录"],
  [/^the adapter that removes the distillation$/, "抵消蒸馏的适配器"],
  [/^a checkpoint of (.+)$/, "$1 的检查点"],
  [/^(.+) in diffusers' form, without its transformer and VAE$/, "diffusers 格式的 $1，不含 transformer 和 VAE"],
  [/^(.+) in diffusers' form, without its transformer$/, "diffusers 格式的 $1，不含 transformer"],
  [/^(.+) in diffusers' form$/, "diffusers 格式的 $1"],
];

/** Parts within such a title. @type {readonly (readonly [RegExp, string])[]} */
export const within = [
  [/, high noise/, "（高噪声）"],
  [/, low noise/, "（低噪声）"],
  [/ \((\d+) channels\)/, "（$1 通道）"],
  [/ \(old\)/, "（旧版）"],
  [/ \(base\)/, "（base）"],
  [/ of the first version/, "（第一版）"],
  [/ \(Llama 3 8B of LLaVA\)/, "（LLaVA 的 Llama 3 8B）"],
  [/ in diffusers' naming/, "（diffusers 命名）"],
  [/ in ComfyUI's nam(ing|es)/, "（ComfyUI 命名）"],
];

/** Complete sentences. @type {Record<string, string>} */
export const sentences = {
  "SDXL base 1.0, or a checkpoint made from it": "SDXL base 1.0，或由它得到的检查点",
  "Wan 2.1 and 2.2": "Wan 2.1 与 2.2",
  "AuraFlow, Pony V7": "AuraFlow、Pony V7",
  "av 16 or newer": "av 16 或更新",
  "This model edits images: the directories of the dataset need `control_path`.":
    "用于编辑：数据集的目录需要 `control_path`。",
  "It accepts only videos.": "只接受视频。",
  "One training trains one of the two models, for low or for high noise.": "一次训练针对两个模型之一：低噪声或高噪声。",
  "One training trains one of the two models, for low or for high noise. It accepts only videos.":
    "一次训练针对两个模型之一：低噪声或高噪声。只接受视频。",
  "1024 px cost what 512 px cost elsewhere.": "1024 px 的开销相当于别处的 512 px。",
  "16 GB ran out even at 512 px; 48 GB train it in full.": "16 GB 在 512 px 时也不够；48 GB 可以全量训练。",
  "24 GB at rank 32, 512 px, float8; another trainer measured 31 GiB in bf16.":
    "rank 32、512 px、float8 时需 24 GB；另一训练器测得 bf16 下为 31 GiB。",
  "24 GB barely: 46 blocks swapped, low resolution, length and rank.":
    "24 GB 勉强够：交换 46 个块，低分辨率、短时长、低 rank。",
  "24 GB with 48 blocks swapped and int8 weights.": "24 GB：交换 48 个块，int8 权重。",
  "24 GB with 8 blocks swapped, float8, 640 px.": "24 GB：交换 8 个块，float8，640 px。",
  "24 GB with float8; 1024 px only at a low rank.": "float8 时需 24 GB；1024 px 仅限低 rank。",
  "24 GB; 16 with 20 blocks swapped.": "24 GB；交换 20 个块时 16 GB。",
  "24 GB; another trainer measured 15.6 GiB at 1024 px in fp8, rank 32.":
    "24 GB；另一训练器在 1024 px、fp8、rank 32 下测得 15.6 GiB。",
  "48 GB without block swapping, 24 with.": "不交换块时 48 GB，交换时 24 GB。",
  "Enormous for videos.": "训练视频时极大。",
  "In full at 1024 px on 24 GB with an 8-bit optimizer.": "使用 8-bit 优化器时，24 GB 可在 1024 px 下全量训练。",
  "Its weights take 12.3 GB in bf16, 6.2 in float8.": "权重在 bf16 下占 12.3 GB，float8 下占 6.2 GB。",
  "Its weights take 8.9 GB in float8.": "权重在 float8 下占 8.9 GB。",
  "An estimate without reports.": "估计值：没有人报告过。",
  "The 1.3B on 12 GB; the 14B on 24, on 16 with much RAM.": "1.3B 需 12 GB；14B 需 24 GB，内存充足时 16 GB。",
  "The 14B on 24 GB needs float8_e5m2.": "14B 在 24 GB 上需要 float8_e5m2。",
  "dev needs 48 GB without block swapping; Klein 9B some 24, Klein 4B 12 to 16.":
    "dev 不交换块时需 48 GB；Klein 9B 约 24 GB，Klein 4B 12 至 16 GB。",
  "2 blocks swapped, 33 and 61 frames; 120 to 180 s a step on an A6000":
    "交换 2 个块，33 与 61 帧；在 A6000 上每步 120 至 180 秒",
  "bf16, 81 frames of 1280x720: close to the limit": "bf16，81 帧 1280x720：接近上限",
  "bf16, without float8": "bf16，不用 float8",
  "float8, 1024 px at rank 8": "float8，1024 px，rank 8",
  "float8, 28 blocks swapped, on a 4090": "float8，交换 28 个块，4090 上",
  "float8, 32 blocks swapped, 65 frames at 512 px (#129)": "float8，交换 32 个块，512 px 下 65 帧（#129）",
  "float8, 38 blocks swapped, 17 frames at 512 px; needs 40 GB of RAM (#149)":
    "float8，交换 38 个块，512 px 下 17 帧；需要 40 GB 内存（#149）",
  "float8, 46 blocks swapped; low resolution, length and rank": "float8，交换 46 个块；低分辨率、短时长、低 rank",
  "float8, 512 px; losses of NaN are reported (#254, #291), so watch for them":
    "float8，512 px；有人报告损失为 NaN（#254、#291），请留意",
  "float8, 8 blocks swapped, 640 px": "float8，交换 8 个块，640 px",
  "float8, no blocks swapped": "float8，不交换块",
  "float8, rank 32, 512 px": "float8，rank 32，512 px",
  "float8, up to 512 px and 33 frames": "float8，至多 512 px、33 帧",
  "float8_e5m2, the only small type that is known to work": "float8_e5m2，已知唯一可用的小类型",
  "float8, no blocks swapped; needs much RAM": "float8，不交换块；需要大量内存",
  "the fp8 file, float8, 512 px": "fp8 文件，float8，512 px",
  "the fp8 file, float8, 20 blocks swapped, images of 512 px": "fp8 文件，float8，交换 20 个块，512 px 的图片",
  "the int8 file, 48 blocks swapped, compiled, cfg 4 (keeps the distillation), 512 px":
    "int8 文件，交换 48 个块，编译，cfg 4（保留蒸馏），512 px",
  "Wan 2.2 T2V, low noise: float8, 32 blocks swapped, 65 frames at 512 px, as of Wan 2.1 14B":
    "Wan 2.2 T2V 低噪声：float8，交换 32 个块，512 px 下 65 帧，同 Wan 2.1 14B",
  "Wan 2.2 T2V, high noise: float8, 32 blocks swapped, 65 frames at 512 px, as of Wan 2.1 14B":
    "Wan 2.2 T2V 高噪声：float8，交换 32 个块，512 px 下 65 帧，同 Wan 2.1 14B",
  "a LoRA at 1024 px; the memory is an estimate: 16 GB is too little (#157), 48 GB suffices for full fine-tuning":
    "1024 px 的 LoRA；显存为估计值：16 GB 不够（#157），48 GB 可训练整个模型",
  "Klein 4B base: bf16, 512 px; the memory is an estimate": "Klein 4B base：bf16，512 px；显存为估计值",
  "Klein 9B base: float8, 512 px; the memory is an estimate": "Klein 9B base：float8，512 px；显存为估计值",
  "bf16, 512 px; the memory is an estimate": "bf16，512 px；显存为估计值",
  "Turbo with its training adapter: bf16, 512 px; the memory is an estimate":
    "Turbo 及其训练适配器：bf16，512 px；显存为估计值",
  "bf16, the LLM adapter is not trained, 512 px; the memory is an estimate":
    "bf16，不训练 LLM 适配器，512 px；显存为估计值",
  "SD 3.5 Medium: bf16, 512 px; the memory is an estimate": "SD 3.5 Medium：bf16，512 px；显存为估计值",
  "SD 3.5 Large: float8, 512 px; the memory is an estimate": "SD 3.5 Large：float8，512 px；显存为估计值",
  "full fine-tuning, without an adapter": "整个模型，而不是适配器",
  "the trainer's documentation": "训练器的文档",
};
