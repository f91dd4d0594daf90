"""What templates and agents have in common: versions, of which one is published."""

from shared.kernel.errors import Conflict, Forbidden, NotFound


class VersionNotFound(NotFound):
    """There is no such version."""

    code = "version_not_found"


class NoEarlierVersion(Conflict):
    """Before the published version there is none to go back to."""

    code = "no_earlier_version"


class VersionTaken(Conflict):
    """Somebody else saved or published a version at the same moment."""

    code = "version_changed_meanwhile"


class PlatformRowsAreReadOnly(Forbidden):
    """What belongs to the platform is changed by its operator only; save one of your own."""

    code = "platform_row"
