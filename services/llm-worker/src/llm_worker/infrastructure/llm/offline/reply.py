"""A reply in the making: its parts, and the one question it ends with."""

from collections.abc import Iterator, Mapping, Sequence

_SENTENCE_ENDS = (".", "!", "?", "🙏", "😊", "👋")


class Reply:
    """Sentences by their names in `phrases`. Of several questions the last one asked stays."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self.words = words
        self.parts: list[str] = []
        self.question: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.parts and self.question is None

    def say(self, key: str, **values: object) -> None:
        self.parts.append(self.words[key].format(**values))

    def ask(self, key: str, **values: object) -> None:
        self.question = self.words[key].format(**values)

    def text(self, greeting: str) -> str:
        """Everything in the order it was said; what was said twice stands once."""
        parts = [greeting] if greeting else []
        parts += dict.fromkeys(self.parts)
        return "\n\n".join(_paragraphs([*parts, *([self.question] if self.question else [])]))


def _paragraphs(parts: Sequence[str]) -> Iterator[str]:
    """Short sentences go side by side; products, lists and whatever is long stand alone."""
    line: list[str] = []
    for part in parts:
        if "\n" not in part and len(part) <= 160 and part.endswith(_SENTENCE_ENDS):
            line.append(part)
            continue
        if line:
            yield " ".join(line)
            line = []
        yield part
    if line:
        yield " ".join(line)
