"""Upload a folder, train on it twice, follow, sample, compare, download: `python train.py cats flux.toml portraits`."""

import sys
from pathlib import Path

from dpipe import Client


def main(folder: str, config: str, sample_set: str) -> None:
    """Do it with a service at DPIPE_URL, by default on this machine."""
    with Client() as client:
        dataset = client.datasets.upload(folder, progress=lambda done, total: print(f"{done} of {total} bytes"))
        print(f"{dataset.reference} has {sum(1 for _ in dataset.items())} items")

        first = client.trainings.start(config=Path(config), dataset=dataset.reference, name="first")
        for event in first.follow():
            if event.kind == "log":
                print(event.data["message"])
        second = client.trainings.start(config=Path(config), dataset=dataset.reference, name="second", wait=True)

        sampling = second.sample(None, sample_set).wait(timeout=3600)
        print(f"{sampling.id} has {sampling.status}")
        for sample in second.samples():
            if sample["url"] is not None:
                Path(f"{sample['sample_id']}.png").write_bytes(client.read(sample["url"]))

        for series in client.trainings.compare([first.id, second.id], metric="loss", axis="epoch")["series"]:
            print(series["task_id"], series["metric"], series["values"][-1])
        print(second.download(to="."))


if __name__ == "__main__":
    main(*sys.argv[1:])
