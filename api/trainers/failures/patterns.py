"""Patterns of errors, and phrases of remedies, that several causes share."""

#: Errors of a file that does not begin like a safetensors file.
NO_HEADER = r"HeaderTooLarge|InvalidHeader(?!Error)|header: (?:header too large|invalid [\w-]{1,20}(?: in)? header)"

#: Errors of a file of weights that ends too early.
DAMAGED = (
    r"Unable to load weights from|MetadataIncompleteBuffer|deserializing header|PytorchStreamReader failed"
    r"|Invalid magic number; corrupt|model you are trying to load is corrupted"
    r"|SafetensorError(?!: (?:Error while serializing|device|Dtype|File does not contain))"
)

#: Errors of a file of torch.save that is not complete.
CUT_OFF = r"PytorchStreamReader failed|UnpicklingError(?!: Weights only)|EOFError: Ran out of input|unexpected EOF"

#: The path of a file that the trainer writes into the cache of a dataset.
CACHE_FILE = r"'[^']*/cache/[^']*(?:/metadata/|\.arrow|shard_\d+\.bin|grouping_keys\.json|metadata\.db)[^']*'"

#: Errors of a missing file that the trainer does not create itself.
FILE_MISSING = rf"^FileNotFoundError(?!.*(?:No usable temporary|states\.pt'|{CACHE_FILE}|is neither a `Dataset`))"

#: Frames that save a model or a checkpoint.
SAVING = r"in (?:save_(?:adapter|full_model|model|checkpoint)|process_(?:step|epoch))$"

#: Errors of a PyTorch without code for the GPU.
NO_KERNELS = (
    r"no kernel image is available|STATUS_ARCH_MISMATCH|invalid device function|kernel image is invalid"
    r"|for --gpu-architecture|TensileLibrary|too many resources requested for launch"
)

#: The command that brings the trainer's packages to versions that fit together.
UPGRADE = "`pip install --upgrade -r requirements.txt 'diffusers<0.39'` (qwen_image fails with newer ones)"
