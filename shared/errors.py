"""Everything that can go wrong, each with its HTTP status, its stable code and its disposition."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn


class Error(Exception):
    """Something went wrong on our side."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False  # can the same request succeed later, with nothing changed?

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        """`detail` names the field and the mend; `members` extend the problem document."""
        super().__init__(detail or (type(self).__doc__ or "").strip())
        self.detail = str(self)
        self.members = members

    def problem(self) -> dict[str, Any]:
        """The error as an `application/problem+json` document (RFC 9457)."""
        title = (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")
        return {
            "type": f"urn:zantara:error:{self.code}",
            "title": title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            **self.members,
        }


class Malformed(Error):
    """The request cannot be read, or its body is not JSON."""

    status, code = 400, "malformed"


class Unauthenticated(Error):
    """The request carries no valid token."""

    status, code = 401, "unauthenticated"


class BudgetExceeded(Error):
    """The money left does not cover it."""

    status, code = 402, "budget_exceeded"


class Forbidden(Error):
    """The caller may not do this."""

    status, code = 403, "forbidden"


class NotFound(Error):
    """There is nothing at this path."""

    status, code = 404, "not_found"


class UnknownTask(Error):
    """There is no task with this id."""

    status, code = 404, "unknown_task"


class UnknownAgent(Error):
    """There is no agent of this name."""

    status, code = 404, "unknown_agent"


class UnknownAccount(Error):
    """There is no account of this name."""

    status, code = 404, "unknown_account"


class MethodNotAllowed(Error):
    """The path exists, but not with this method."""

    status, code = 405, "method_not_allowed"


class Conflict(Error):
    """The document changed meanwhile: a precondition of the commit did not hold."""

    status, code, retryable = 409, "conflict", True


class About(Error):
    """An error about a task, which is at hand as `task` (a `models.Task`), not shown."""

    def __init__(self, detail: str | None = None, *, task: Any = None, **members: Any) -> None:
        super().__init__(detail, **members)
        self.task = task


class InProgress(About):
    """Another attempt of this task is running."""

    status, code, retryable = 409, "in_progress", True


class TaskEnded(About):
    """The task has ended, and a terminal state never changes."""

    status, code = 409, "task_ended"


class Expired(Error):
    """The task's deadline has passed."""

    status, code = 409, "expired"


class NotRedrivable(Error):
    """Only a task that failed or expired can be redriven."""

    status, code = 409, "not_redrivable"


class Fenced(Error):
    """Another attempt, a cancellation or an expiry has taken the task from this one."""

    status, code = 409, "fenced"


class TooLarge(Error):
    """The body is too large."""

    status, code = 413, "too_large"

    def __init__(self, detail: str | None = None, *, start: bytes = b"", **members: Any) -> None:
        """`start` is how the body begins, for the log: it is not shown."""
        super().__init__(detail, **members)
        self.start = start


class UnsupportedMediaType(Error):
    """The body is not declared as JSON."""

    status, code = 415, "unsupported_media_type"


class Invalid(Error):
    """A field is missing, of the wrong type, or out of range."""

    status, code = 422, "invalid"


class KeyReused(Error):
    """The idempotency key was used before, with another body."""

    status, code = 422, "idempotency_key_reused"


class Misconfigured(Error):
    """The environment of this function is incomplete or contradictory."""

    status, code = 500, "misconfigured"


class AttemptFailed(Error):
    """An attempt failed, and another one follows."""

    status, code, retryable = 503, "attempt_failed", True


class CallbackFailed(Error):
    """The receiver of a callback did not take it; it is tried again."""

    status, code, retryable = 503, "callback_failed", True


class Unavailable(Error):
    """A service we depend on cannot be reached now."""

    status, code, retryable = 503, "unavailable", True


MOST_PROBLEMS = 20  # that one refusal names
LONGEST_NAME = 100  # characters of a field's name that are shown


def refuse(problems: list[tuple[str, str]]) -> NoReturn:
    """Raises `errors.Invalid` with one entry a field; of thousands, with the first few."""
    shown = [(name[:LONGEST_NAME], problem) for name, problem in problems[:MOST_PROBLEMS]]
    detail = "; ".join(f"{name}: {problem}" for name, problem in shown)
    more = len(problems) - len(shown)
    raise Invalid(
        f"{detail}; and {more} more" if more else detail,
        errors=[{"field": name, "detail": problem} for name, problem in shown],
    )
