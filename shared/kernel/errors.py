"""The errors of the platform, one tree.

DomainError
├── Invalid        the request can never succeed as it stands
│   └── Unauthorized   nobody, or nobody known, is asking
├── Forbidden      the asker is known and may not
├── NotFound       it does not exist for this tenant
├── Conflict       it does not fit the present state
├── TooMany        a limit is spent; worth another try after ``retry_after``
└── Unavailable    something we depend on is away; worth another try

A concrete error picks one kind, sets a stable ``code`` and says in one sentence what is wrong.
It knows nothing of HTTP or queues: those map kinds, once, at their edge.
"""

from datetime import timedelta
from typing import Any, ClassVar


class DomainError(Exception):
    """An outcome the caller must know about, with a stable code and the data that explains it."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str = "", /, **data: Any) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().split("\n")[0]
        self.data = data
        super().__init__(self.detail)


class Invalid(DomainError):
    """The request is not valid."""

    code = "invalid"


class Unauthorized(Invalid):
    """Credentials are missing or not known."""

    code = "unauthorized"


class Forbidden(DomainError):
    """This is not allowed."""

    code = "forbidden"


class NotFound(DomainError):
    """It does not exist."""

    code = "not_found"


class Conflict(DomainError):
    """It does not fit the present state."""

    code = "conflict"


class TooMany(DomainError):
    """A limit is spent."""

    code = "too_many_requests"

    def __init__(self, detail: str = "", /, *, retry_after: timedelta, **data: Any) -> None:
        super().__init__(detail, **data)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """Something this depends on is away for the moment."""

    code = "unavailable"

    def __init__(
        self, detail: str = "", /, *, retry_after: timedelta | None = None, **data: Any
    ) -> None:
        super().__init__(detail, **data)
        self.retry_after = retry_after
