"""Find the remedy for an error of a trainer from its text, its traceback and the lines of the log before it."""

import re
from collections.abc import Sequence
from itertools import pairwise, takewhile

from api.domain.reason import Reason
from api.trainers.failures.known_causes import TRAINER_ERRORS
from api.trainers.failures.patterns import CUT_OFF, DAMAGED, NO_HEADER, NO_KERNELS
from api.trainers.protocol.error_lines import LINE_LIMIT
from api.trainers.protocol.phrases import RESUMING

#: Codes of remedies that are derived from the place of an error.
BY_PLACE = frozenset(each.remedy_code for each in TRAINER_ERRORS if each.code.startswith("place_"))

#: Packages that have another name than their module.
_PACKAGE_NAMES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "hydra": "hydra-core",
    "optimi": "torch-optimi",
    "optimum": "optimum-quanto",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}

#: The advice for an unknown error.
READ_TRACEBACK = Reason.of(
    "read the traceback; correct the request or the trainer's environment, then resume or restart it", "read_traceback"
)


#: Kinds of directories on a read-only disk, by their path or the statements of the traceback.
_PLACES = (
    (
        "hub",
        re.compile(r"'[^']*/(?:\.cache/huggingface|huggingface/hub|(?:models|datasets)--[^'/]*)[/']|/huggingface_hub/"),
    ),
    (
        "kernels",
        re.compile(r"'[^']*(?:\.triton|torchinductor|torch_extensions)|/triton/runtime/cache\.py|/torch/_inductor/"),
    ),
    ("dataset", re.compile(r"'[^']*/cache(?:/|')")),
    ("output", re.compile(r"run_dir|output_dir|saver\.py|in save_checkpoint$|SummaryWriter|tb_writer", re.MULTILINE)),
    ("dataset", re.compile(r"utils/(?:dataset|cache)\.py|in _handle_task$", re.MULTILINE)),
)
_READ_ONLY = re.compile(r"Read-only file system|\[Errno 30\]")

#: Where weights are: a path in a message, or a key of [model] in a statement.
_WEIGHTS_PATH = re.compile(r"Unable to load weights from [\w ]{0,40}file for '([^']{1,300})'|File path: (.{1,300})")
_MODEL_KEY = re.compile(r"model_config(?:\[|\.get\()['\"](\w{0,40}(?:path|vae|model|encoder|checkpoint)\w{0,40})['\"]")
_OF_WEIGHTS = re.compile(rf"{NO_HEADER}|{DAMAGED}")

#: Pattern of an error, pattern of its traceback, and what the error is about if both match.
_ABOUT = tuple(
    (re.compile(of_text), re.compile(of_frames, re.MULTILINE), about)
    for of_text, of_frames, about in (
        (CUT_OFF, r"/utils/cache\.py", "cut off: cache"),
        ("JSONDecodeError", r"in check_grouped_metadata$", "cut off: cache"),
        ("^KeyError", r"DTYPE_MAP\[", "data type"),
        ("^RecursionError", r"in __getattr__$", "lookup"),
        ("text input must be of type|TextEncodeInput must be", "", "captions.json"),
        (
            "^(?:TypeError|RuntimeError|OSError|Exception)",
            r"/transformers/(?:\S*tokenization_|convert_slow)",
            "sentencepiece",
        ),
        (
            "same device",
            r"in (?:_handle_task|_map_and_cache|_cache_\w{1,40}|latents_map_fn)$",
            "caching",
        ),
        ("^(?:IndexError|ValueError|KeyError|TypeError|AttributeError)", r"/toml/decoder\.py", "toml parser"),
        ("string indices|'str' object has no attribute 'setdefault'", r"/utils/dataset\.py", "dataset"),
        ("^(?:Attribute|Index|Key|Type)Error", r"\bcaption(?:_data\.|s_dict\[|\.split)", "captions.json"),
        ("^KeyError", r"\b(?:example|entry)\['", "old cache"),
        # Weights are loaded one by one into the part that the statement names. A missing one may be in another file.
        (
            r"^(?:AttributeError|ValueError: \w+\()",
            r"set_module_tensor_to_device\(vae\b",
            "other VAE",
        ),
        (
            r"^(?:AttributeError|KeyError|ValueError: \w+\()",
            r"set_module_tensor_to_device\((?:self\.)?(?:text_encoder|byt5)",
            "other text encoder",
        ),
        (
            r"^(?:AttributeError|ValueError: \w+\()",
            r"set_module_tensor_to_device\((?:self\.)?(?:transformer|model|llm_adapter)\b",
            "other transformer",
        ),
        ("got an unexpected keyword", r"(?s)\A(?!.*in get_optimizer$).", "no optimizer"),
        (
            "^(?:RuntimeError|NotImplementedError|AssertionError|AcceleratorError|torch.AcceleratorError)",
            r"/offloading\.py|in enable_block_swap$",
            "block swap",
        ),
        ("CUDA error: (?!out of memory)|ImportError|NotImplementedError", r"/site-packages/xformers/", "xformers"),
        (r"gaierror|\[Errno 99\]", r"in init_distributed$", "own address"),
        ("^(?:BrokenPipeError|EOFError$)", r"/multiprocess(?:ing)?/", "worker"),
    )
)

