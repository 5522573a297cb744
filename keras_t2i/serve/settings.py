"""The limits within which a server works."""

from __future__ import annotations

import dataclasses

__all__ = ["Settings"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a server takes on, and how long it waits.

    Args:
        max_batch_size: Rows in one call of the model. More raise throughput, and the wait of whoever comes next.
        max_delay: Seconds that a request waits at most for others to share its batch, where others were there of late.
        max_queue: Rows that wait for the model; beyond them, requests get 503 and are told when to come back.
        max_rows: Rows of one request, never more than `max_queue`; those above `max_batch_size` are split into several
            batches.
        max_body_bytes: Of one request.
        max_prompt_bytes: Of one prompt, in UTF-8.
        max_connections: Open at once; what they send may take `max_body_bytes` each.
        read_timeout: Seconds within which a request must have come in whole.
        write_timeout: Seconds within which a client must take its answer.
        stop_timeout: Seconds that a stopping server leaves to the requests it has accepted.

    Raises:
        ValueError: if a number is not positive.
    """

    max_batch_size: int = 8
    max_delay: float = 0.003
    max_queue: int = 128
    max_rows: int = 64
    max_body_bytes: int = 2**20
    max_prompt_bytes: int = 2**16
    max_connections: int = 256
    read_timeout: float = 10.0
    write_timeout: float = 30.0
    stop_timeout: float = 30.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0 and not (field.name == "max_delay" and value == 0):
                raise ValueError(f"{field.name} is {value}; it must be above 0.")
        object.__setattr__(self, "max_rows", min(self.max_rows, self.max_queue))
