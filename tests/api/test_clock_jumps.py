"""Setting the wall clock deletes nothing that the service has acknowledged."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from api.datasets.records.derivations import DerivationStore
from api.db.tables import audit, sessions
from api.domain.access.principal import Role
from api.util.clock import FakeClock
from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.api.uploads import Uploads

HOUR, DAY = 3600.0, 86_400.0
AUTH = "/api/v1/auth"
KEY = {"Idempotency-Key": "k-1"}


class Service:
    """A server and what it has acknowledged to a user before its clock is set."""

    def __init__(self, make_world: MakeWorld, clock: FakeClock) -> None:
        self.make_world = make_world
        self.clock = clock
        self.open()
        ends = clock.now() + timedelta(hours=20)
        self.ann = self.world.key("ann", Role.TRAINER, expires_at=ends)
        self.cookie = self.sign_in()
        self.first = self.start()
        self.uploads = Uploads(self.seen_by_ann())
        self.upload = self.uploads.start_upload(10)
        self.uploads.send(self.upload, 0, b"abc")
        self.derivations.keep({"source": {"a": 1}}, clock.steady.now())
        self.audited = self.count(audit)

    def open(self) -> None:
        self.world = self.make_world(clock=self.clock, auth="required", audit_retention_days=1)
        self.derivations = DerivationStore(self.world.runtime.database)
        self.world.runtime.servers.sign()

    def restart(self) -> None:
        self.world.runtime.stop()
        self.clock.restart()
        self.open()
        self.uploads = Uploads(self.seen_by_ann())

    def seen_by_ann(self) -> World:
        return World(self.world.runtime, self.world.client.showing(self.ann), self.world.executor)

    def start(self) -> Any:
        answer = self.seen_by_ann().client.post(f"{TRAINING}/start", json=TOY, headers=KEY)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]["task_id"]

    def sign_in(self) -> dict[str, str]:
        shown = self.ann["Authorization"].removeprefix("Bearer ")
        return {"Cookie": f"dp_session={self.world.runtime.services.access.service.log_in(shown)[0]}"}

    def count(self, table: Any) -> int:
        with self.world.runtime.database.read() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    def work(self) -> None:
        """Run everything that deletes data."""
        runtime = self.world.runtime
        runtime.servers.sign()
        runtime.access.ring.run_once()
        runtime.access.audit.run_once()
        runtime.services.datasets.uploads.tidy()
        runtime.datasets.collector.run_once()
        self.derivations.keep({}, self.clock.steady.now())
        other = self.world.key("bob", Role.VIEWER)["Authorization"].removeprefix("Bearer ")
        runtime.services.access.service.log_in(other)
        root = self.world.signed_in("root", Role.ADMIN)
        root.client.post(f"{TRAINING}/start", json=TOY, headers={"Idempotency-Key": "other"})


@pytest.mark.usefixtures("shared_decoder")
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("jump", [25 * HOUR, 366 * DAY, -25 * HOUR, -366 * DAY])
def test_setting_the_clock_and_correcting_it_deletes_nothing(
    make_world: MakeWorld, clock: FakeClock, jump: float, is_restarted: bool
):
    service = Service(make_world, clock)
    clock.advance(12)
    service.world.runtime.servers.sign()
    clock.jump(jump)
    if is_restarted:
        service.restart()
    for _ in range(3):
        service.work()
        clock.advance(600)
    clock.jump(-jump)
    service.work()
    assert service.start() == service.first
    assert service.uploads.offset(service.upload) == 3
    if jump > -DAY * 2:  # a larger jump ends sessions early, and users sign in again
        assert service.world.client.get(f"{AUTH}/whoami", headers=service.cookie).status_code == 200
    assert service.derivations.find(["source"], clock.steady.now()) == {"source": {"a": 1}}
    assert service.count(audit) > service.audited
    with service.world.runtime.database.read() as connection:
        assert connection.scalar(select(func.min(audit.c.id))) == 1


@pytest.mark.usefixtures("shared_decoder")
def test_work_started_with_a_wrong_clock_ends_normally_after_the_correction(make_world: MakeWorld, clock: FakeClock):
    clock.jump(366 * DAY)
    clock.restart()
    service = Service(make_world, clock)
    clock.jump(-366 * DAY)
    service.work()
    assert service.uploads.offset(service.upload) == 3
    with service.world.runtime.database.read() as connection:
        latest = connection.scalar(select(func.max(sessions.c.expires_at)))
    assert latest <= (clock.now() + timedelta(hours=12)).timestamp()
    clock.advance(8 * DAY)
    service.work()
    assert service.world.runtime.services.datasets.uploads._store.known([service.upload.rpartition("/")[2]]) == set()