#: Messages of the trainer about a file of a dataset that it skips.
_SKIPPED = (
    ("is being skipped because it is too short", "skipped: too short"),
    (". Skipping image", "skipped: no caption"),
    ("left out because the trainer could not open", "skipped: unreadable"),
)

#: The warning of PyTorch about a GPU that it was not built for.
_CAPABILITY = re.compile(r"CUDA capability (sm_\d{2,3}) is not compatible|of cuda capability (\d{1,2})\.(\d)")

#: The path of a frame, those of Python and its packages, and that of a submodule.
_FRAME = re.compile(r'\s*File "([^"]{1,400})", line \d')
_INSTALLED = re.compile(r"(?:site|dist)-packages/|/lib/python3|^<|^[^/]+$")
_LOADING = re.compile(r'/models/[^"]*\.py", line \d+, in (?:__init__|load_diffusion_model|load_fn)$', re.MULTILINE)
_SUBMODULE = re.compile(r"/submodules/([\w.-]{1,60})/")
#: Errors of the operating system, whose place does not tell their cause.
_OF_SYSTEM = re.compile(r"\[Errno \d+\]|\(os error \d+\)")
_BY_FRAMES = (
    ("wandb", re.compile(r'File "[^"]*/wandb/')),
    ("media", re.compile(r'File "[^"]*/(?:PIL|av|imageio|video_types\.py)')),
    ("checkpoint", re.compile(r"in load_checkpoint$", re.MULTILINE)),
    ("generic optimizer", re.compile(r"/optimizers/generic_optim\.py")),
    ("optimizer", re.compile(r"in (?:get_optimizer|_take_model_step|_exec_optimizer_step)$", re.MULTILINE)),
    ("batch", re.compile(r"in prepare_inputs$", re.MULTILINE)),
    ("adapter", re.compile(r"in configure_adapter$", re.MULTILINE)),
    (
        "stages",
        re.compile(r'/(?:deepspeed/runtime/pipe/module|utils/pipeline)\.py", line \d+, in (?:__init__|_partition)'),
    ),
)

_BY_STAGE = (
    ("model", _LOADING),
    ("item", re.compile(r"in (?:_handle_task|_map_and_cache|latents_map_fn)$", re.MULTILINE)),
    ("save", re.compile(r"/utils/saver\.py|in save_checkpoint$", re.MULTILINE)),
    ("step", re.compile(r"in (?:train_batch|eval_batch)$", re.MULTILINE)),
)

#: A setting in a statement: the table, if any, and the key; or a variable with the name of a key.
_SETTING = re.compile(
    r"((?<!\w)\w*config|eval_dataset)(?:\[['\"](\w+)['\"]\])?(?:\[|\.(?:get|pop|setdefault)\()['\"](\w+)['\"]"
)
_NAMED_SETTING = re.compile(
    r"\b(resolutions|frame_buckets|size_buckets|ar_buckets|min_ar|max_ar|num_ar_buckets|num_repeats|warmup_steps|lr"
    r"|blocks_to_swap|(?:eval_|image_){0,2}micro_batch_size_per_gpu|caching_batch_size|betas)\b"
)
_TABLES = {
    "model_config": "[model].",
    "adapter_config": "[adapter].",
    "optim_config": "[optimizer].",
    "dataset_config": "dataset.",
    "directory_config": "[[directory]].",
    "eval_dataset": "eval_datasets.",
    "te_config": "text_encoders.",
}
#: Errors of a value of the wrong type or form.
_OF_VALUES = re.compile(
    r"(?:TypeError|ValueError|IndexError|OverflowError)\b|KeyError: \d"
    r"|AttributeError: '(?:str|list|dict|int|float|bool)' object"
)
#: Errors of a setting whose table is a list of tables or a single value.
_OF_TABLES = re.compile(
    r"'(?:str|list)' object has no attribute '(?:get|pop|setdefault|items)'|indices must be integers"
)
_IMPORT = re.compile(r"\s*(?:import|from) (?!(?:utils|models|optimizers)\b)([A-Za-z_]\w{0,60})")

