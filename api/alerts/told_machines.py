"""The alerts of machines that only tell of their GPUs: one head makes them, of all that share the database."""

from collections.abc import Mapping

from api.alerts.evaluation import FactTable
from api.alerts.fact_store import AlertFactStore
from api.alerts.gpu_facts import GPUFacts
from api.alerts.site_facts import told_service_table
from api.domain.alert import Alert
from api.domain.alert_rule import RuleScope
from api.domain.node import NodeRole
from api.gpus.state import GPUState
from api.util.clock import Clock

#: What is known of a machine that only tells.
TOLD_SCOPES = frozenset({RuleScope.GPU, RuleScope.SERVICE})

#: Seconds for which it is taken for known which machine has which role.
_KEPT_SECONDS = 5.0


class ToldMachines:
    """Makes the tables of these machines, and knows which alerts are theirs. One thread uses it."""

    def __init__(self, store: AlertFactStore, gpus: GPUFacts, own: str, clock: Clock) -> None:
        """`own` is this machine."""
        self._store = store
        self._gpus = gpus
        self._own = own
        self._clock = clock
        self._roles: Mapping[str, NodeRole | None] = {}
        self._asked_at = float("-inf")

    def tables(self, state: GPUState, waiting: float) -> tuple[FactTable, FactTable]:
        """The facts of their GPUs, and of their drivers; `waiting` tasks wait. Raises DatabaseUnavailable."""
        # A head that begins has not heard all of them yet.
        names = [name for name, role in self._ask().items() if role is NodeRole.NODE]
        table = self._gpus.table_of_others(state, waiting, names)
        return table, told_service_table(state, table.is_complete)

    def owns(self, alert: Alert) -> bool:
        """Whether an alert is about one of them, or about one that was forgotten: a machine with a server of its own
        looks after its own alerts. Raises DatabaseUnavailable.
        """
        node = alert.labels.get("node")
        if alert.scope not in TOLD_SCOPES or node is None or node == self._own:
            return False
        return self._ask().get(node, NodeRole.NODE) is NodeRole.NODE

    def _ask(self) -> Mapping[str, NodeRole | None]:
        now = self._clock.monotonic()
        if now - self._asked_at >= _KEPT_SECONDS:
            self._roles, self._asked_at = self._store.roles(), now
        return self._roles
