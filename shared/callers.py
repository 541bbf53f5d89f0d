"""Callers: who makes a request, and what is theirs."""

from __future__ import annotations

from dataclasses import dataclass

import flask

from shared import errors, oidc, runtime
from shared.runtime import Services
from shared.tasks import commits
from shared.tasks.record import Task


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who makes a request. Where callers are not told apart, everyone is nobody, and may do all."""

    id: str  # the e-mail; the owner of what they dispatch
    admin: bool  # may see every task, redrive, and change accounts
    orchestrator: bool  # may run, at an agent's /run, a task that exists

    def require_admin(self) -> None:
        """Raises `errors.Forbidden` unless they are one."""
        if not self.admin:
            raise errors.Forbidden("only an admin may do this: see ADMINS")

    def task(self, current: Services, task_id: str) -> Task:
        """A task of theirs; another's is as unknown as none: `errors.UnknownTask`."""
        task = commits.get(current, task_id)
        if not self.admin and task.owner != self.id:
            raise errors.UnknownTask(f"there is no task {task_id}")
        return task


NOBODY = Caller(id="", admin=True, orchestrator=True)


def identify(request: flask.Request) -> Caller:
    """Who makes this request, as CALLER_AUTH wants it proved.

    Raises `errors.Unauthenticated`, `errors.Forbidden` for one who may not call at all, or
    `errors.Unavailable` where it cannot be verified now.
    """
    settings = runtime.current().config
    if settings.caller_mode == "none":
        return NOBODY
    mode = "iam" if settings.caller_mode == "iam" else "verify"
    email = oidc.verify(request.headers, settings.caller_audience, mode, settings).email
    caller = Caller(
        id=email,
        admin=email in settings.admins,
        orchestrator=email in settings.orchestrators,
    )
    known = caller.admin or caller.orchestrator or email in settings.callers
    if settings.callers and not known:
        raise errors.Forbidden("you may not call this: see CALLERS")
    return caller