#: Errors of code that was written for another version of a package, and the frames that can show which one: those of
#: torch and of process pools only pass an error on.
_OF_VERSIONS = re.compile(r"(?:AssertionError|AttributeError|NameError|TypeError)\b")
_PACKAGE = re.compile(r"/(?:site|dist)-packages/(?!(?:torch|multiprocess|datasets)/)([\w.-]{1,60})/")
_LIBRARY = re.compile(r"/(?:site|dist)-packages/(transformers|diffusers|tokenizers)/")
_ATTRIBUTE = re.compile(
    r"AttributeError: (?:type object )?'(?!NoneType|str|list|dict|int|float|bool|tuple)\w+' (?:object )?has no attr"
)

#: A compiler that failed, and what it printed above the traceback.
_COMPILER = re.compile(r"CalledProcessError: Command '\['[^']*(?:gcc|clang|/cc|[gc]\+\+)'")
_COMPILER_SAID = re.compile(r"fatal error: [\w./+-]{1,100}: No such file|cannot find -l\w{1,60}")

#: An error of CUDA as NCCL and other callers of the driver report it.
_CUDA_FAILURE = re.compile(r"Cuda failure (?:\d{1,4} )?'([^']{1,200})'|CUDA driver error: (.{1,200})")

#: A statement of a package that has code for GPUs of its own.
_PACKAGE_WITH_KERNELS = re.compile(
    r'File "[^"]*/(flash_attn|bitsandbytes|xformers|sageattention)/|/csrc/(flash_attn|sageattention|xformers)'
)


def hint_for(
    text: str, traceback: Sequence[str] = (), details: Sequence[str] = (), output: Sequence[str] = ()
) -> Reason:
    """Return the hint for an exception, or the general advice to read the traceback.

    Args:
        text: The exception line.
        traceback: The lines of its traceback, which show what the trainer did.
        details: Further lines of the message.
        output: Warnings and the last lines of the log.

    """
    text = annotate(text, traceback, details, output)
    place = None if _OF_SYSTEM.search(text) else _place(text, traceback)
    for known in TRAINER_ERRORS:
        if known.unless_place and place is not None:
            continue
        found = known.match(text, traceback)
        if found is not None:
            what = {"what": found[1]} if found.re.groups else {}
            if known.names_module:
                what = {"what": _PACKAGE_NAMES.get(found[1], found[1])}
            return Reason.of(known.remedy, known.remedy_code, **what)
    return READ_TRACEBACK if place is None else hint_for(f"[place: {place}]")


def annotate(text: str, traceback: Sequence[str], details: Sequence[str], output: Sequence[str]) -> str:
    """Return the text of an error with the rest of its message, and in brackets what it is about, if known."""
    text = " ".join((text, *(line.strip() for line in details)))[: 2 * LINE_LIMIT]
    text = _CUDA_FAILURE.sub(r"CUDA error: \1\2", text)
    if text.startswith("AssertionError"):
        # Such an error rarely has a message. The last statement of the traceback is its condition.
        conditions = [line.strip() for line in traceback if line.strip().startswith("assert ")]
        text = f"{text} {conditions[-1][:LINE_LIMIT]}" if conditions else text
    about = _about(text, traceback, output)
    return f"{text} [{about}]" if about else text


def _own(traceback: Sequence[str]) -> tuple[str, str]:
    """Return the path and the statement of the last frame outside of Python and its packages."""
    own, statement = "", ""
    for line, following in pairwise((*traceback, "")):
        if (found := _FRAME.match(line)) is not None and not _INSTALLED.search(found[1]):
            own, statement = found[1], following
    return own, statement


def _setting(statement: str) -> str | None:
    """Return the setting that a statement reads, with its table, or None."""
    if (found := _SETTING.search(statement)) is not None:
        table = f"[{found[2]}]." if found[2] else _TABLES.get(found[1], "")
        return f"{table}{found[3]}"
    named = _NAMED_SETTING.search(statement)
    return None if named is None else named[1]


