"""Where prompt templates are kept."""

from collections.abc import Sequence
from typing import Protocol

from llm_worker.domain.entities.prompt_template import PromptTemplate
from shared.kernel.errors import NotFound


class PromptTemplateNotFound(NotFound):
    """No published template has this name."""

    code = "prompt_template_not_found"


class PromptTemplateRepository(Protocol):
    """Reads for one tenant, whose own published version of a name wins over the platform's; writes
    the tenant's own.

    Of each name one version is published. Writers raise `VersionTaken` when another one was there
    at the same moment.
    """

    async def get(self, name: str) -> PromptTemplate:
        """The published version; raises `PromptTemplateNotFound`."""
        ...

    async def get_version(self, name: str, version: int) -> PromptTemplate:
        """One of `versions`; raises `VersionNotFound`."""
        ...

    async def list(self) -> list[PromptTemplate]:
        """The published version of every name, by name."""
        ...

    async def versions(self, name: str) -> Sequence[PromptTemplate]:
        """What was saved under that name, the newest first: the tenant's, or the platform's where
        the tenant has none. Raises `PromptTemplateNotFound`.
        """
        ...

    async def save(self, template: PromptTemplate, *, publish: bool = True) -> PromptTemplate:
        """Write the next version of a tenant's template, and publish it unless told otherwise.

        Raises:
            PlatformRowsAreReadOnly: it is not this tenant's.
        """
        ...

    async def publish(self, name: str, version: int) -> None:
        """Let that version of the tenant's answer from now on; raises `VersionNotFound`."""
        ...

    async def roll_back(self, name: str) -> int:
        """Publish the version before the published one again; returns it.

        Raises:
            PromptTemplateNotFound: the tenant has published none of that name.
            NoEarlierVersion: it is the first.
        """
        ...

    async def withdraw(self, name: str) -> None:
        """Publish no version of the tenant's any more; the platform's of that name returns.

        Raises:
            PromptTemplateNotFound: the tenant has published none of that name.
        """
        ...
