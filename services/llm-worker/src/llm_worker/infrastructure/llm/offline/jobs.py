"""What the offline model says to a job: that it is none of the models that do jobs."""

from collections.abc import Mapping, Sequence

from langchain_core.messages import BaseMessage, SystemMessage

from llm_worker.infrastructure.llm.offline.dialogue import Dialogue

_SAID: Mapping[str, str] = {
    "id": "Ini jawaban dari model demo offline. Model ini bekerja dengan aturan sederhana tanpa "
    "model bahasa, jadi permintaan ini tidak benar-benar dikerjakan. Pilih konfigurasi dengan "
    "penyedia model untuk mendapatkan jawaban yang sesungguhnya.",
    "en": "This answer comes from the offline demo model. It follows simple rules and has no "
    "language model behind it, so this request was not really worked on. Choose a configuration "
    "with a model provider to get a real answer.",
}


def is_job(messages: Sequence[BaseMessage], dialogue: Dialogue) -> bool:
    """Whether somebody asks who is no shop: there are instructions, and none names a shop."""
    has_instructions = any(isinstance(message, SystemMessage) for message in messages[:1])
    return has_instructions and not dialogue.shop.name


def answer_job(language: str) -> str:
    """An honest answer; it holds nothing of what was asked."""
    return _SAID[language]
