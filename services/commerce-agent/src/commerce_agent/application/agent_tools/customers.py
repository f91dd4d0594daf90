"""What the agent knows of the customer, and may write down for them."""

import re
from dataclasses import dataclass

from commerce_agent.application.agent_tools.context import AgentContext, ToolOutcome, as_result
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.domain.services.visible_text import visible_text
from commerce_agent.domain.value_objects.facts import Fact, FactKind

_SHORT_NUMBER = re.compile(r"(?<!\d)\d{4,6}(?!\d)")


@dataclass(frozen=True, slots=True)
class CustomerTools:
    """The profile of the customer who writes, and of nobody else."""

    customers: CustomerService

    async def get_customer_profile(self, context: AgentContext) -> ToolOutcome:
        customer = await self.customers.get(context.tenant_id, context.customer_id)
        profile = {
            "name": customer.name,
            "language": customer.language,
            "address": customer.address,
            "note": customer.note,
        }
        return ToolOutcome(result=as_result(profile), facts=_postcodes(customer.address or ""))

    async def update_customer_profile(
        self,
        context: AgentContext,
        *,
        name: str | None = None,
        language: str | None = None,
        address: str | None = None,
        note: str | None = None,
    ) -> ToolOutcome:
        """Keep what the customer said of themselves.

        Raises:
            BadText, UnknownLanguage: nothing was changed.
            Fenced: the conversation is another worker's.
        """
        result = await self.customers.update_profile(
            context.tenant_id,
            context.customer_id,
            name=name,
            language=language,
            address=address,
            note=note,
            effect=context.effect(),
        )
        return ToolOutcome(result=result, committed=True)


def _postcodes(address: str) -> tuple[Fact, ...]:
    """A customer wrote the address, so it backs no amount and no account: short numbers only."""
    numbers = _SHORT_NUMBER.findall(visible_text(address))
    return tuple(Fact(FactKind.NUMBER, number) for number in dict.fromkeys(numbers))
