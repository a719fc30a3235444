"""How long jax spent compiling, as it reports it itself."""

import time

import jax


class CompileClock:
    """Counts the seconds in which anything was traced, lowered or compiled in its `with`.

    >>> with CompileClock() as clock:
    ...     _ = jax.jit(lambda x: x + 1)(1.0)
    >>> clock.seconds() > 0
    True
    """

    def __init__(self):
        self._spans: list[tuple[float, float]] = []

    def __enter__(self) -> "CompileClock":
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def __exit__(self, *_) -> None:
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def seconds(self) -> float:
        """The seconds so far."""
        return sum(end - start for start, end in self._spans)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if not event.startswith("/jax/core/compile/"):
            return
        end = time.perf_counter()
        start = end - duration_secs
        # A span that began within this one is part of it: a trace within a trace. They are
        # heard of as they end, so those within are the latest.
        while self._spans and self._spans[-1][0] >= start:
            self._spans.pop()
        self._spans.append((start, end))
