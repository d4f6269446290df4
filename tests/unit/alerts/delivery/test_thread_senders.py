import threading

from api.alerts.delivery.thread_senders import SENDERS, ThreadSenders


class SlowCourier:
    """Delivers when it is released."""

    def __init__(self) -> None:
        self.delivered: list[str] = []
        self.let = threading.Event()
        self.overdue = 0

    def deliver(self, delivery_id: str) -> None:
        self.let.wait(30)
        self.delivered.append(delivery_id)
        if delivery_id == "bad":
            raise RuntimeError("the database is away")

    def end_overdue(self) -> None:
        self.overdue += 1


def test_number_of_concurrent_sends_is_limited():
    courier, done = SlowCourier(), threading.Semaphore(0)
    carriers = ThreadSenders(courier, done.release)  # type: ignore[arg-type]
    carriers.start()
    assert [carriers.carry(str(number), f"c{number}") for number in range(SENDERS + 1)] == [True] * SENDERS + [False]
    assert carriers.busy() == {f"c{number}" for number in range(SENDERS)}
    courier.let.set()
    for _ in range(SENDERS):
        assert done.acquire(timeout=30)
    assert sorted(courier.delivered) == [str(number) for number in range(SENDERS)]
    assert carriers.busy() == frozenset()
    carriers.check()
    assert courier.overdue == 1
    carriers.stop()


def test_failed_send_frees_its_thread():
    courier, done = SlowCourier(), threading.Semaphore(0)
    courier.let.set()
    carriers = ThreadSenders(courier, done.release)  # type: ignore[arg-type]
    carriers.start()
    carriers.carry("bad", "c1")
    assert done.acquire(timeout=30)
    assert carriers.busy() == frozenset()
    carriers.carry("good", "c1")
    assert done.acquire(timeout=30)
    assert courier.delivered == ["bad", "good"]
    carriers.stop()
