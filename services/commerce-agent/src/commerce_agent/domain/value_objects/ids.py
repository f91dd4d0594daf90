"""The identifiers of the commerce context; those that other contexts share are in the kernel."""

from typing import NewType
from uuid import UUID

CustomerId = NewType("CustomerId", UUID)
MessageId = NewType("MessageId", UUID)
TurnId = NewType("TurnId", UUID)
ReplyId = NewType("ReplyId", UUID)
ProductId = NewType("ProductId", UUID)
VariantId = NewType("VariantId", UUID)
