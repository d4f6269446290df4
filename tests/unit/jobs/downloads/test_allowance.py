"""The limit of a download by its owner's quota."""

import os
from pathlib import Path

import pytest

from api.jobs.downloads.allowance import Allowance, allowance_content
from api.jobs.errors import JobFailed


def test_missing_file_means_no_limit(tmp_path: Path):
    Allowance(tmp_path / "allowance.json").require(10**18)


def test_bytes_stored_since_the_file_was_written_count(tmp_path: Path):
    path, stored = tmp_path / "allowance.json", [0]
    path.write_bytes(allowance_content(100))
    allowance = Allowance(path, lambda: stored[0])
    allowance.require(100)
    with pytest.raises(JobFailed, match="storage quota"):
        allowance.require(101)
    stored[0] = 100
    allowance.require()
    path.write_bytes(allowance_content(50))
    os.utime(path, ns=(1, 1))
    stored[0] = 120
    allowance.require(50)
    stored[0] = 171
    with pytest.raises(JobFailed):
        allowance.require()


def test_owner_over_the_quota_may_store_nothing(tmp_path: Path):
    path = tmp_path / "allowance.json"
    path.write_bytes(allowance_content(-1))
    with pytest.raises(JobFailed):
        Allowance(path).require()
