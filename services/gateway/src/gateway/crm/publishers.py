"""How the gateway gives work to the commerce agent."""

from dataclasses import dataclass
from typing import cast

from starlette.requests import HTTPConnection

from gateway.bootstrap import Container
from shared.inbox import InboxEvent, InboxWriter


@dataclass(frozen=True, slots=True)
class CRMTaskPublisher:
    """The inbox under the guide's name: no broker is needed to accept an event."""

    inbox: InboxWriter

    async def publish_webhook_task(self, event: InboxEvent) -> None:
        """Store the event with its work; returns after the commit.

        Raises:
            InboxUnavailable: it is not stored; the sender should try again.
        """
        await self.inbox.accept(event)


def get_crm_publisher(connection: HTTPConnection) -> CRMTaskPublisher:
    """The publisher of the application that serves this request."""
    return CRMTaskPublisher(cast(Container, connection.state.container).inbox)
