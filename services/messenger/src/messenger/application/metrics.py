"""What the messenger counts."""

from prometheus_client import Counter, Histogram

SENDS = Counter(
    "messenger_sends_total",
    "What became of bubbles: sent, failed, unknown, cancelled, held, repeated",
    ["channel_kind", "outcome"],
)
SEND_SECONDS = Histogram(
    "messenger_send_seconds",
    "Time of the one call that sends a bubble",
    ["channel_kind"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)
