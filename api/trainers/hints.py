"""What to do about errors of the trainer's own that users are known to meet."""

import re

from api.trainers.error_lines import LINE_LIMIT

#: The first that matches the exception's line; `{}` is its first group.
_HINTS = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (r"KeyError: 'epochs'", "set `epochs` in the configuration: it is read only when the first epoch ends"),
        (r"KeyError: '([^']{1,80})'", "the configuration lacks the key `{}`: add it where the trainer looks for it"),
        (r"FileExistsError: .*/tmp'", "a killed save left this `tmp` directory behind: resume, which removes it"),
        (
            r"ZeroDivisionError",
            "save_every_n_examples and eval_every_n_examples must not be below the global batch size",
        ),
        (
            r"dataset was empty|rounding down for each size bucket",
            "the dataset is smaller than one batch: lower the batch size, raise num_repeats or add images",
        ),
        (r"num_repeats must be", "num_repeats must be above 0"),
        (r"NotImplementedError: .*forces alpha", "remove `alpha` from [adapter]: the trainer sets it to the rank"),
        (r"NotImplementedError: Model type", "this checkout of the trainer does not know the model type: update it"),
        (r"NotImplementedError", "the trainer cannot do this with this model: train an adapter of type lora"),
        (r"(?:ModuleNotFoundError|ImportError): .*?'([\w.]{1,80})'", "install `{}` in the trainer's environment"),
        (r"ModuleNotFoundError|ImportError", "install what is missing in the trainer's environment"),
        (r"not compiled with CUDA", "install a PyTorch with CUDA in the trainer's environment"),
        (r"Not a homogeneous array", "the trainer's TOML reader wants one type in an array: write [1.0, 2.5]"),
        (r"PermissionError", "give this service's user access to that path"),
        (r"loss scale already at minimum", "the loss overflowed: lower the learning rate or use dtype bfloat16"),
        (
            r"CUDA error|CUBLAS|CUDNN",
            "resume it; if it returns, check the GPU's health and the versions of its driver and CUDA",
        ),
        (r"NCCL", "resume it; if it returns, set NCCL_P2P_DISABLE=1 and NCCL_IB_DISABLE=1"),
        (r"AssertionError", "the traceback shows which condition of the trainer was not met: correct that setting"),
        (
            r"(?:error: unrecognized arguments|error: argument)",
            "this checkout of the trainer has other flags: update it",
        ),
    )
)


def hint_for(text: str) -> str:
    """What to do about an exception's line."""
    text = text[:LINE_LIMIT]
    for pattern, hint in _HINTS:
        found = pattern.search(text)
        if found is not None:
            return hint.format(*found.groups())
    return "read the traceback; correct the request or the trainer's environment, then resume or restart it"
