"""What a task takes, what Google allows, and what it costs: every constant of the simulation.

The documentation was read on 2026-11-23, in stored copies of the pages that each group names.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared import config
from shared.storage import shards

# One task on the happy path, as tests/flow/test_operations.py counts it at the ports.
WRITES = 3  # dispatch, claim, end: documents
READS = 0
DELETES = 1  # by TTL
PUBLISHES = 2
PUSHES = 2
REQUESTS = 3  # dispatch, and the two pushes
MESSAGE = 1_000  # bytes, with attributes and a small payload; also the least that is billed

# How many of a task's commits change its entry in each index by time, as tests/bench/test_scale.py
# counts them; the values of the other indexes in infra/terraform/firestore.tf do not grow.
TOUCHED: Mapping[str, int] = {
    "wakeAt": 3,  # set, moved, removed
    "status, createdAt": 3,  # moves from state to state
    "createdAt": 1,
    "agent, createdAt": 1,
    "owner, createdAt": 1,
    "account, createdAt": 1,
}

# https://cloud.google.com/firestore/docs/solutions/shard-timestamp
# https://cloud.google.com/firestore/docs/best-practices#ramping_up_traffic
# https://cloud.google.com/firestore/quotas
SEQUENTIAL = 500  # writes a second on an index whose values only grow
SHARDS = shards.SHARDS  # as a query has 30 disjunctions at most
RAMP_START = 500  # operations a second on a new collection
RAMP_GROWTH = 1.5  # then half more ...
RAMP_STEP = 300  # ... every so many seconds
DOCUMENT = 1.0  # sustained writes a second of one document; a soft limit

# https://cloud.google.com/pubsub/docs/push#delivery-rate
# https://cloud.google.com/pubsub/quotas: the large regions', us-central1 among them, per project.
# That page's table was not in the stored copies: PUSHED is as others quote it.
WINDOW = 3_000  # messages under way of a subscription, if its pushes take QUICK or longer
QUICK = 1.0  # seconds: below it the window grows as needed
PUSHED = 440_000_000  # bytes a second; ten times as many may be published

# https://cloud.google.com/run/docs/configuring/max-instances-limits
# https://cloud.google.com/run/docs/about-concurrency, https://cloud.google.com/run/docs/about-instance-autoscaling
REGION = 1_000  # vCPUs of a project in a region, unless its quota is raised; an instance has one
UTILIZATION = 0.6  # of its CPU, that an instance is kept below

# By default, as infra/terraform/hops.tf sets them.
CONCURRENCY: Mapping[str, int] = {"dispatch": 40, "agent": 8, "results": 40}
MAX_INSTANCES = 100
MEMORY = 0.5  # GiB
PURSE_SECONDS = config.Config.purse_seconds

# Assumed: a commit and a publish within a region, one after the other. A measured hello world took
# 0.5 ms of CPU on 2026-11-22, and a dispatch may take four times that.
CPU = 0.002  # seconds of a request
COMMIT = 0.01  # seconds
PUBLISH = 0.01  # seconds
SECONDS: Mapping[str, float] = {"dispatch": COMMIT + PUBLISH, "agent": COMMIT + PUBLISH}
SECONDS = {**SECONDS, "results": COMMIT}  # but for what the agent itself takes

# us-central1, read on 2026-11-22: infra/README.md, "What it costs".
MILLION = 1_000_000
DOLLARS_WRITE = 0.90 / MILLION
DOLLARS_READ = 0.30 / MILLION
DOLLARS_DELETE = 0.10 / MILLION
DOLLARS_REQUEST = 0.40 / MILLION
DOLLARS_BYTE = 40 / 2**40  # of a publish, and of a push
DOLLARS_CPU = 0.000024  # a vCPU-second
DOLLARS_MEMORY = 0.0000025  # a GiB-second
