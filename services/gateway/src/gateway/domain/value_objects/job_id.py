"""The id of a job."""

from typing import Self
from uuid import UUID

from shared.kernel.errors import Invalid
from shared.kernel.ids import new_id


class InvalidJobId(Invalid):
    """This is no id of a job."""

    code = "invalid_job_id"


class JobId(UUID):
    """A UUIDv7: later jobs have greater ids."""

    __slots__ = ()

    @classmethod
    def new(cls) -> Self:
        return cls.of(new_id())

    @classmethod
    def of(cls, value: UUID) -> Self:
        return cls(int=value.int)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id as an address or a message carries it. Raises `InvalidJobId`."""
        try:
            return cls(text)
        except ValueError as error:
            raise InvalidJobId from error
