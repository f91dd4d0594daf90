"""What went wrong, said to the person at the terminal."""


class CommandFailed(Exception):
    """A command cannot do its work; the message says why and what to do, in a sentence or two."""


class EmbeddedServerError(CommandFailed):
    """An embedded server cannot run here; the message says why and what to do."""


def root_cause(error: BaseException) -> str:
    """The kind of failure underneath, and no more: what drivers say may repeat an address with
    its password."""
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__
