"""The words of one shop, and what a customer's words may mean among them."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rapidfuzz import fuzz, process

from commerce_agent.domain.services.search_synonyms import LONGEST_PHRASE, Phrase, Synonyms
from commerce_agent.domain.services.search_words import asked_for, spellings_of, words_of

_CLOSE = 78.0
"""From this likeness of sound (0 to 100) on a word is taken for a slip of the finger."""
_CLOSE_IF_SHORT = 85.0
"""Short words differ by little and mean other things: "jambu" is fruit, "jamur" is mushroom."""
_CLOSE_IF_JOINED = 90.0
"""Two words written together are one word of the catalogue only if they hardly differ."""
_SHORT = 6
_WITHIN = 8.0
"""Other words count as meant too if they are nearly as close as the closest."""
_MOST_GUESSES = 3
_SHORTEST_GUESSED = 4
"""Shorter words are too like each other: "teh" is no slip for "the" or "ted"."""
SHORTEST_PREFIX = 3
"""Shorter beginnings begin too much: "es" is ice and not espresso."""
_NEGATORS = frozenset({"non", "bukan", "tanpa"})


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that is asked for: any of these phrases will do."""

    said: Phrase
    means: tuple[Phrase, ...] = ()
    """Synonyms, and the shop's own spelling with its accents."""
    guesses: tuple[Phrase, ...] = ()
    """Words of the catalogue that sound alike, if this one is not among them."""
    denied_by: tuple[str, ...] = ()
    """Categories that name it only to say that it is not there, such as "Non Kopi"."""

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        return (self.said, *self.means, *self.guesses)

    def as_said(self) -> "Term":
        """The same without guesses."""
        return replace(self, guesses=())


class CatalogueWords:
    """Made of the names and categories of what is for sale.

    Words that stand in names of variants only, such as "large", refine and do not find.
    """

    def __init__(
        self,
        *,
        names: Iterable[str],
        categories: Sequence[str] = (),
        variant_names: Iterable[str] = (),
        synonyms: Synonyms,
    ) -> None:
        self._synonyms = synonyms
        self._categories = categories
        spelled: defaultdict[str, set[str]] = defaultdict(set)
        for name in (*names, *categories):
            for written, word in spellings_of(name):
                spelled[word].add(written)
        self._words = frozenset(spelled)
        self._sorted = sorted(spelled)
        self._accented: Mapping[str, tuple[Phrase, ...]] = {
            word: tuple((w,) for w in sorted(written - {word}))
            for word, written in spelled.items()
            if written != {word}
        }
        self._variant_words = (
            frozenset(word for name in variant_names for word in words_of(name)) - self._words
        )
        self._by_sound: defaultdict[str, list[str]] = defaultdict(list)
        for word in self._sorted:
            if len(word) >= _SHORTEST_GUESSED and not word.isdigit():
                self._by_sound[sound_of(word)].append(word)
        self._sounds = tuple(self._by_sound)

    def terms(self, query: str) -> tuple[Term, ...]:
        """What a query asks for, with all it may mean here. Empty: nothing in particular."""
        asked = asked_for(query, self._words | self._variant_words)
        finding = [word for word in asked if word not in self._variant_words]
        terms = tuple(self._term(phrase) for phrase in self._phrases(self._joined(finding)))
        if not _NEGATORS.isdisjoint(finding):
            return terms
        return tuple(replace(term, denied_by=self._denied(term)) for term in terms)

    def categories_meant(self, text: str) -> tuple[str, ...]:
        """Which of the shop's categories somebody names: the very same, else all that fit."""
        same = tuple(c for c in self._categories if words_of(c) == words_of(text))
        terms = self.terms(text)
        if same or not terms:
            return same
        return tuple(
            category
            for category in self._categories
            if all(
                _names(term, words_of(category)) and category not in term.denied_by
                for term in terms
            )
        )

    def _denied(self, term: Term) -> tuple[str, ...]:
        return tuple(
            category
            for category in self._categories
            if not _NEGATORS.isdisjoint(words := words_of(category)) and _names(term, words)
        )

    def _joined(self, words: Sequence[str]) -> list[str]:
        """Write together what the catalogue writes as one word: "cheese cake"."""
        joined: list[str] = []
        for word in words:
            if joined and self._are_one(joined[-1], word):
                joined[-1] += word
                continue
            joined.append(word)
        return joined

    def _are_one(self, first: str, second: str) -> bool:
        if (first, second) in self._synonyms or (self._knows(first) and self._knows(second)):
            return False
        together = first + second
        return together in self._words or bool(self._sounding_like(together, _CLOSE_IF_JOINED))

    def _phrases(self, words: Sequence[str]) -> list[Phrase]:
        """Cut into the longest phrases that have synonyms, else into single words."""
        phrases: list[Phrase] = []
        at = 0
        while at < len(words):
            for length in range(min(LONGEST_PHRASE, len(words) - at), 0, -1):
                phrase = tuple(words[at : at + length])
                if length == 1 or phrase in self._synonyms:
                    phrases.append(phrase)
                    at += length
                    break
        return phrases

    def _term(self, phrase: Phrase) -> Term:
        means = self._synonyms.get(phrase, ())
        if len(phrase) > 1:
            return Term(phrase, means)
        word = phrase[0]
        accented = self._accented.get(word, ())
        guesses = () if self._knows(word) else (*self._halves(word), *self._sounding_like(word))
        return Term(phrase, (*accented, *means), guesses)

    def _knows(self, word: str) -> bool:
        if word in self._words:
            return True
        at = bisect_left(self._sorted, word)
        following = self._sorted[at : at + 1]
        return len(word) >= SHORTEST_PREFIX and any(w.startswith(word) for w in following)

    def _halves(self, word: str) -> tuple[Phrase, ...]:
        """Cut in two what the catalogue writes as two words: "redvelvet"."""
        cuts = range(SHORTEST_PREFIX, len(word) - SHORTEST_PREFIX + 1)
        return tuple(
            (word[:at], word[at:])
            for at in cuts
            if word[:at] in self._words and word[at:] in self._words
        )

    def _sounding_like(self, word: str, at_least: float = _CLOSE) -> tuple[Phrase, ...]:
        if len(word) < _SHORTEST_GUESSED or word.isdigit():
            return ()
        sound = sound_of(word)
        if len(sound) <= _SHORT:
            at_least = max(at_least, _CLOSE_IF_SHORT)
        found = process.extract(
            sound,
            self._sounds,
            scorer=fuzz.ratio,
            score_cutoff=at_least,
            limit=_MOST_GUESSES,
        )
        close = [sound for sound, score, _ in found if score >= found[0][1] - _WITHIN]
        return tuple((guess,) for sound in close for guess in self._by_sound[sound])


def _names(term: Term, category: Sequence[str]) -> bool:
    return any(all(word in category for word in phrase) for phrase in term.phrases)


_SOUNDS_LIKE = (
    ("ks", "x"),
    ("cc", "c"),
    ("ch", "c"),
    ("ck", "k"),
    ("ph", "f"),
    ("th", "t"),
    ("qu", "k"),
    ("oe", "u"),
    ("tj", "c"),
    ("dj", "j"),
    ("oi", "oa"),
    ("y", "i"),
    ("v", "f"),
    ("z", "s"),
    ("q", "k"),
    ("c", "k"),
)


def sound_of(word: str) -> str:
    """Roughly how a word sounds to an Indonesian ear, so that spellings of one word meet."""
    sound = word
    for written, heard in _SOUNDS_LIKE:
        sound = sound.replace(written, heard)
    return "".join(c for at, c in enumerate(sound) if at == 0 or c != sound[at - 1])
