"""Images and videos."""

from api.trainers.failures.known_cause import KnownCause

CAUSES = (
    KnownCause(
        "image_mode",
        pattern=r"conversion from \S+ to \S+ not supported|image has wrong mode|cannot write mode",
        remedy=(
            "an image has a colour mode that cannot be converted: save it as RGB (PNG or JPEG); validate the "
            "request again, which examines the images"
        ),
        remedy_zh="某张图片的颜色模式无法转换：请存为 RGB（PNG 或 JPEG）；重新验证请求会检查这些图片",
        examples=(
            "ValueError: conversion from LAB to RGB not supported",
            "ValueError: image has wrong mode",
            "OSError: cannot write mode F as PNG",
        ),
    ),
    KnownCause(
        "too_small",
        pattern=r"[Kk]ernel size can't be greater|(?i:output) size is too small|Padding size should be less",
        remedy=(
            "an image or its bucket is too small for this model: raise the resolution, narrow min_ar and "
            "max_ar, or remove the smallest files"
        ),
        remedy_zh="某张图片或其分桶对此模型来说太小：请提高分辨率，缩小 min_ar 与 max_ar 的范围，或去掉最小的文件",
        examples=(
            (
                '  File "/t/utils/dataset.py", line 9, in _handle_task\n'
                '  File "/v/site-packages/torch/a.py", line 9, in conv\n'
                "RuntimeError: Kernel size can't be greater than actual input size"
            ),
            "RuntimeError: Given input size: (3x1x1). Calculated output size: (3x0x0). Output size is too small",
            "RuntimeError: Padding size should be less than the corresponding input dimension",
        ),
    ),
    KnownCause(
        "webp",
        pattern=r"WebP videos",
        remedy="convert the animated WebP files to videos or to single images",
        remedy_zh="把动画 WebP 文件转换为视频或单张图片",
        examples=("NotImplementedError: WebP videos are not supported.",),
    ),
    KnownCause(
        "video_codec",
        pattern=r"Decoder ?(?:Not|not) ?(?:Found|found)|codec (?:is )?not (?:currently )?supported",
        remedy=(
            "a video has a codec that the trainer's PyAV cannot decode: convert it (`ffmpeg -i in.mp4 -c:v "
            "libx264 out.mp4`), or reinstall `av` from PyPI with pip"
        ),
        remedy_zh=(
            "某个视频使用了训练器的 PyAV 无法解码的编码：请转换它（`ffmpeg -i in.mp4 -c:v libx264 out.mp4`），"
            "或用 pip 从 PyPI 重新安装 `av`"
        ),
        examples=(
            "av.error.DecoderNotFoundError: [Errno 1128613112] Decoder not found: '/d/a.mp4'",
            "ValueError: codec is not currently supported in container",
        ),
    ),
    KnownCause(
        "damaged_video",
        pattern=r"InvalidDataError|Invalid data found when processing input|pyav decode error|moov atom|av\.error\.",
        remedy=(
            "a video is damaged or incomplete: the error names it, or validate the request again, which names "
            "such files; convert, replace or remove it"
        ),
        remedy_zh="某个视频已损坏或不完整：错误信息会指出它，也可重新验证请求以找出这些文件；请转换、替换或移除它",
        examples=(
            "av.error.InvalidDataError: [Errno 1094995529] Invalid data found when processing input: '/d/a.mp4'",
            "ValueError: pyav decode error in /d/a.mp4",
            "OSError: moov atom not found",
        ),
    ),
    KnownCause(
        "damaged_clip",
        pattern=r"less frames \(|frames-start >= target_frames",
        remedy=(
            "a clip has fewer frames than its header states, as its frame rate varies or it is damaged: "
            "convert the clips to a constant frame rate (`ffmpeg -i in.mp4 -r 24 out.mp4`), remove the clip, "
            "or set shorter frame_buckets"
        ),
        remedy_zh=(
            "某个视频的帧数少于其文件头所述，原因是帧率不固定或文件已损坏：请把视频转换为固定帧率（"
            "`ffmpeg -i in.mp4 -r 24 out.mp4`），移除该视频，或设置更短的 frame_buckets"
        ),
        examples=(
            "ValueError: video with shape torch.Size([3, 12, 8, 8]) has less frames (12) than the target_frames 33",
            (
                '  File "/t/models/base.py", line 9, in _get_clip\n'
                "    assert total_frames-start >= target_frames\n"
                "AssertionError"
            ),
        ),
    ),
    KnownCause(
        "image_too_large",
        pattern=r"DecompressionBomb",
        remedy="an image has too many pixels: make it smaller",
        remedy_zh="某张图片的像素太多：请缩小它",
        examples=("PIL.Image.DecompressionBombError: Image size (400000000 pixels) exceeds limit of 178956970 pixels",),
    ),
    KnownCause(
        "png_metadata",
        pattern=r"MAX_TEXT_CHUNK|Decompressed data too large",
        remedy="a PNG has too much text in it, such as a workflow: save it without metadata",
        remedy_zh="某张 PNG 含有太多文字信息，例如工作流：请保存为不带元数据的文件",
        examples=("ValueError: Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK",),
    ),
    KnownCause(
        "damaged_image",
        pattern=(
            r"UnidentifiedImageError|cannot identify image|image file is truncated|broken data stream"
            r"|unrecognized data stream|broken PNG file|when reading image file"
        ),
        remedy=(
            "an image is damaged, or of a format that Pillow cannot read, such as HEIC or AVIF under another "
            "ending: the error names it, or validate the request again, which names such files; convert it to "
            "PNG or JPEG, replace or remove it"
        ),
        remedy_zh=(
            "某张图像已损坏，或是 Pillow 无法读取的格式，例如使用其他扩展名的 HEIC 或 AVIF：错误会指出它，或再"
            "次验证请求，会列出这样的文件；请把它转换为 PNG 或 JPEG，替换或删除它"
        ),
        examples=(
            "OSError: image file is truncated (3 bytes not processed)",
            "PIL.UnidentifiedImageError: cannot identify image file '/d/1.png'",
            "OSError: decoder error -2 when reading image file",
            "OSError: broken data stream when reading image",
            "OSError: unrecognized data stream contents",
            "SyntaxError: broken PNG file (chunk b'\\x00')",
        ),
    ),
)
