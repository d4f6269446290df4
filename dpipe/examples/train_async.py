"""The same as train.py with the asynchronous client: `python train_async.py cats flux.toml portraits`."""

import asyncio
import sys
from pathlib import Path

from dpipe import AsyncClient


async def main(folder: str, config: str, sample_set: str) -> None:
    """Do it with a service at DPIPE_URL, by default on this machine."""
    async with AsyncClient() as client:
        dataset = await client.datasets.upload(folder, progress=lambda done, total: print(f"{done} of {total} bytes"))
        print(f"{dataset.reference} has {len([item async for item in dataset.items()])} items")

        first = await client.trainings.start(config=Path(config), dataset=dataset.reference, name="first")
        async for event in first.follow():
            if event.kind == "log":
                print(event.data["message"])
        second = await client.trainings.start(config=Path(config), dataset=dataset.reference, name="second", wait=True)

        sampling = await (await second.sample(None, sample_set)).wait(timeout=3600)
        print(f"{sampling.id} has {sampling.status}")
        async for sample in second.samples():
            if sample["url"] is not None:
                Path(f"{sample['sample_id']}.png").write_bytes(await client.read(sample["url"]))

        compared = await client.trainings.compare([first.id, second.id], metric="loss", axis="epoch")
        for series in compared["series"]:
            print(series["task_id"], series["metric"], series["values"][-1])
        print(await second.download(to="."))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
