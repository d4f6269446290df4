"""Trainings on failing machines: `python -m tests.netns_play`, in its own network, plays a seed and prints JSON."""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from api.executors.local import LocalExecutor
from api.executors.slurm.client import SlurmClient
from api.executors.slurm.executor import SlurmExecutor
from tests.netns_cluster import MachinesWithSlurm
from tests.netns_machines import Machine
from tests.netns_service import Service
from tests.netns_trainings import Observer, Queue, run_until_done

#: Seconds within which everything must have ended after the last fault.
END_SECONDS = 150.0


@dataclass
class Observations:
    """The observations of a play."""

    seed: int
    faults: list[str] = field(default_factory=list)
    #: The number of faults of each kind that were injected and repaired.
    struck: int = 0
    violations: list[str] = field(default_factory=list)
    trainings: int = 0
    #: Why attempts ended before their training was done.
    ends: dict[str, int] = field(default_factory=dict)
    #: Machines that an administrator had to resume.
    resumed: list[str] = field(default_factory=list)
    is_done: bool = False
    left: list[int] = field(default_factory=list)
    looks: int = 0
    seconds: float = 0.0


class Faults:
    """Faults of machines and daemons; each is repaired after a while."""

    def __init__(self, cluster: MachinesWithSlurm, dice: random.Random) -> None:
        self._cluster, self._dice = cluster, dice
        self.problems: list[str] = []
        #: Further programs that a machine starts at its boot.
        self.on_boot: Callable[[Machine], None] = lambda machine: None
        # Two simultaneous faults never hit both controllers or the same machine.
        self._controllers, self._machine = threading.Lock(), threading.Lock()
        self.kinds: dict[str, Callable[[], None]] = {
            "machine": self.machine,
            "partition": self.partition,
            "node daemon": self.node_daemon,
            "controller": self.controller,
            "both controllers": self.both_controllers,
            "slurmrestd": self.slurmrestd,
        }

    def _pause(self, least: float, most: float) -> None:
        time.sleep(self._dice.uniform(least, most))

    def _node(self) -> Machine:
        # The first machine has the backup controller and shares its faults.
        return self._dice.choice(self._cluster.nodes)

    def machine(self) -> None:
        """Cut the power of a machine, and restore it."""
        with self._machine:
            node = self._node()
            node.switch_off()
            self._pause(4, 25)
            node.boot()
            self._cluster.start_daemons(node)
            self.on_boot(node)

    def partition(self) -> None:
        """Disconnect a machine for shorter or longer than the time after which it counts as lost."""
        node = self._node()
        node.cut_off()
        self._pause(4, 25)
        node.heal()

    def node_daemon(self) -> None:
        """Kill a slurmd; the processes that it started continue."""
        with self._machine:
            node = self._node()
            node.kill("slurmd")
            self._pause(1, 5)
            node.start("slurmd", "slurmd", "-D")

    def controller(self) -> None:
        """Kill the controller, long enough for its backup to take over or not."""
        head = self._cluster.head
        with self._controllers:
            head.kill("slurmctld")
            self._pause(1, 20)
            self._cluster.start_controller(head)

    def both_controllers(self) -> None:
        """Kill both controllers."""
        with self._controllers, self._machine:
            both = [self._cluster.head, self._cluster.nodes[0]]
            for machine in both:
                if "slurmctld" in machine.processes:
                    machine.kill("slurmctld")
            self._pause(1, 8)
            for machine in both:
                if machine.is_on and "slurmctld" not in machine.processes:
                    self._cluster.start_controller(machine)

    def slurmrestd(self) -> None:
        """Kill slurmrestd, so that the head gets no answer."""
        self._cluster.head.kill("slurmrestd")
        self._pause(1, 8)
        self._cluster.start_rest()

    def resume_drained(self) -> list[str]:
        """Resume drained machines, as the guide describes: a controller that forgot a job drains its machine."""
        drained = [name for name, state in self._cluster.states().items() if state.startswith(("drain", "drng"))]
        return [name for name in drained if self._cluster.resume(name)]

    def _strike_with(self, kind: str) -> None:
        try:
            self.kinds[kind]()
        except Exception as error:
            # An error of the play itself, after which a fault may not be repaired.
            self.problems.append(f"{kind}: {error!r}")
            raise

    def strike(self, kinds: list[str]) -> None:
        """Inject these faults together, and wait until all are repaired."""
        threads = [threading.Thread(target=self._strike_with, args=(kind,)) for kind in kinds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class ServiceFaults(Faults):
    """Faults that include the service's own parts."""

    def __init__(self, cluster: MachinesWithSlurm, service: Service, dice: random.Random) -> None:
        super().__init__(cluster, dice)
        self._service = service
        self.on_boot = service.start_node
        self.kinds |= {"head": self.head, "node": self.node, "database": self.database, "redis": self.redis}

    def head(self) -> None:
        """Kill the head's server."""
        self._cluster.head.kill("api")
        self._pause(0.5, 5)
        self._service.start_head()

    def node(self) -> None:
        """Kill a node's server, so that its GPUs are not reported."""
        with self._machine:
            node = self._node()
            node.kill("api")
            self._pause(1, 20)
            self._service.start_node(node)

    def database(self) -> None:
        """Stop PostgreSQL immediately."""
        self._service.postgres.stop(is_immediate=True)
        self._pause(0.5, 8)
        self._service.postgres.start()

    def redis(self) -> None:
        """Kill Redis."""
        self._service.redis.kill()
        self._pause(0.5, 8)
        self._service.redis.start()


class QueueFaults(Faults):
    """Faults for the small queue: only its memory can fail."""

    def __init__(self, cluster: MachinesWithSlurm, queue: Queue, dice: random.Random) -> None:
        super().__init__(cluster, dice)
        self.kinds |= {"head": queue.restart}


def play(directory: Path, options: argparse.Namespace) -> Observations:
    """Play the seed, and return the observations."""
    began, dice = time.monotonic(), random.Random(options.seed)
    cluster = MachinesWithSlurm(directory)
    seen = Observations(options.seed)
    with ExitStack() as stack:
        stack.callback(cluster.end)
        cluster.start()
        queue: Queue | Service
        if options.service:
            queue = Service(cluster, stack, options.steps)
            queue.start()
            faults: Faults = ServiceFaults(cluster, queue, dice)
        else:
            client = SlurmClient(cluster.url, cluster.token_file)
            queue = Queue(
                cluster.shared,
                lambda: SlurmExecutor(client, LocalExecutor(node="head"), "netns", settle_seconds=1.0),
                options.steps,
            )
            faults = QueueFaults(cluster, queue, dice)
        kinds = [[options.fault]] if options.fault else draw(options.seed, options.pairs, sorted(faults.kinds))
        seen.faults = ["+".join(pair) for pair in kinds]
        with Observer() as observer:
            queue.top_up(options.trainings)
            storm = threading.Thread(target=strike_all, args=(faults, kinds, dice, seen))
            storm.start()
            while storm.is_alive():
                queue.top_up(options.trainings)
                queue.turn()
                time.sleep(0.3)
            seen.is_done = run_until_done(queue, END_SECONDS)
            time.sleep(1.0)
        seen.looks = observer.looks
        seen.violations = [*faults.problems, *observer.violations, *queue.find_violations()]
        seen.ends, seen.trainings = dict(Counter(queue.ends())), queue.count
        seen.left = [len(node.pids()) for node in cluster.nodes]
        if seen.violations:
            sys.stderr.write(f"{queue.problems[-3:]}\n{cluster.states()}\n{cluster.log_tails()}\n")
    seen.seconds = round(time.monotonic() - began, 1)
    return seen


def strike_all(faults: Faults, kinds: list[list[str]], dice: random.Random, seen: Observations) -> None:
    """Inject faults one after the other, with time for progress between them."""
    try:
        for at_once in kinds:
            time.sleep(dice.uniform(1.5, 8))
            faults.strike(at_once)
            seen.resumed += faults.resume_drained()
            seen.struck += 1
    except Exception as error:
        # Otherwise skipped faults would be reported as harmless.
        faults.problems.append(f"{len(kinds) - seen.struck} faults were not struck: {error!r}")
        raise


def draw(seed: int, count: int, kinds: list[str]) -> list[list[str]]:
    """Draw pairs of faults from a seed."""
    dice = random.Random(f"pairs {seed}")
    return [dice.sample(kinds, 2) for _ in range(count)]


def main() -> None:
    """Play, and print the observations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="for all files; default: a temporary one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--service", action="store_true", help="test the complete service, not only the executor")
    parser.add_argument("--fault", help="inject only this fault")
    parser.add_argument("--pairs", type=int, default=1, help="number of random pairs")
    parser.add_argument("--trainings", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="netns-") as made:
        # Slurm's user reads it, too.
        Path(made).chmod(0o755)
        directory = options.directory or Path(made) / "play"
        seen = play(directory, options)
    print(json.dumps(asdict(seen)))  # noqa: T201


if __name__ == "__main__":
    main()
