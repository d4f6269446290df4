"""Threads of this process that send deliveries.

A slow receiver blocks one thread and its own channel.
"""

import queue
import threading
from collections.abc import Callable

from api.alerts.delivery.courier import Courier
from api.util.periodic import PeriodicThread

#: Number of deliveries sent at a time.
SENDERS = 4


class ThreadSenders:
    """Sends deliveries in threads of its own."""

    def __init__(self, courier: Courier, on_done: Callable[[], None] = lambda: None) -> None:
        """Create the threads. `on_done` is called after each attempt."""
        self._courier = courier
        self.on_done = on_done
        self._lock = threading.Lock()
        self._under_way: dict[str, str] = {}  # channels by delivery
        self._tasks: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._threads = [PeriodicThread(f"alert-send-{number}", None, self.send_all) for number in range(SENDERS)]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads. An attempt in progress is abandoned, and repeated after its lease has expired."""
        for thread in self._threads:
            thread.stop(timeout=0.5)

    def busy(self) -> frozenset[str]:
        """Return the channels through which a message is being sent now."""
        with self._lock:
            return frozenset(self._under_way.values())

    def carry(self, delivery_id: str, channel_id: str) -> bool:
        """Hand a delivery to a thread. Return False if all are busy."""
        with self._lock:
            if len(self._under_way) >= SENDERS:
                return False
            self._under_way[delivery_id] = channel_id
        self._tasks.put(delivery_id)
        for thread in self._threads:
            thread.trigger()
        return True

    def check(self) -> None:
        """End attempts that exceed their time limit."""
        self._courier.end_overdue()

    def send_all(self) -> None:
        """Send the queued deliveries; the body of each thread."""
        while True:
            try:
                delivery_id = self._tasks.get_nowait()
            except queue.Empty:
                return
            try:
                self._courier.deliver(delivery_id)
            finally:
                with self._lock:
                    self._under_way.pop(delivery_id, None)
                self.on_done()
