import pytest

from api.executors.slurm import cluster as module
from api.executors.slurm.cluster import ClusterWatch
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport
from api.executors.slurm.sight import StorageSight

NODE = NodeReport("n1", "up", ("MIXED",), None, ("gpu",), (), 2, None, 1)


def test_a_gpu_of_somebody_elses_job_has_a_holder() -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    cluster.all[3] = Job(3, "other", frozenset({"RUNNING"}), user="eve", nodes=("n1",), gpus={"n1": frozenset({1})})
    (node,) = ClusterWatch(cluster, StorageSight("ours")).nodes()
    assert (node.gpu_count, node.gpus_used) == (2, 1)
    assert {index: str(words.text) for index, words in node.holders.items()} == {1: "Slurm's job 3 of eve has it"}


def test_nodes_of_a_cluster_that_does_not_answer_are_unknown() -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    watch = ClusterWatch(cluster, StorageSight("ours"))
    assert watch.nodes()[0].state == "up"
    cluster.problem = OSError("gone")
    later = ClusterWatch(cluster, StorageSight("ours"))
    assert later.nodes() == ()
    assert later.look().problem == "gone"


def test_questions_share_a_look() -> None:
    cluster = FakeCluster()
    watch = ClusterWatch(cluster, StorageSight("ours"))
    for _ in range(5):
        watch.look()
    assert cluster.looks == 1
    watch.look(fresh=True)
    assert cluster.looks == 2


def test_what_was_seen_long_ago_says_nothing_about_now(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    watch = ClusterWatch(cluster, StorageSight("ours"))
    assert watch.known_nodes() == ()
    watch.nodes()
    assert watch.known_nodes()[0].state == "up"
    monkeypatch.setattr(module, "OLD_SECONDS", 0.0)
    assert watch.known_nodes()[0].state == "unknown"


def test_between_two_lists_only_what_has_changed_is_asked_for() -> None:
    cluster = FakeCluster()
    cluster.all = {number: Job(number, f"train_{number}.1", frozenset({"PENDING"})) for number in range(100)}
    watch = ClusterWatch(cluster, StorageSight("ours"))
    watch.look()
    cluster.becomes(7, "RUNNING")
    cluster.all[200] = Job(200, "another", frozenset({"PENDING"}))
    del cluster.all[3]
    look = watch.look(fresh=True)
    assert (cluster.looks, cluster.single) == (2, 2)
    assert look.jobs["train_7.1"][0].states == {"RUNNING"}
    assert "another" in look.jobs
    assert "train_3.1" not in look.jobs


def test_where_much_has_changed_all_are_listed() -> None:
    cluster = FakeCluster()
    watch = ClusterWatch(cluster, StorageSight("ours"))
    watch.look()
    cluster.all = {number: Job(number, f"train_{number}.1", frozenset({"PENDING"})) for number in range(100)}
    assert len(watch.look(fresh=True).jobs) == 100
    assert cluster.single == 0


def test_a_number_that_is_anothers_now_is_not_ended() -> None:
    cluster = FakeCluster()
    mine = Job(1, "mine", frozenset({"PENDING"}))
    cluster.all = {1: mine}
    watch = ClusterWatch(cluster, StorageSight("ours"))
    watch.look()
    cluster.all = {1: Job(1, "another", frozenset({"PENDING"}))}
    watch.cancel(mine)
    assert not cluster.all[1].is_over
    assert "another" in watch.look().jobs
