"""Phone numbers as the whole platform writes them."""

import re
from typing import NewType

import phonenumbers

from shared.kernel.errors import Invalid

Phone = NewType("Phone", str)
"""E.164: ``+628123456789``."""


_WRITTEN = re.compile(r"[\d\s+().\-/]{3,40}")
"""Letters would be read as the keys they stand on."""


class BadPhone(Invalid):
    """This is not a phone number."""

    code = "bad_phone"


def parse_phone(text: str, *, region: str = "ID") -> Phone:
    """Read a number as people write it; without a country code it belongs to ``region``.

    Raises:
        BadPhone: no number of any country looks like this.
    """
    digits = text.strip()
    if not _WRITTEN.fullmatch(digits):
        raise BadPhone
    # WhatsApp's own form is the international number without its plus
    if region == "ID" and digits.startswith("62"):
        digits = f"+{digits}"
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException as error:
        raise BadPhone from error
    if not phonenumbers.is_possible_number(number):
        raise BadPhone
    return Phone(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
