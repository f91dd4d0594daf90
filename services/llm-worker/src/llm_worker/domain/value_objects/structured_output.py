"""How a model is made to answer in a given form."""

from enum import StrEnum


class StructuredOutput(StrEnum):
    """The value is what the database and REST say."""

    AUTO = "auto"
    """What the provider does best."""
    JSON_SCHEMA = "json_schema"
    """The provider holds the answer to a schema."""
    TOOL = "tool"
    """The form is a tool that the model must call."""
    JSON_TEXT = "json_text"
    """The form is described in words; for models that know nothing better."""
