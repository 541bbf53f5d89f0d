"""Every limit that a user can meet, each with its unit and its reason."""

from __future__ import annotations

KIB, MIB = 1024, 1024 * 1024  # bytes

# Requests and messages.
BODY = 256 * KIB  # bytes of a request's body: it must fit a document and a message
PUSH = 512 * KIB  # bytes of a push: base64 and the envelope are added to a body
TTL = 7 * 24 * 3600  # seconds from now to a deadline: Pub/Sub keeps a message for seven days
CALLBACK_URL = 2048  # characters: what browsers and proxies pass on

# A task's document, which Firestore limits to 1 MiB in all.
RESULT = 256 * KIB  # bytes of JSON, as of a payload
STATE = 64 * KIB  # bytes of JSON that one delivery may leave to the next
STEP_RESULT = 128 * KIB  # bytes of JSON of one step
STEP_RESULTS = 256 * KIB  # bytes of JSON of all steps of a task
STEPS = 200  # steps of a task
PROGRESS_TEXT = 200  # characters of a progress: one line of a page
FAULT_DETAIL = 2000  # characters of why an attempt failed: every attempt may leave one
DELIVERIES = 500  # attempts of a task, including those that continue in another delivery

# Child tasks.
CHILDREN_PER_CALL = 100  # one commit makes them all; Firestore takes 500 writes
CHILDREN_PER_TASK = 500  # the parent's document names each of them
CHILD_PAYLOAD = BODY  # bytes of JSON of one child's payload, as of a dispatch
CHILD_PAYLOADS = 4 * MIB  # bytes of the payloads of one call; Firestore takes 10 MiB a commit
CHILD_DEPTH = 10  # calls within calls: an agent that calls itself without end is stopped

# What is kept for the operator.
DEAD_LETTER_TEXT = 768 * KIB  # bytes of one text of a dead letter: it must fit a document
DEAD_LETTER_DETAIL = 2000  # characters of why a message is a dead letter

# Lists and callbacks.
LISTED_AT_ONCE = 100  # documents of one query: all of them are in memory at once
LISTED_BYTES = 4 * MIB  # bytes of payloads and results on a page; what exceeds this ends the page
RETRY_AFTER = 86_400  # seconds of a receiver's Retry-After that are honoured: a day
