"""What can go wrong, sorted by whose move is next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that its author can mend.

    `file` is relative to the repository (or to the given path), `line` counts from 1, `where` is an object or a field
    path in it ("Deployment shop/cart spec.replicas"), `suggestion` says what to do next.
    """

    message: str
    file: str | None = None
    line: int | None = None
    where: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        spots = [part for part in (place, self.where) if part]
        return ": ".join([*spots, self.message]) + (f" ({self.suggestion})" if self.suggestion else "")

    def to_json(self) -> dict[str, object]:
        """The problem as JSON types; absent parts are null."""
        return {
            "message": self.message,
            "file": self.file,
            "line": self.line,
            "where": self.where,
            "suggestion": self.suggestion,
        }

    @staticmethod
    def from_json(value: dict[str, object]) -> Problem:
        """The inverse of `to_json`."""
        line = value.get("line")
        return Problem(
            message=str(value["message"]),
            file=_text(value.get("file")),
            line=line if isinstance(line, int) else None,
            where=_text(value.get("where")),
            suggestion=_text(value.get("suggestion")),
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class PlumblineError(Exception):
    """Any failure that Plumbline explains in words; its text is safe and meant to be shown."""

    exit_code = 1


class DesiredStateError(PlumblineError):
    """The author of the change has to mend it: `problems` names every place found, at least one."""

    def __init__(self, problems: list[Problem] | tuple[Problem, ...]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Refused(PlumblineError):
    """A guard said no: `reason` says which and why, `next_step` what the person can do."""

    def __init__(self, reason: str, next_step: str = "") -> None:
        self.reason = reason
        self.next_step = next_step
        super().__init__(f"{reason}. {next_step}" if next_step else reason)


class Held(Refused):
    """The operation waits for a person, who confirms exactly this plan by the `code` of its fingerprint."""

    exit_code = 4

    def __init__(self, reason: str, code: str) -> None:
        self.code = code
        super().__init__(reason, f"Confirm exactly this plan with the code {code}")


@dataclass(frozen=True, slots=True)
class FieldOwner:
    """A field manager that owns a field which the desired state specifies (`operation`: Apply or Update)."""

    manager: str
    operation: str
    field: str


class Conflict(PlumblineError):
    """Another field manager owns what this environment specifies, and policy does not take it."""

    def __init__(self, subject: str, owners: tuple[FieldOwner, ...]) -> None:
        self.subject = subject
        self.owners = owners
        named = ", ".join(f"{owner.field} ({owner.manager}, {owner.operation})" for owner in owners)
        super().__init__(f"{subject}: owned by another field manager: {named}")


class Unavailable(PlumblineError):
    """Something outside did not answer; the only failure that is tried again.

    `retry_after` is in seconds, None where the other side did not say.
    """

    def __init__(self, what: str, retry_after: float | None = None) -> None:
        self.what = what
        self.retry_after = retry_after
        super().__init__(what)


class Unfit(PlumblineError):
    """The operator's side lacks something (a program, a right, a file), so that no commit can be converged.

    Nothing in the repository mends it; the text says what is missing and how it is brought.
    """


class Stopping(PlumblineError):
    """This process was told to stop: what it was doing goes on in another, and nothing has failed."""

    def __init__(self) -> None:
        super().__init__("stopping: another worker goes on")


class Denied(PlumblineError):
    """The API server refused one object (an admission webhook, a validation, a right that is missing).

    `code` is the HTTP status, `reason` the API's machine word (Invalid, Forbidden, …); the text holds no
    values of Secrets.
    """

    def __init__(self, subject: str, code: int, reason: str, message: str) -> None:
        self.subject = subject
        self.code = code
        self.reason = reason
        self.message = message
        super().__init__(f"{subject}: {message}")


class Moved(PlumblineError):
    """The object (or branch) is not the one that was judged: its uid, resourceVersion or tip changed; nothing was written."""

    def __init__(self, subject: str, where: str = "in the cluster") -> None:
        self.subject = subject
        super().__init__(f"{subject}: changed {where} since it was read")


class Superseded(PlumblineError):
    """A newer revision of the environment took over; `by` is its commit id."""

    def __init__(self, by: str) -> None:
        self.by = by
        super().__init__(f"superseded by {by[:7]}")


class LeaseLost(PlumblineError):
    """Another worker holds the environment now; nothing more may be written by this one."""

    def __init__(self, environment: str, holder: str | None = None) -> None:
        self.environment = environment
        self.holder = holder
        super().__init__(f"lease lost: {environment} is held by {holder or 'another worker'}")
