from dataclasses import replace
from types import SimpleNamespace

import pytest

from api.executors.slurm import cluster as module
from api.executors.slurm.cluster import ClusterWatch
from api.executors.slurm.fake import FakeCluster
from api.executors.slurm.jobs import Job
from api.executors.slurm.nodes import NodeReport
from api.executors.slurm.storage_check import UNSEEN, StorageChecks

NODE = NodeReport("n1", "up", ("MIXED",), None, ("gpu",), (), 2, None)


def test_gpu_of_another_users_job_has_a_holder() -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    cluster.all[3] = Job(3, "other", frozenset({"RUNNING"}), user="eve", nodes=("n1",), gpus={"n1": frozenset({1})})
    (node,) = ClusterWatch(cluster, StorageChecks("ours")).nodes()
    assert node.gpu_count == 2
    assert {index: str(words.text) for index, words in node.holders.items()} == {1: "Slurm's job 3 of eve has it"}


def test_nodes_of_an_unavailable_cluster_are_unknown() -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    watch = ClusterWatch(cluster, StorageChecks("ours"))
    assert watch.nodes()[0].state == "up"
    cluster.problem = OSError("gone")
    later = ClusterWatch(cluster, StorageChecks("ours"))
    assert later.nodes() == ()
    assert later.poll().problem == "gone"


def test_queries_share_a_poll() -> None:
    cluster = FakeCluster()
    watch = ClusterWatch(cluster, StorageChecks("ours"))
    for _ in range(5):
        watch.poll()
    assert cluster.polls == 1
    watch.poll(fresh=True)
    assert cluster.polls == 2


