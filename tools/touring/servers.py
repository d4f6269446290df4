"""Starts and stops the servers of a checkout, and prepares their files and settings."""

import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image

from tests.comfyui_server import WORKFLOW
from tests.local_hub import LocalHub
from touring.client import PATIENCE

#: Settings of every server.
ALL = {
    "GPU_SOURCE": "simulated",
    # Shorter intervals would report stuck driver calls on a busy machine.
    "GPU_MONITOR_INTERVAL": "1",
    "GPU_STATUS_CHECK_TIMEOUT": "30",
    "MIN_FREE_DISK_MB": "0",
    "STOP_TERMINATE_SECONDS": "1",
    "NODE_NAME": "tour",
}

#: Settings of the main server.
MAIN = {
    "AUTH": "required",
    "RATE_LIMITS": "off",
    "SIMULATED_GPUS": "8x NVIDIA GeForce RTX 4090",
    "SIMULATED_EVENTS": "20s gpu6 lost 1h; 20s gpu7 xid 79",
    "METRICS_DCGM_ALIASES": "1",
    "CORS_ORIGINS": "https://page.example",
    "MAX_BODY_BYTES": "100000",
    "HF_TOKEN": "hf_tour",
    "PRIVATE_HOSTS_ALLOWED": "127.0.0.1",
    "CAPTION_MODEL": "m",
    "PRICE_PER_KWH": "0.32",
    "PRICE_CURRENCY": "EUR",
    # Shown and held, but never reached.
    "WHEN_IDLE": "command",
    "IDLE_COMMAND": "/bin/true",
    "WHEN_IDLE_MINUTES": "10000",
}

#: Settings of a server whose users see only their own tasks and have low rate limits.
LIMITED = {"AUTH": "required", "VISIBILITY": "own", "RATE_LIMITS": "starts=1/hour"}


def main_settings(home: Path, hub: LocalHub, comfyui_url: str) -> dict[str, str]:
    """Return the settings of the main server."""
    here = {"HF_ENDPOINT": hub.address, "CAPTION_ENDPOINT": f"{hub.address}/v1"}
    directories = {"DATASET_DIRECTORIES": str(home), "BROWSE_DIRECTORIES": str(home)}
    return MAIN | here | directories | {"COMFYUI_LORAS": str(home / "loras"), "COMFYUI_URL": comfyui_url}


@contextmanager
def running(checkout: Path, home: Path, settings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Run a server; yield its address and the administrator's key that its first start prints."""
    command = [sys.executable, str(checkout / "run.py"), "--port", "0"]
    with (home / "server.log").open("ab") as log:
        begin = log.tell()
        process = subprocess.Popen(
            command,
            cwd=home,
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield _await_start(process, Path(log.name), begin)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await_start(process: subprocess.Popen[bytes], log: Path, begin: int) -> tuple[str, str]:
    end = time.monotonic() + PATIENCE
    while not (found := re.search(r'listening on (http://[\d.:]+)"', text := log.read_bytes()[begin:].decode())):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"The server does not start:\n{text}")
        time.sleep(0.05)
    key = re.search(r"^    (dp_\S{56})$", text, re.MULTILINE)
    return found[1], key[1] if key else ""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return a process environment without the settings of this machine."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**inherited, "PYTHONUNBUFFERED": "1", "COLUMNS": "100", **settings}


def end_processes(directory: Path) -> None:
    """Kill processes that were started below a directory and have outlived their server."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            working_directory = Path(os.readlink(process / "cwd"))
            is_ours = str(directory) in command or working_directory.is_relative_to(directory)
            if is_ours and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)


def install_gate(hub: LocalHub, gate: threading.Event, reached: threading.Event) -> None:
    """Make the hub answer captions and webhooks, and block files and commits while its gate is closed."""

    def is_held(handler: Any) -> bool:
        if gate.is_set():
            return False
        reached.set()
        gate.wait(PATIENCE)
        handler.close_connection = True
        return True

    def take(handler: Any, what: str) -> bool:
        if handler.path.endswith("/chat/completions"):
            handler.answer(200, b'{"choices": [{"message": {"content": "a picture"}}]}')
        elif handler.path == "/hook":
            handler.answer(200, b"")
        else:
            return what == "commit" and is_held(handler)
        return True

    hub.write_fault, hub.fault = take, lambda handler, content: is_held(handler)


def prepare(home: Path, hub: LocalHub, comfyui_url: str) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the script's variables and the files that it sends, and create its directories."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        for name, content in {"a.png": picture(3), "a.txt": b"a cat", "b.png": picture(5)}.items():
            made.writestr(zipfile.ZipInfo(name), content)
    about = {"blocks.0.q.lora_A.weight": {"dtype": "U8", "shape": [4, 8], "data_offsets": [0, 32]}}
    head = json.dumps(about).encode()
    model, image = struct.pack("<Q", len(head)) + head + bytes(32), picture(7)
    hub.add("ann/base", "x.safetensors", model)
    for name in ("media", "main", "laptop", "limited"):
        (home / name).mkdir()
    (home / "media" / "x.png").write_bytes(picture(9))
    place = '"place": {"machine": "m", "host": "h", "port": 1, "started": "s"}, "versions": {}, "gpus": []'
    toy = '"steps_per_epoch": 4, "step_seconds": 0.02, "load_seconds": 0.05, "cache_seconds": 0.05'
    every = f'"toy": {{{toy}, "checkpoint_every_n_steps": 3}}'
    variables = {
        "toy": toy,
        "run": f'"config": {{"epochs": 2, "micro_batch_size_per_gpu": 8, {every}}}',
        "oom": '"fail_at_step": 2, "fail_with": "cuda_oom"',
        "hang": '"hang_at_step": 3, "checkpoint_every_n_steps": 2',
        "long": '"steps_per_epoch": 100000, "step_seconds": 0.1',
        "rule": '"rule_id": "hot_gpu", "title": "GPU too hot", "scope": "gpu", '
        '"metric": "temperature_gpu", "comparison": "above", "value": 95',
        "report": f'"format": 1, "version": "1.0.0", "boot": "b", "interval": 5, "source": "nvml", {place}',
        "later": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400)),
        "tus": '"Tus-Resumable": "1.0.0"',
        "part": '"Content-Type": "application/offset+octet-stream"',
        "size": str(len(image)),
        "hub": hub.address,
        "comfyui": comfyui_url,
        "workflow": json.dumps(WORKFLOW),
        "tmp": str(home),
    }
    files = {"x.png": image, "head": image[:50], "rest": image[50:], "cats.zip": archive.getvalue()}
    return variables, files | {"x.safetensors": model, "model": model, "large": b'"' + b"x" * 100_000 + b'"'}


def picture(seed: int) -> bytes:
    """Return a PNG that differs with the seed."""
    written = io.BytesIO()
    Image.frombytes("RGB", (96, 64), bytes((x * seed + x // 96) % 251 for x in range(96 * 64 * 3))).save(written, "PNG")
    return written.getvalue()
