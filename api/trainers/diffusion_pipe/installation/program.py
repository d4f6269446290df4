"""Print what the trainer's Python offers, as one line of JSON.

The trainer's interpreter reads this program from standard input, in the directory of the checkout, like a training. It
uses the standard library only, and imports nothing else than torch and flash-attn. It must run on any Python 3.7 or
newer, so that an old one is reported and not a syntax error. Arguments: distributions, `--`, modules.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import sys
from typing import Any

#: The beginning of the line; anything else on standard output comes from imported packages.
MARK = "diffusion-pipe-installation: "


def describe(distributions: list[str], modules: list[str]) -> dict[str, Any]:
    """Return the facts as JSON values."""
    facts = {
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "versions": {name: find_version(name) for name in distributions},
        "modules": {name: is_there(name) for name in modules},
        "nvcc": find_nvcc(),
    }
    facts.update(describe_torch())
    facts["flash_attention"] = describe_flash_attention(facts)
    return facts


def find_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        version: str = importlib.import_module("importlib.metadata").version(distribution)
        return version
    except Exception:  # an old Python without this module, or damaged metadata
        return None


def is_there(module: str) -> bool:
    """Return whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except Exception:
        return False


def describe_torch() -> dict[str, Any]:
    """Return torch's version, the CUDA it was built for, the GPU architectures it supports, and NCCL's version."""
    if not is_there("torch"):
        return {"torch": None}
    try:
        torch = importlib.import_module("torch")
        version = torch.version
        facts = {"torch": str(torch.__version__), "cuda": version.cuda, "hip": getattr(version, "hip", None)}
    except Exception as error:
        return {"torch": find_version("torch"), "torch_error": shorten(error)}
    try:
        # Unlike torch.cuda.get_arch_list, this needs no GPU, so that no GPU gets a context.
        facts["architectures"] = (torch._C._cuda_getArchFlags() or "").split()
    except Exception:
        facts["architectures"] = None
    try:
        facts["nccl"] = bool(torch.distributed.is_nccl_available())
    except Exception:
        facts["nccl"] = None
    return facts


def describe_flash_attention(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the version of flash-attn and why it cannot be imported."""
    found: dict[str, Any] = {"version": find_version("flash-attn") or find_version("flash-attn-3"), "error": None}
    names = [name for name in ("flash_attn", "flash_attn_interface") if is_there(name)]
    found["installed"] = names
    # Its compiled part fails to load where it was built for another torch.
    if names and facts.get("torch") and "torch_error" not in facts:
        errors = []
        for name in names:
            try:
                importlib.import_module(name)
            except Exception as error:
                errors.append(shorten(error))
        if len(errors) == len(names):
            found["error"] = errors[0]
    return found


def find_nvcc() -> str | None:
    """Return the path of CUDA's compiler, or None."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), sys.prefix, "/usr/local/cuda"]
    at = [os.path.join(home, "bin") for home in homes if home]
    return shutil.which("nvcc") or shutil.which("nvcc", path=os.pathsep.join(at))


def shorten(error: Exception) -> str:
    """Return an error as one short line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    line = json.dumps(describe(sys.argv[1:split], sys.argv[split + 1 :]))
    sys.stdout.write("\n" + MARK + line + "\n")
    sys.stdout.flush()
    # Threads or exit handlers of imported packages must not delay the end.
    os._exit(0)
