"""Who answers a prompt."""

from enum import StrEnum


class ProviderType(StrEnum):
    """The kinds of model this platform can talk to; the value is what the database and REST say."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    OPENAI_COMPATIBLE = "openai_compatible"
    OFFLINE = "offline"
    """The rule-based demo model: no network, no key, no cost."""
    SCRIPTED = "scripted"
    """For tests only; the factory refuses it unless a script was given."""

    @property
    def is_openai(self) -> bool:
        return self is ProviderType.OPENAI

    @property
    def is_anthropic(self) -> bool:
        return self is ProviderType.ANTHROPIC

    @property
    def is_openai_compatible(self) -> bool:
        return self is ProviderType.OPENAI_COMPATIBLE

    @property
    def is_offline(self) -> bool:
        return self is ProviderType.OFFLINE

    @property
    def is_scripted(self) -> bool:
        return self is ProviderType.SCRIPTED

    @property
    def is_remote(self) -> bool:
        """Whether a call leaves this process."""
        return self not in (ProviderType.OFFLINE, ProviderType.SCRIPTED)

    @property
    def own_base_url(self) -> str | None:
        """The provider's own address; ``None`` where every installation has its own."""
        return _OWN_BASE_URLS.get(self)

    @property
    def own_key_variable(self) -> str | None:
        """The variable that holds this provider's key and may be sent to nobody else."""
        return _OWN_KEY_VARIABLES.get(self)


_OWN_BASE_URLS = {
    ProviderType.OPENAI: "https://api.openai.com/v1",
    ProviderType.ANTHROPIC: "https://api.anthropic.com",
}
_OWN_KEY_VARIABLES = {
    ProviderType.OPENAI: "OPENAI_API_KEY",
    ProviderType.ANTHROPIC: "ANTHROPIC_API_KEY",
}