def test_old_poll_does_not_show_the_current_state(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    watch = ClusterWatch(cluster, StorageChecks("ours"))
    assert watch.known_nodes() == ()
    watch.nodes()
    assert watch.known_nodes()[0].state == "up"
    monkeypatch.setattr(module, "OLD_SECONDS", 0.0)
    assert watch.known_nodes()[0].state == "unknown"


def test_between_two_lists_only_changed_jobs_are_queried() -> None:
    cluster = FakeCluster()
    cluster.all = {number: Job(number, f"train_{number}.1", frozenset({"PENDING"})) for number in range(100)}
    watch = ClusterWatch(cluster, StorageChecks("ours"))
    watch.poll()
    cluster.becomes(7, "RUNNING")
    cluster.all[200] = Job(200, "another", frozenset({"PENDING"}))
    del cluster.all[3]
    poll = watch.poll(fresh=True)
    assert (cluster.polls, cluster.single) == (2, 2)
    assert poll.jobs["train_7.1"][0].states == {"RUNNING"}
    assert "another" in poll.jobs
    assert "train_3.1" not in poll.jobs


def test_many_changes_cause_a_full_list() -> None:
    cluster = FakeCluster()
    watch = ClusterWatch(cluster, StorageChecks("ours"))
    watch.poll()
    cluster.all = {number: Job(number, f"train_{number}.1", frozenset({"PENDING"})) for number in range(100)}
    assert len(watch.poll(fresh=True).jobs) == 100
    assert cluster.single == 0


def test_reused_job_number_is_not_cancelled() -> None:
    cluster = FakeCluster()
    mine = Job(1, "mine", frozenset({"PENDING"}))
    cluster.all = {1: mine}
    watch = ClusterWatch(cluster, StorageChecks("ours"))
    watch.poll()
    cluster.all = {1: Job(1, "another", frozenset({"PENDING"}))}
    watch.cancel(mine)
    assert not cluster.all[1].is_over
    assert "another" in watch.poll().jobs


def watch_of(cluster: FakeCluster) -> ClusterWatch:
    return ClusterWatch(cluster, StorageChecks("ours"))


@pytest.mark.parametrize(("user", "is_ours"), [("trainer", True), ("", True), ("eve", False)])
def test_jobs_user_decides_whether_it_is_ours(user: str, is_ours: bool) -> None:
    cluster = FakeCluster()
    cluster.user = "trainer"
    cluster.all[3] = Job(
        3, "train_1.1", frozenset({"FAILED"}), user=user, comment="ours", nodes=("n1",), exit_code=UNSEEN
    )
    cluster.machines = [NODE]
    watch = watch_of(cluster)
    assert ("train_1.1" in watch.poll().jobs) is is_ours
    # It reports no node, either.
    assert (watch.nodes()[0].bar is not None) is is_ours


def test_holders_include_jobs_of_all_users() -> None:
    cluster = FakeCluster()
    cluster.user = "trainer"
    cluster.machines = [NODE]
    cluster.all[3] = Job(3, "", frozenset({"RUNNING"}), user="eve", nodes=("n1",), gpus={"n1": frozenset({1})})
    assert set(watch_of(cluster).nodes()[0].holders) == {1}


def test_slurms_name_of_our_user_is_learned_from_submitted_jobs() -> None:
    cluster = FakeCluster()
    cluster.user = "trainer@example.org"
    watch = watch_of(cluster)
    number = watch.submit("", {"name": "train_1.1", "comment": "ours"})
    cluster.all[number] = replace(cluster.all[number], user="trainer", states=frozenset({"RUNNING"}))
    cluster.all[9] = Job(9, "train_1.2", frozenset({"PENDING"}), user="trainer")
    cluster.all[10] = Job(10, "train_1.2", frozenset({"PENDING"}), user="eve")
    poll = watch.poll(fresh=True)
    assert [(name, [job.job_id for job in jobs]) for name, jobs in poll.jobs.items()] == [
        ("train_1.1", [number]),
        ("train_1.2", [9]),
    ]


def test_reused_number_does_not_teach_a_user_name() -> None:
    cluster = FakeCluster()
    cluster.user = "trainer"
    cluster.all[3] = Job(3, "another", frozenset({"RUNNING"}), user="eve")
    cluster.all[4] = Job(4, "train_1.1", frozenset({"RUNNING"}), user="eve")
    watch = watch_of(cluster)
    watch.add_own_job(3, "train_1.1")
    assert watch.poll(fresh=True).jobs == {}


def test_unreadable_job_keeps_its_previous_values_and_gets_its_new_states() -> None:
    cluster = FakeCluster()
    cluster.all = {7: Job(7, "train_7.1", frozenset({"PENDING"})), 8: Job(8, "train_8.1", frozenset({"PENDING"}))}
    watch = watch_of(cluster)
    watch.poll()
    cluster.all[7] = Job(7, "", frozenset({"RUNNING"}))
    cluster.all[9] = Job(9, "", frozenset({"RUNNING"}))
    for _ in range(3):
        poll = watch.poll(fresh=True)
    assert poll.jobs["train_7.1"][0].states == {"RUNNING"}
    assert poll.unread == {9}
    assert set(poll.jobs) == {"train_7.1", "train_8.1"}
    # It is not queried repeatedly.
    assert cluster.single == 2


def test_jobs_beyond_the_time_limit_are_queried_by_the_next_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster()
    cluster.all = {number: Job(number, f"train_{number}.1", frozenset({"PENDING"})) for number in range(1, 4)}
    watch = watch_of(cluster)
    watch.poll()
    monkeypatch.setattr(module, "ASK_SECONDS", -1.0)
    cluster.becomes(2, "RUNNING")
    assert watch.poll(fresh=True).jobs["train_2.1"][0].states == {"PENDING"}
    monkeypatch.setattr(module, "ASK_SECONDS", 5.0)
    assert watch.poll(fresh=True).jobs["train_2.1"][0].states == {"RUNNING"}


def test_nodes_are_not_queried_if_jobs_failed() -> None:
    cluster = FakeCluster()
    cluster.machines = [NODE]
    watch = watch_of(cluster)
    watch.nodes()
    cluster.problem = OSError("gone")
    watch.poll(fresh=True)
    cluster.nodes = lambda: pytest.fail("it is called")  # type: ignore[method-assign]
    watch._nodes = (float("-inf"), watch._nodes[1])  # type: ignore[index]
    assert [(node.state, node.reason) for node in watch.nodes()] == [("unknown", "gone")]


def test_slow_failing_cluster_gets_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster, now = FakeCluster(), 1_000.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))

    def hang() -> list[Job]:
        nonlocal now
        now += took
        cluster.polls += 1
        raise OSError("no answer")

    watch = watch_of(cluster)
    cluster.jobs = hang  # type: ignore[method-assign]
    took = 0.0
    assert [watch.poll(fresh=True).problem for _ in range(3)] == ["no answer"] * 3
    assert cluster.polls == 3
    for seconds, rests in ((2.0, 2.0), (10.0, module.REST_SECONDS)):
        took, before = seconds, cluster.polls
        assert watch.poll(fresh=True).problem == "no answer"
        now += rests - 0.1
        assert watch.poll(fresh=True).problem == "no answer"
        now += 0.2
        watch.poll(fresh=True)
        assert cluster.polls - before == 2
        now += 100.0
    cluster.jobs = list  # type: ignore[method-assign]
    assert watch.poll(fresh=True).problem is None


def test_job_of_another_user_is_never_cancelled() -> None:
    cluster = FakeCluster()
    cluster.user = "trainer"
    mine = Job(1, "mine", frozenset({"PENDING"}), user="trainer")
    cluster.all = {1: replace(mine, user="eve")}
    watch_of(cluster).cancel(mine)
    assert not cluster.all[1].is_over


def test_known_result_is_returned_without_a_query() -> None:
    cluster = FakeCluster()
    watch = watch_of(cluster)
    assert watch.known_poll() is None
    cluster.all[1] = Job(1, "a", frozenset({"PENDING"}))
    watch.poll()
    watch.submit("", {"name": "b", "comment": ""})
    known = watch.known_poll()
    assert known is not None
    assert set(known.jobs) == {"a"}
    assert cluster.polls == 1
