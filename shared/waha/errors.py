"""What can go wrong between us and a WAHA server.

An answer's text never enters an error: a failed send echoes the customer's message.
"""

from shared.kernel.errors import Forbidden, Invalid, Unavailable


class WahaUnavailable(Unavailable):
    """The WAHA server does not answer, or not sensibly."""

    code = "waha_unavailable"


class WahaRefused(Invalid):
    """WAHA says that this cannot be done; ``data['status']`` is the HTTP status."""

    code = "waha_refused"


class WahaUnauthorized(Forbidden):
    """WAHA does not accept the key."""

    code = "waha_unauthorized"