def _place(text: str, traceback: Sequence[str]) -> str | None:
    """Return the trainer's activity at an error that matches no pattern, or None."""
    own, statement = _own(traceback)
    frames = "\n".join(traceback)
    if _OF_VALUES.match(text) and (setting := _setting(statement)) is not None and "[model]" not in setting:
        if _OF_TABLES.search(text) and (table := setting.rpartition(".")[0]):
            return f"table {table}"
        return f"setting {setting}"
    if "/wandb/" not in frames and (imported := _IMPORT.match(statement)) is not None:
        # A package fails most often for the sake of one that it imports itself.
        packages = _PACKAGE.findall(frames)
        return f"import {packages[-1] if packages else imported[1]}"
    for place, pattern in _BY_FRAMES:
        if pattern.search(frames):
            return place
    if (submodule := _SUBMODULE.search(own)) is not None:
        return f"submodule {submodule[1]}"
    if own.endswith("/utils/dataset.py") and not _ATTRIBUTE.match(text):
        return "item"
    if (package := _between_versions(text, traceback)) is not None:
        return package
    stage = next((place for place, pattern in _BY_STAGE if pattern.search(frames)), None)
    libraries = _LIBRARY.findall(frames) if stage == "model" else []
    return f"library {libraries[-1]}" if libraries else stage


def _between_versions(text: str, traceback: Sequence[str]) -> str | None:
    """Return the package in which an error arose as it may have another version than the trainer expects, or None."""
    if not _OF_VERSIONS.match(text):
        return None
    paths = [found[1] for line in reversed(traceback) if (found := _FRAME.match(line)) is not None]
    for path in takewhile(_INSTALLED.search, paths):
        if (package := _PACKAGE.search(path)) is not None:
            return f"package {package[1]}"
    return "versions" if _ATTRIBUTE.match(text) else None


def _about(text: str, traceback: Sequence[str], output: Sequence[str]) -> str | None:
    """Return the subject of an error whose text does not name it: a directory, a file, a stage or a GPU."""
    frames = "\n".join(traceback)
    place = next((place for place, pattern in _PLACES if pattern.search(f"{text}\n{frames}")), "other")
    is_read_only = _READ_ONLY.search(text) is not None
    if place in ("hub", "kernels") and (is_read_only or text.startswith("PermissionError")):
        return f"no access: {place}"
    if is_read_only:
        return None if place == "dataset" else "read-only"
    if place in ("output", "dataset") and re.match("NotADirectoryError|FileExistsError(?!.*/tmp')", text):
        return "in the way"
    for of_text, of_frames, about in _ABOUT:
        if of_text.search(text) and of_frames.search(frames):
            return about
    if text.startswith(("KeyError: '", "ZeroDivisionError")):
        setting = _setting(_own(traceback)[1])
        is_named = setting is not None and (text.startswith("Zero") or setting.endswith(text[11:-1]))
        return f"setting: {setting}" if is_named else None
    if (said := _said_before(text, output)) is not None:
        return said
    if _OF_WEIGHTS.search(text):
        paths = [found[1] or found[2].strip() for found in _WEIGHTS_PATH.finditer(f"{text}\n{frames}")]
        keys = [f"[model].{found[1]}" for found in _MODEL_KEY.finditer(frames)]
        return next((f"weights: {where}" for where in (*paths[:1], *keys[-1:])), None)
    if re.search(NO_KERNELS, text):
        capabilities = [
            found[1] or f"sm_{found[2]}{found[3]}" for line in output if (found := _CAPABILITY.search(line))
        ]
        packages = [f"package: {found[1] or found[2]}" for found in _PACKAGE_WITH_KERNELS.finditer(f"{frames}\n{text}")]
        return next(iter((*capabilities, *packages[-1:])), None)
    return None


def _said_before(text: str, output: Sequence[str]) -> str | None:
    """Return what earlier lines of the log say about the cause of an error, or None."""
    if "dataset was empty" in text:
        return next((about for message, about in _SKIPPED if any(message in line for line in output)), None)
    if text.startswith("StopIteration") and any(RESUMING.match(line) for line in output):
        return "resumed"
    if text.startswith("SyntaxError") and any(" <<<<<<< " in line for line in output):
        return "merge conflict"
    if "cudnn" in text.lower() and any("libcuda.so: cannot open" in line for line in output):
        return "libcuda.so cannot found"
    if _COMPILER.search(text):
        return next((found[0] for line in output if (found := _COMPILER_SAID.search(line))), None)
    return None
