"""Attempts that Slurm runs for this service, whatever any database knows of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from api.executors.executor import AttemptRef, LivingAttempt, Locate
from api.executors.records import parse_spec
from api.executors.slurm.ahead import is_described
from api.executors.slurm.jobs import AHEAD, Job
from api.util.foreign_files import read


def list_strays(jobs: Iterable[Job], locate: Locate) -> Iterator[LivingAttempt]:
    """The attempts of jobs with ours as a comment, by their name. Their processes are their nodes' to see; of one that
    was handed over ahead nothing lives before it is described.
    """
    for job in jobs:
        directory = None if job.is_pending else locate(job.name)
        if directory is None or (job.comment.endswith(AHEAD) and not is_described(directory)):
            continue
        try:
            described = parse_spec(read(str(directory / "spec.json")))
        except OSError:
            described = None
        gpus = () if described is None else described.gpu_uuids
        log = directory if described is None else Path(described.log_directory)
        yield LivingAttempt(AttemptRef(job.name, directory, log), gpus, None, ())
