"""What an operation costs: one table, with its date, and what others ask for a task."""

from __future__ import annotations

from collections.abc import Mapping

# Google's list prices, us-central1, beyond the free tier, as read on 2026-11-22 at
# cloud.google.com/firestore/pricing, cloud.google.com/pubsub/pricing, cloud.google.com/run/pricing.
# A query that finds nothing is one read, a listener reads each change, TTL deletes are deletes.
DATE = "2026-11-22"
DOLLARS: Mapping[str, float] = {  # an operation
    "reads": 0.30e-6,
    "writes": 0.90e-6,
    "deletes": 0.10e-6,
    "billed_bytes": 40 / 2**40,  # published and pushed
    "requests": 0.40e-6,  # of Cloud Run
}
VCPU_SECOND = 0.000024  # dollars; Cloud Run, while a request is being answered
LEAST_MESSAGE = 1000  # bytes that a publish or a push is billed at least
MILLION = 1_000_000

# Dollars for a million tasks of one step, as noted on 2026-11-22. On 2026-11-23 public pages
# confirmed what follows; of Hatchet, Trigger.dev and Inngest no copy of a price page was found.
#   Cloud Tasks: $0.40 per million operations, of which a task takes two, create and push
#     (cloud.google.com/tasks/docs/pricing).
#   Step Functions, standard: $25 per million transitions, of which a task takes two or three
#     (aws.amazon.com/step-functions/pricing).
#   Temporal Cloud: two actions at least; the copies of docs.temporal.io/cloud/pricing that were
#     found are older and say $25 per million, not the $50 that 100 dollars stand for.
OTHERS: Mapping[str, float] = {
    "Cloud Tasks, which keeps no state": 0.80,
    "Hatchet": 10,
    "Trigger.dev": 25,
    "Step Functions, of 50 to 75": 50,
    "Temporal": 100,
    "Inngest": 100,
}


def billed(size: int) -> int:
    """The bytes that Pub/Sub bills for publishing, or pushing, a message of this size."""
    return max(size, LEAST_MESSAGE)


def dollars(counts: Mapping[str, float]) -> float:
    """Dollars for a million times these operations; what has no price costs nothing."""
    return MILLION * sum(DOLLARS.get(name, 0) * count for name, count in counts.items())
