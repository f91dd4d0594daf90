"""What this process counts about its model calls. Labels name models and codes, never a key."""

from prometheus_client import Counter, Gauge, Histogram

CIRCUIT_STATE = Gauge(
    "llm_circuit_state",
    "0 closed, 1 half open, 2 open; a circuit is provider, model and a digest of the key",
    ["circuit"],
)
CALLS = Counter(
    "llm_calls_total",
    "Attempts to call a model; the outcome is ok or the error's code",
    ["provider", "model", "outcome"],
)
SECONDS = Histogram(
    "llm_call_seconds",
    "Duration of one attempt",
    ["provider", "model"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120),
)
TOKENS = Counter(
    "llm_tokens_total",
    "Tokens read (in) and written (out)",
    ["provider", "model", "direction"],
)
