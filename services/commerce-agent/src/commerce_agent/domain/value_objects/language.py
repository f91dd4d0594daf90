"""The languages a shop speaks."""

from enum import StrEnum

from shared.kernel.errors import Invalid


class UnknownLanguage(Invalid):
    """Shops speak ``id`` and ``en``."""

    code = "unknown_language"


class Language(StrEnum):
    INDONESIAN = "id"
    ENGLISH = "en"

    @classmethod
    def of(cls, text: str) -> "Language":
        """Read ``id`` or ``en``, in any case. Raises `UnknownLanguage`."""
        try:
            return cls(text.strip().lower())
        except ValueError as error:
            raise UnknownLanguage from error
