"""Deliveries as rows."""

from sqlalchemy import insert, select

from api.alerts.records.delivery_rows import Bundle, conditions_of, delivery_row, read_delivery, show_delivery
from api.db.alert_tables import alert_deliveries
from api.db.database import Database
from api.domain.alerts.channel import DeliveryFilter, DeliveryKind, DeliveryState
from api.domain.machines.gpu_event import Severity
from tests.unit.db.builders import NOW


def test_delivery_is_read_and_shown_as_it_was_stored(database: Database):
    bundle = Bundle("d1", "c1", DeliveryKind.DIGEST, Severity.CRITICAL, "g", (1, 2))
    with database.write() as connection:
        connection.execute(insert(alert_deliveries).values(delivery_row(bundle, 2, NOW)))
    wanted = DeliveryFilter(states=(DeliveryState.WAITING,), channel_id="c1")
    with database.read() as connection:
        row = connection.execute(select(alert_deliveries).where(*conditions_of(wanted))).one()
        shown = show_delivery(connection, row, "team")
    read = read_delivery(row)
    assert (read.delivery_id, read.kind, read.state, read.count) == ("d1", bundle.kind, DeliveryState.WAITING, 2)
    assert (shown.channel, shown.severity, shown.not_before, shown.alerts) == ("team", Severity.CRITICAL, NOW, ())
