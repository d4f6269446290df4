"""The dataset: its directories, items, captions and masks."""

from api.domain.tasks.cause import CauseCode
from api.trainers.failures.known_cause import KnownCause
from api.trainers.failures.patterns import FILE_MISSING

CAUSES = (
    KnownCause(
        "item_gone",
        pattern=FILE_MISSING,
        within=r'/utils/dataset\.py", line \d+, in (?:fn|_cache_fn|latents_map_fn)$',
        cause=CauseCode.MISSING_FILE,
        detail="a file of the dataset was removed while it was cached",
        detail_zh="缓存数据集时，其中的某个文件被移除",
        remedy="restore it, or start the training again with regenerate_cache = true",
        remedy_zh="恢复该文件，或用 regenerate_cache = true 重新开始训练",
        examples=(
            (
                '  File "/t/utils/dataset.py", line 9, in latents_map_fn\n'
                "FileNotFoundError: [Errno 2] No such file or directory: '/d/masks/7.png'"
            ),
        ),
    ),
    KnownCause(
        "mask_of_loss",
        pattern=r"size of tensor a",
        within=r"^\s*loss \*= mask$",
        remedy=(
            "the masks do not fit this model type in this version of the trainer: update the trainer and start "
            "the training again with regenerate_cache = true, or remove mask_path and default_mask_file from "
            "the dataset"
        ),
        remedy_zh=(
            "在此版本的训练器中，掩码不适用于此模型类型：请更新训练器，并以 regenerate_cache = true 重新开始训"
            "练，或从数据集中移除 mask_path 和 default_mask_file"
        ),
        examples=("    loss *= mask\nRuntimeError: The size of tensor a (64) must match the size of tensor b (4)",),
    ),
    KnownCause(
        "dataset_path",
        pattern=r"Invalid (path|mask_path|control_path|default_mask_file): ",
        remedy="correct `{what}` in the dataset: the directory or file does not exist",
        remedy_zh="改正数据集中的 `{what}`：没有这个目录或文件",
        examples=("RuntimeError: Invalid mask_path: /x",),
    ),
    KnownCause(
        "empty_item",
        pattern=r"argument #1 'indices' to have one of|non-empty TensorList",
        remedy=(
            "an item of the dataset has no caption or no frames: write a text for each item, and remove those "
            "without one and clips that are too short"
        ),
        remedy_zh="数据集中某一项没有标注或没有帧：请为每一项写标注，并移除没有标注的项和过短的片段",
        examples=(
            "RuntimeError: Expected tensor for argument #1 'indices' to have one of the following scalar",
            "RuntimeError: stack expects a non-empty TensorList",
        ),
    ),
    KnownCause(
        "no_images",
        pattern=r"had no images/videos",
        remedy="set a directory with images or videos in the dataset",
        remedy_zh="在数据集中填写含有图片或视频的目录",
        examples=("AssertionError: Directory /x had no images/videos!",),
    ),
    KnownCause(
        "control_images",
        pattern=r"No control file exists",
        remedy="add a control image with the same name to control_path for each image",
        remedy_zh="在 control_path 中为每张图放一张同名的控制图",
        examples=("RuntimeError: No control file exists for image /x/a.png",),
    ),
    KnownCause(
        "control_shapes",
        pattern=r"control_latents\.shape == latents\.shape|Control (?:latents shape|image sequence)",
        remedy=(
            "a control image has another size or aspect ratio than its image: make both alike, and start the "
            "training again with regenerate_cache = true"
        ),
        remedy_zh="某个控制图像的尺寸或宽高比与其图像不同：请使两者一致，并以 regenerate_cache = true 重新开始训练",
        examples=(
            "AssertionError: Control latents shape (1, 2) doesn't match latents shape (2, 1)",
            "    assert control_latents.shape == latents.shape, (a, b)\nAssertionError",
        ),
    ),
    KnownCause(
        "control_for_pictures",
        pattern=r"assert not is_edit_dataset",
        remedy=(
            "an item with a control image yields no pictures, as a clip that is too short does: use control "
            "images for pictures only"
        ),
        remedy_zh="某个带控制图的项目没有产生图片，例如过短的片段：请只对图片使用控制图",
        examples=("    assert not is_edit_dataset\nAssertionError",),
    ),
    KnownCause(
        "mask_shapes",
        pattern=r"shape is None or mask\.shape == shape",
        remedy=(
            "the masks of a batch have different sizes, most often as the cache is outdated: start the "
            "training again with regenerate_cache = true"
        ),
        remedy_zh="同一批中的掩码大小不同，通常是缓存已过时：请设置 regenerate_cache = true 重新开始训练",
        examples=("    assert shape is None or mask.shape == shape\nAssertionError",),
    ),
    KnownCause(
        "one_per_batch",
        pattern=r"img_len == first_img_len|x\.shape\[0\] == 1|a\.shape == audio_shape|mod_segments == first_mod",
        remedy=(
            "this model cannot train this batch: set micro_batch_size_per_gpu = 1 (and raise "
            "gradient_accumulation_steps instead)"
        ),
        remedy_zh=(
            "该模型无法训练这个批次：请设置 micro_batch_size_per_gpu = 1（并改为提高 gradient_accumulation_steps）"
        ),
        examples=(
            "    assert a.shape == audio_shape\nAssertionError",
            "    assert (mod_segments == first_mod_seqments).all()\nAssertionError",
            (
                '  File "/t/models/qwen_image.py", line 9, in prepare_inputs\n'
                "    assert img_len == first_img_len\n"
                "AssertionError"
            ),
            '  File "/t/models/a.py", line 9, in prepare_inputs\n    assert x.shape[0] == 1\nAssertionError',
        ),
    ),
    KnownCause(
        "images_only",
        pattern=r"[Nn]eed model framerate|assert (?:self\.framerate|self\.support_video|not any\(is_video\))",
        remedy="this model type trains on images only: remove the videos from the dataset",
        remedy_zh="此模型类型只能用图像训练：请从数据集中移除视频",
        examples=(
            "AssertionError: Need model framerate but don't have it. This shouldn't happen.",
            "    assert self.support_video\nAssertionError",
        ),
    ),
    KnownCause(
        "captions_needed",
        pattern=r"assert captions_json\.exists",
        remedy=(
            "online_captions needs a file captions.json in each directory of the dataset: add it, or remove that key"
        ),
        remedy_zh="online_captions 要求数据集的每个目录中都有 captions.json 文件：请添加它，或去掉该键",
        examples=("    assert captions_json.exists()\nAssertionError",),
    ),
    KnownCause(
        "pairs",
        pattern=r"assert len\((?:ar|res)\) == 2",
        remedy="write each entry of ar_buckets and resolutions as a number, or as two: [width, height]",
        remedy_zh="ar_buckets 和 resolutions 的每一项应为一个数，或两个数：[宽, 高]",
        examples=("    assert len(res) == 2\nAssertionError",),
    ),
    KnownCause(
        "tar_changed",
        pattern=r"KeyError: \"filename '.{1,300}' not found\"",
        remedy=(
            "a .tar file of the dataset has changed since it was listed: delete the directory `cache` in the "
            "dataset's directory, and start the training again"
        ),
        remedy_zh="数据集的某个 .tar 归档在列出其内容之后被改动：请删除数据集目录中的 `cache` 目录，然后重新开始训练",
        examples=("KeyError: \"filename 'a/b.png' not found\"",),
    ),
    KnownCause(
        "tar",
        pattern=r"tarfile\.\w+Error",
        remedy=(
            "a .tar file of the dataset is damaged or compressed, but the trainer reads plain archives only: "
            "write it again with `tar -cf`, or unpack it"
        ),
        remedy_zh="数据集的 .tar 归档已损坏或被压缩，而训练器只读取未压缩的归档：请用 `tar -cf` 重新打包，或把它解开",
        examples=(
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "tarfile.ReadError: invalid header"
            ),
        ),
    ),
    KnownCause(
        "masks",
        pattern=r"Mask shape",
        remedy="give each mask the same size as its image",
        remedy_zh="使每个蒙版与其图片一样大",
        examples=("ValueError: Mask shape (1, 2) was not the same as image shape (3, 4).",),
    ),
    KnownCause(
        "captions_json",
        pattern=r"must contain lists of captions|\[captions\.json\]$",
        remedy=(
            'captions.json must be one object of file names and lists of captions ("a.png": ["a caption"]): '
            "correct it, and start the training again with regenerate_cache = true"
        ),
        remedy_zh=(
            'captions.json 必须是由文件名与描述列表组成的一个对象（"a.png": ["a caption"]）：请改正它，并用 '
            "regenerate_cache = true 重新开始训练"
        ),
        examples=(
            "    caption = self.captions_dict[key][0]\nIndexError: list index out of range",
            "    a = caption_data.get(b, None)\nAttributeError: 'list' object has no attribute 'get'",
            (
                '  File "/v/transformers/tokenization_utils_fast.py", line 9, in _encode_plus\n'
                "TypeError: TextEncodeInput must be Union[TextInputSequence, Tuple]"
            ),
            "    a = caption.split(delimiter)\nAttributeError: 'int' object has no attribute 'split'",
            "ValueError: captions.json must contain lists of captions",
        ),
    ),
    KnownCause(
        "incomplete_item",
        pattern=r"not NoneType$|'NoneType' object",
        within=r"in prepare_inputs$",
        remedy=(
            "items of the dataset, or of its cache, lack what this model trains with, such as sound or a "
            "control image: update the trainer, which may accept them, and start the training again with "
            "regenerate_cache = true; if it recurs, add what is missing, or remove these items"
        ),
        remedy_zh=(
            "数据集或其缓存中的某些条目缺少此模型训练所需的内容，例如声音或控制图像：请更新训练器（新版本可能接"
            "受它们），并以 regenerate_cache = true 重新开始训练；若再次出现，请补上缺少的内容，或移除这些条目"
        ),
        examples=(
            (
                '  File "/t/models/minimax_h3.py", line 9, in prepare_inputs\n'
                "TypeError: randn_like(): argument 'input' (position 1) must be Tensor, not NoneType"
            ),
            (
                '  File "/t/models/minimax_h3.py", line 9, in prepare_inputs\n'
                "AttributeError: 'NoneType' object has no attribute 'shape'"
            ),
        ),
    ),
    KnownCause(
        "videos_only",
        pattern=r"must train on videos",
        remedy=(
            "this image-to-video model trains on videos only: remove the images, and videos of a single frame, "
            "from the dataset"
        ),
        remedy_zh="此图生视频模型只能用视频训练：请从数据集中移除图片和只有一帧的视频",
        examples=("AssertionError: i2v/flf2v must train on videos, but got an image",),
    ),
    KnownCause(
        "file_names",
        pattern=r"surrogates not allowed",
        remedy=(
            "a file's name or a caption is not in UTF-8: rename the dataset's files (`convmv -f latin1 -t utf8 "
            "--notest -r DIR`), and save captions as UTF-8"
        ),
        remedy_zh=(
            "某个文件名或描述不是 UTF-8：请重命名数据集的文件（`convmv -f latin1 -t utf8 --notest -r DIR`），并"
            "把描述保存为 UTF-8"
        ),
        examples=("UnicodeEncodeError: 'utf-8' codec can't encode character '\\udce9': surrogates not allowed",),
    ),
    KnownCause(
        "utf8",
        pattern=r"UnicodeDecodeError",
        remedy="save captions and TOML files as UTF-8",
        remedy_zh="把标注文件与 TOML 文件保存为 UTF-8",
        examples=("UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position 3: invalid continuation byte",),
    ),
    KnownCause(
        "skipped_short",
        pattern=r"\[skipped: too short\]",
        remedy=(
            "videos were skipped, as they are shorter than each of frame_buckets at the model's frame rate "
            "(the log has their frames): lower frame_buckets, or use longer clips; if files are left, raise "
            "num_repeats"
        ),
        remedy_zh=(
            "有视频被跳过：按模型的帧率计算，它们比 frame_buckets 的每个值都短（日志中有其帧数）；请降低 "
            "frame_buckets，或使用更长的片段；若仍有文件剩余，提高 num_repeats"
        ),
        examples=(
            (
                "video with frames=67 is being skipped because it is too short\n"
                "RuntimeError: Processed dataset was empty. Probably caused by rounding down"
            ),
        ),
    ),
    KnownCause(
        "skipped_captions",
        pattern=r"\[skipped: no caption\]",
        remedy=(
            "files were skipped, as they have no caption (the log names them): give each a .txt file of its "
            "name, or set skip_empty_caption = false; if files are left, raise num_repeats"
        ),
        remedy_zh=(
            "有文件因没有标注被跳过（日志中有其名称）：为每个文件添加同名的 .txt 标注，或设置 "
            "skip_empty_caption = false；若仍有文件剩余，提高 num_repeats"
        ),
        examples=(
            (
                "Cound not find caption for /d/a.jpg. Skipping image.\n"
                "RuntimeError: Processed dataset was empty. Probably caused by rounding down"
            ),
        ),
    ),
    KnownCause(
        "skipped_unreadable",
        pattern=r"\[skipped: unreadable\]",
        remedy=(
            "files were skipped, as they could not be opened (the log names them): replace them; if files are "
            "left, raise num_repeats"
        ),
        remedy_zh="有文件因无法打开被跳过（日志中有其名称）：请替换它们；若仍有文件剩余，提高 num_repeats",
        examples=(
            (
                "1 file was left out because the trainer could not open it: a.jpg.\n"
                "RuntimeError: Processed dataset was empty. Probably caused by rounding down"
            ),
        ),
    ),
    KnownCause(
        "dataset_too_small",
        pattern=r"dataset was empty|rounding down for each size bucket|^StopIteration",
        remedy=(
            "no size bucket fills a step of batch size × gradient accumulation × GPUs: raise num_repeats, add "
            "files, or lower what is above 1 of these; look for skipped files (no caption, too short) in the "
            "log"
        ),
        remedy_zh=(
            "没有任何尺寸桶能凑满一步（批大小 × 梯度累积 × GPU 数）：提高 num_repeats，增加文件，或降低其中大于"
            " 1 的数值；请在日志中查找被跳过的文件（没有标注、太短）"
        ),
        examples=(
            "RuntimeError: Processed dataset was empty. Probably caused by rounding down for each size bucket.",
            (
                "Cound not find caption for /d/a.jpg. Using empty caption.\n"
                "RuntimeError: Processed dataset was empty. Probably caused by rounding down"
            ),
            (
                "size bucket (1.0, 512, 512, 1) is being completely dropped\n"
                "RuntimeError: Processed dataset was empty. Probably caused by rounding down"
            ),
            "StopIteration",
        ),
    ),
    KnownCause(
        "num_repeats",
        pattern=r"num_repeats must be",
        remedy="num_repeats must be above 0",
        remedy_zh="num_repeats 必须大于 0",
        examples=("ValueError: num_repeats must be >0, was 0",),
    ),
)
