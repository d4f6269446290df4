"""The alerts of machines that only report their GPUs.

One head evaluates them, of all that share the database.
"""

from collections.abc import Mapping

from api.alerts.evaluation import FactTable
from api.alerts.fact_store import AlertFactStore
from api.alerts.gpu_facts import GPUFacts
from api.alerts.site_facts import reported_service_table
from api.domain.alert import Alert
from api.domain.alert_rule import RuleScope
from api.domain.node import NodeRole
from api.gpus.state import GPUState
from api.util.clock import Clock

#: The scopes of the facts that such a machine reports.
REPORTED_SCOPES = frozenset({RuleScope.GPU, RuleScope.SERVICE})

#: Seconds for which the roles of the machines are cached.
_CACHE_SECONDS = 5.0


class ReportingMachines:
    """Computes the tables of these machines, and decides which alerts are theirs. Not thread-safe."""

    def __init__(self, store: AlertFactStore, gpus: GPUFacts, own: str, clock: Clock) -> None:
        """Create the tables. `own` is the name of this machine."""
        self._store = store
        self._gpus = gpus
        self._own = own
        self._clock = clock
        self._roles: Mapping[str, NodeRole | None] = {}
        self._read_at = float("-inf")

    def tables(self, state: GPUState, waiting: float) -> tuple[FactTable, FactTable]:
        """Return the facts of their GPUs and drivers.

        `waiting` is the number of queued tasks. Raises DatabaseUnavailable.
        """
        # A head that has just started has not received a report of every machine.
        names = [name for name, role in self._read_roles().items() if role is NodeRole.NODE]
        table = self._gpus.table_of_others(state, waiting, names)
        return table, reported_service_table(state, table.is_complete)

    def owns(self, alert: Alert) -> bool:
        """Return whether an alert is about one of these machines, or about a deleted machine.

        A machine with its own server evaluates its own alerts. Raises DatabaseUnavailable.
        """
        node = alert.labels.get("node")
        if alert.scope not in REPORTED_SCOPES or node is None or node == self._own:
            return False
        return self._read_roles().get(node, NodeRole.NODE) is NodeRole.NODE

    def _read_roles(self) -> Mapping[str, NodeRole | None]:
        now = self._clock.monotonic()
        if now - self._read_at >= _CACHE_SECONDS:
            self._roles, self._read_at = self._store.roles(), now
        return self._roles
