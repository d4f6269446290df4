#!/usr/bin/env python3
"""Stands for Python and diffusion-pipe in the pictures: prints and saves what the trainer does, but trains nothing.

A learning rate of 0.01 or more runs out of GPU memory.
"""

import math
import random
import struct
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path

STEP_SECONDS = 0.25
ITEMS = 24
HEADER = b'{"lora_unet_a.lora_down.weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}'


def main() -> int:
    """Print steps with a falling loss."""
    path = Path(sys.argv[sys.argv.index("--config") + 1])
    config = tomllib.loads(path.read_text())
    chance = random.Random(path.parent.name)
    run = Path(config["output_dir"]) / datetime.now(UTC).strftime("%Y%m%d_%H-%M-%S")
    run.mkdir(parents=True)
    rate, epochs, step = config["optimizer"]["lr"], config["epochs"], 0
    print("caching latents: (1.0, 1024, 1024, 1)", flush=True)
    print("DeepSpeed info: version=0.18.4, git-hash=unknown, git-branch=unknown", flush=True)
    print("Global batch size = 1", flush=True)
    for epoch in range(1, epochs + 1):
        if epoch > 1:
            print(f"Started new epoch: {epoch}", flush=True)
        for _ in range(ITEMS * 5):
            step += 1
            time.sleep(STEP_SECONDS)
            loss = 0.085 + 0.11 * math.exp(-step / 90) + chance.gauss(0, 0.012)
            print(
                f"[Rank 0] step={step}, skipped=0, lr=[{rate}], mom=[(0.9, 0.99)]\n"
                f"steps: {step} loss: {loss:.4f} iter time (s): {STEP_SECONDS:.3f} samples/sec: {1 / STEP_SECONDS:.3f}",
                flush=True,
            )
            if rate >= 0.01 and step == 40:
                print(
                    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total "
                    "capacity of 23.65 GiB of which 1.11 GiB is free.",
                    file=sys.stderr,
                )
                return 1
        checkpoint = run / f"global_step{step}"
        print(f"[Torch] Checkpoint global_step{step} is about to be saved!", flush=True)
        checkpoint.mkdir()
        (checkpoint / "mp_rank_00_model_states.pt").write_bytes(bytes(4096))
        (run / "latest").write_text(checkpoint.name)
        model = run / f"epoch{epoch}"
        print(f"Saving model to directory {model}", flush=True)
        model.mkdir()
        data = struct.pack("<Q", len(HEADER)) + HEADER + bytes(4)
        (model / "adapter_model.safetensors").write_bytes(data)
    print("TRAINING COMPLETE!", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
