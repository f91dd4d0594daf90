"""How strictly a model's arguments are read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class ToolArguments(BaseModel):
    """Only the fields that are declared, each of its own type: whatever else a model makes up
    (a price, a tenant, a customer) is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


Handle = Annotated[
    str,
    Field(
        max_length=12,
        pattern=r"^[pP]\d{1,6}[a-zA-Z]{0,3}$",
        description='Code of a product or variant that a tool has shown, such as "p1" or "p1a"',
    ),
]
