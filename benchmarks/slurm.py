"""Submissions to a real temporary Slurm while its controller is killed, and the duration of one query of many jobs.

    python -m benchmarks.slurm [submissions] [kills]

It needs Slurm's programs (CONTRIBUTING.md) and takes some minutes.
"""

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from api.executors.executor import AttemptRef, Phase, Submission
from api.executors.local import LocalExecutor
from api.executors.slurm import cluster as cluster_watch
from api.executors.slurm import executor as module
from api.executors.slurm.client import SlurmClient
from api.executors.slurm.executor import SlurmExecutor
from tests.slurm_cluster import SlurmCluster

#: How many attempts are under way at a time: a queue hands over what can begin, and a little more.
AT_A_TIME = 60


def main() -> None:
    """Print the results."""
    count, kills = (int(text) for text in (*sys.argv[1:], *("1000", "20")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as directory, SlurmCluster(Path(directory) / "slurm", gpus=16) as cluster:
        client = SlurmClient(cluster.url, cluster.token_file, answer_seconds=30.0)
        executor = SlurmExecutor(client, LocalExecutor(node="head"), "benchmark", settle_seconds=1.0)
        _submit_all(cluster, executor, Path(directory), count, kills)
        _look(executor, client, Path(directory), count)
        client.close()


def _attempt(root: Path, number: int, seconds: float = 0.0) -> Submission:
    directory = root / f"train_{number}" / "attempts" / "1"
    directory.parent.mkdir(parents=True, exist_ok=True)
    ref = AttemptRef(f"train_{number}.1", directory, root / f"train_{number}" / "log")
    argv = ("/bin/sh", "-c", f"echo ran >> {directory}/ran; sleep {seconds}")
    return Submission(ref, argv, root, {"PATH": "/usr/bin:/bin"}, gpu_uuids=("GPU",), leftover_seconds=0.1)


def _submit_all(cluster: SlurmCluster, executor: SlurmExecutor, root: Path, count: int, kills: int) -> None:
    # Jobs that a controller has lost are awaited for a shorter time than in production.
    module.ABSENT_SECONDS, cluster_watch.LIST_SECONDS = 3.0, 5.0
    waiting = iter([_attempt(root, number) for number in range(count)])
    ended = [0]
    killed: list[float] = []
    killer = threading.Thread(target=_kill, args=(cluster, kills, lambda: ended[0] / count, killed.append))
    killer.start()
    began = time.monotonic()
    open_now: dict[str, Submission] = {}
    while ended[0] < count:
        for submission in _some(waiting, AT_A_TIME - len(open_now)):
            open_now[submission.ref.uid] = submission
        for uid, seen in executor.observe([each.ref for each in open_now.values()]).items():
            if seen.phase is Phase.ABSENT:
                _try(executor, open_now[uid])
            elif seen.phase is Phase.ENDED:
                del open_now[uid]
                ended[0] += 1
    took = time.monotonic() - began
    killer.join()
    ran = [(root / f"train_{number}" / "attempts" / "1" / "ran") for number in range(count)]
    times = [path.read_text().count("ran") if path.exists() else 0 for path in ran]
    for number in (number for number, seen in enumerate(times) if seen != 1):
        print(f"train_{number} ran {times[number]} times: {_tell(root / f'train_{number}' / 'attempts' / '1')}")
    print(
        f"{count} submissions, controller killed {len(killed)} times: {times.count(0)} lost, "
        f"{sum(each > 1 for each in times)} doubled, {took:.0f} s"
    )


def _tell(directory: Path) -> str:
    """Return the traces of an attempt that did not run exactly once."""
    names = ("exit.json", "slurm.json", "supervisor.log")
    return "; ".join(f"{name}: {(directory / name).read_text()}" for name in names if (directory / name).exists())


def _some(waiting: Iterator[Submission], most: int) -> Iterator[Submission]:
    for _ in range(most):
        found = next(waiting, None)
        if found is None:
            return
        yield found


def _try(executor: SlurmExecutor, submission: Submission) -> None:
    try:
        executor.submit(submission)
    except OSError:
        return  # it is observed, and tried again


def _kill(cluster: SlurmCluster, kills: int, done: Callable[[], float], note: Callable[[float], None]) -> None:
    for number in range(kills):
        while done() < number / (kills + 1):
            time.sleep(0.05)
        cluster.kill("controller")
        cluster.start_controller()
        note(time.monotonic())
        # The controller reuses ids of lost jobs, and drains a node that has both.
        for node in cluster.command("sinfo", "-h", "-N", "-t", "drain", "-o", "%N").split():
            with contextlib.suppress(AssertionError):  # it may be back by itself
                cluster.command("scontrol", "update", f"nodename={node}", "state=resume")


def _look(executor: SlurmExecutor, client: SlurmClient, root: Path, count: int) -> None:
    """Measure one query of all jobs that the cluster remembers."""
    refs = [_attempt(root, number).ref for number in range(count)]
    times = []
    for _ in range(10):
        began = time.perf_counter()
        executor.observe(refs)
        times.append(time.perf_counter() - began)
    jobs = len(client.jobs())
    print(f"a look at {count} attempts among {jobs} jobs: {median(times) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
