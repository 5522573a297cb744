"""What a server counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one server, in a registry of their own: a process may have several servers.

    Args:
        max_batch_size: Of the server.
        queued_rows: Tells how many rows wait.
    """

    def __init__(self, max_batch_size: int, queued_rows: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # Memory, processor time, open files.
        sizes = [*range(1, min(max_batch_size, 8) + 1), *(size for size in (16, 32, 64, 128) if size <= max_batch_size)]
        requests = "Requests answered, by HTTP status; 499: the client left before its answer"
        self._requests = Counter("keras_t2i_requests", requests, ["endpoint", "code"], registry=self._registry)
        self._seconds = self._histogram("keras_t2i_predict_seconds", "From request to answer, of :predict", _SECONDS)
        self._batch_rows = self._histogram("keras_t2i_batch_rows", "Rows in one call of the model", sizes)
        self._batch_seconds = self._histogram("keras_t2i_batch_seconds", "Of one call of the model", _SECONDS)
        self._images = Counter("keras_t2i_images", "Images drawn and sent", registry=self._registry)
        self._queue = Gauge("keras_t2i_queue_rows", "Rows that wait for the model", registry=self._registry)
        self._queue.set_function(queued_rows)

    def request(self, endpoint: str, code: int, seconds: float | None = None) -> None:
        self._requests.labels(endpoint, str(code)).inc()
        if seconds is not None:
            self._seconds.observe(seconds)

    def batch(self, rows: int, seconds: float) -> None:
        self._batch_rows.observe(rows)
        self._batch_seconds.observe(seconds)

    def images(self, number: int) -> None:
        self._images.inc(number)

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, told: str, buckets: tuple[float, ...] | list[int]) -> Histogram:
        return Histogram(name, told, buckets=buckets, registry=self._registry)
