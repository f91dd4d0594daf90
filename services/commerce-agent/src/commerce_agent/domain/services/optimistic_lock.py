"""Two people change one thing: the second learns of the first."""

from shared.kernel.errors import Conflict


class ChangedMeanwhile(Conflict):
    """It was changed by somebody else in the meantime: read it again."""

    code = "changed_meanwhile"


def expect_version(actual: int, expected: int | None) -> None:
    """Make sure that the caller saw the latest version; ``None`` asks for no check.

    Raises:
        ChangedMeanwhile: it did not.
    """
    if expected is not None and expected != actual:
        raise ChangedMeanwhile(version=actual)
