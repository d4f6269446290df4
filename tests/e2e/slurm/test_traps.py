"""Failures seen on a real Slurm, each with the behaviour that must hold."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api.domain.tasks.cluster_options import ClusterOptions
from api.executors.executor import Phase, StopOrder
from api.executors.local import LocalExecutor
from api.executors.slurm import cluster as cluster_watch
from api.executors.slurm import executor as module
from api.executors.slurm import request
from api.executors.slurm.client import SlurmClient, SlurmUnreachable
from api.executors.slurm.executor import SlurmExecutor
from tests.e2e.server import until
from tests.e2e.slurm.attempts import Run
from tests.netns_machines import require_namespaces
from tests.patience import BUSY_SECONDS
from tests.slurm_cluster import SlurmCluster

#: A trainer that leaves a twice-forked daemon in its own session, with its file descriptors closed.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    print("daemon", os.getpid(), flush=True)
    time.sleep(600)
    os._exit(0)
for step in range(1, 6000):
    print(f"steps: {step}", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def run(executor: SlurmExecutor, root: Path) -> Iterator[Run]:
    made = Run(root, executor)
    yield made
    made.end()


def test_no_submission_is_lost_or_doubled_while_the_controller_dies_repeatedly(
    cluster: SlurmCluster, make_executor: Callable[[], SlurmExecutor], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ABSENT_SECONDS", 2.0)
    monkeypatch.setattr(cluster_watch, "LIST_SECONDS", 1.0)
    executor = make_executor()
    runs = [Run(root, executor, "print('port ran')") for _ in range(24)]
    goes_on = threading.Event()

    def kill() -> None:
        for _ in range(3):
            time.sleep(0.4)
            cluster.kill("controller")
            cluster.start_controller()
        goes_on.set()

    killer = threading.Thread(target=kill)
    killer.start()
    left = {run.ref.uid: run for run in runs}
    end = time.monotonic() + 120
    while left:
        assert time.monotonic() < end, left.keys()
        for uid, seen in executor.observe([run.ref for run in left.values()]).items():
            if seen.phase is Phase.ABSENT:
                try:
                    left[uid].submit()
                except OSError:
                    continue
            elif seen.phase is Phase.ENDED:
                del left[uid]
    killer.join()
    assert goes_on.is_set()
    assert [run.log().count("port ran") for run in runs] == [1] * len(runs)


def test_twice_forked_daemon_does_not_outlive_a_stop(executor: SlurmExecutor, root: Path) -> None:
    run = Run(root, executor, DAEMON)
    run.submit()
    run.wait_until_it_trains()
    until(lambda: "daemon" in run.log())
    pid = int(run.log().split("daemon ")[1].split()[0])
    executor.stop(run.ref, StopOrder(None, 0.0, 1.0))
    run.wait_for_end()
    assert not os.path.exists(f"/proc/{pid}") or b"zombie" in Path(f"/proc/{pid}/status").read_bytes()


def test_hung_supervisor_is_ended_by_slurm_with_all_its_processes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OVERDUE_SECONDS", 0.5)
    run.submit()
    seen = run.wait_until_it_trains()
    assert seen.supervisor is not None
    assert seen.process is not None
    os.kill(seen.supervisor.pid, signal.SIGSTOP)
    run.executor.stop(run.ref, StopOrder(None, 0.0, 0.0))
    outcome = run.wait_for_end(60)
    assert outcome.stop_requested
    until(lambda: not _lives(seen.process.pid if seen.process else 0))


def _lives(pid: int) -> bool:
    try:
        return b"zombie" not in Path(f"/proc/{pid}/status").read_bytes()
    except OSError:
        return False


def test_daemon_of_a_node_may_die_and_return_while_its_jobs_run(run: Run, cluster: SlurmCluster) -> None:
    run.submit()
    node = run.wait_until_it_trains().node
    cluster.kill(node)
    assert run.observe().phase is Phase.RUNNING
    cluster.start_node(node)
    cluster.wait_for_nodes()
    assert run.observe().phase is Phase.RUNNING
    run.executor.stop(run.ref, StopOrder(run.signal_file, 20.0, 5.0))
    assert run.wait_for_end().exit_code == 0


def test_hung_or_missing_slurmrestd_ends_nothing(run: Run, cluster: SlurmCluster) -> None:
    run.submit()
    run.wait_until_it_trains()
    quick = SlurmClient(cluster.url, cluster.token_file, answer_seconds=0.5)
    cluster.signal("rest", signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(SlurmUnreachable):
            quick.jobs()
        assert time.monotonic() - began < 3 + BUSY_SECONDS
    finally:
        cluster.signal("rest", signal.SIGCONT)
        quick.close()
    cluster.kill("rest")
    assert run.observe().phase is Phase.RUNNING
    with pytest.raises(OSError, match="Slurm"):
        run.executor.survivors(run.ref)
    cluster.start_rest()
    assert run.observe().phase is Phase.RUNNING


def test_expired_token_is_replaced_without_a_restart(cluster: SlurmCluster, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(cluster.token(seconds=-10))
    client = SlurmClient(cluster.url, file)
    with pytest.raises(SlurmUnreachable, match="token"):
        client.jobs()
    file.write_text(cluster.token() + "\n")
    client.jobs()
    client.close()


def test_slurmrestd_is_also_reached_through_a_socket(cluster: SlurmCluster) -> None:
    client = SlurmClient(cluster.unix_url, cluster.token_file)
    assert {node.name for node in client.nodes()} == {"n1", "n2", "n3"}
    assert client.partitions() == ("gpu",)
    client.close()


def test_death_of_a_node_ends_its_attempt_and_another_can_continue_it(
    run: Run, cluster: SlurmCluster, root: Path
) -> None:
    run.submission = replace(run.submission, node="n3")
    run.submit()
    assert run.wait_until_it_trains().node == "n3"
    last = run.log().count("steps: ")
    began = time.monotonic()
    cluster.kill_machine("n3")
    cluster.command("scontrol", "update", "nodename=n3", "state=down", "reason=power")
    try:
        outcome = run.wait_for_end(60)
        assert outcome.reason == "node_lost"
        assert "n3" in (outcome.error or "")
        assert (outcome.last_step or 0) >= last - 1
        assert not run.executor.survivors(run.ref)
        assert time.monotonic() - began < 30 + BUSY_SECONDS
        again = Run(root, run.executor, node="n2")
        again.submit()
        assert again.wait_until_it_trains().node == "n2"
        again.end()
    finally:
        cluster.start_node("n3")
        cluster.wait_for_nodes()


def test_node_without_the_storage_reports_it_and_gets_no_more_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_namespaces()
    storage = tmp_path / "storage"
    storage.mkdir()
    # The node sees an empty directory instead, as where the storage is not mounted.
    hide = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none {storage} && exec "$@"', "sh")
    monkeypatch.setattr(request, "LOOK_SECONDS", 1.0)
    with SlurmCluster(tmp_path / "cluster", ("n1", "n3"), prefixes={"n3": hide}) as cluster:
        client = SlurmClient(cluster.url, cluster.token_file)
        executor = SlurmExecutor(client, LocalExecutor(node="head"), "test", settle_seconds=0.5)
        run = Run(storage, executor, node="n3")
        run.submission = replace(run.submission, cluster_options=ClusterOptions())
        run.submit()
        outcome = run.wait_for_end()
        assert outcome.reason == "storage_unseen"
        assert (outcome.error or "").startswith(f"n3 does not see {run.ref.directory}")
        executor.poll()
        assert {node.name: node.bar is not None for node in executor.known_nodes()} == {"n1": False, "n3": True}
        next_run = Run(storage, executor)
        next_run.submit()
        assert next_run.wait_until_it_trains().node == "n1"
        next_run.end()
        client.close()


def test_waiting_job_can_be_allowed_on_all_nodes_again(executor: SlurmExecutor, root: Path) -> None:
    cluster = executor._watch._cluster
    job = {"name": "a.1", "comment": "ours", "hold": True, "tres_per_node": "gres/gpu:1", "excluded_nodes": ["n1"]}
    places = {"environment": ["PATH=/bin"], "current_working_directory": "/", "standard_output": str(root / "output")}
    number = cluster.submit("#!/bin/sh\n", {**job, **places})
    seen = []
    for nodes in ((), ("n1", "n2"), ()):
        cluster.exclude(number, nodes)
        found = cluster.job(number)
        assert found is not None
        seen.append(found.excluded)
    # An empty list changes nothing in Slurm.
    assert seen == [frozenset(), {"n1", "n2"}, frozenset()]
    cluster.cancel(number)


def test_foreign_job_with_the_name_of_an_attempt_does_not_block_it(
    cluster: SlurmCluster, run: Run, executor: SlurmExecutor
) -> None:
    alien = {"name": run.ref.uid, "comment": "test", "hold": True, "tres_per_node": "gres/gpu:1"}
    alien |= {"environment": ["PATH=/bin"], "current_working_directory": "/"}
    headers = {"X-SLURM-USER-TOKEN": cluster.token("daemon")}
    body = {"script": "#!/bin/sh\nexec sleep 600\n", "job": alien}
    httpx.post(f"{cluster.url}/slurm/v0.0.42/job/submit", headers=headers, json=body).raise_for_status()
    assert run.observe().phase is Phase.ABSENT
    run.submit()
    run.wait_until_it_trains()
    assert cluster.command("squeue", "-h", "-t", "PD", "-o", "%u %j").split() == ["daemon", run.ref.uid]
    executor.stop(run.ref, StopOrder(None, 0.0, 0.0))
    run.wait_for_end()
    assert cluster.command("squeue", "-h", "-o", "%u").split() == ["daemon"]
    cluster.command("scancel", "--name", run.ref.uid)
