"""The offline model's answer: one part for each thing the customer wanted, then one question."""

import re

from llm_worker.infrastructure.llm.offline.dialogue import Dialogue
from llm_worker.infrastructure.llm.offline.intents import Intent
from llm_worker.infrastructure.llm.offline.phrases import phrases
from llm_worker.infrastructure.llm.offline.planning import (
    CHANGE_PROFILE,
    HAND_OVER,
    PROFILE,
    wants_person,
)
from llm_worker.infrastructure.llm.offline.products import ProductAnswers
from llm_worker.infrastructure.llm.offline.reply import Reply
from llm_worker.infrastructure.llm.offline.understanding import Understood, Wish

_POLICY_WORDS = {
    Intent.DELIVERY: re.compile(
        r"antar|kirim|ongkir|deliver|shipping|kurir|courier", re.IGNORECASE
    ),
    Intent.PAYMENT: re.compile(r"bayar|pay|qris|transfer|tunai|cash|kartu|card", re.IGNORECASE),
    Intent.PROMO: re.compile(r"promo|diskon|discount|voucher", re.IGNORECASE),
}
_NO_POLICY = {
    Intent.DELIVERY: "no_delivery",
    Intent.PAYMENT: "no_payment",
    Intent.PROMO: "no_promo",
}
_HELLO = re.compile(
    r"assalam|(?:\A|selamat |good )(pagi|siang|sore|malam|morning|afternoon|evening)\b"
)
_PART_OF_DAY = {
    "pagi": "morning",
    "siang": "noon",
    "sore": "afternoon",
    "malam": "evening",
    "morning": "morning",
    "afternoon": "afternoon",
    "evening": "evening",
}


def write_answer(dialogue: Dialogue) -> str:
    """Say what was found, from the results of this turn alone. Never empty."""
    return _Answer(dialogue).text()


class _Answer:
    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._reply = Reply(phrases(dialogue.language))
        self._words = self._reply.words
        self._shop = dialogue.shop.name or self._words["shop"]
        self._products = ProductAnswers(dialogue, self._reply)

    def text(self) -> str:
        if wants_person(self._dialogue):
            self._person()
        else:
            for position, understood in enumerate(self._dialogue.heard):
                for wish in understood.wishes:
                    self._wish(understood, wish, position)
        greeting = self._greeting()
        if self._reply.is_empty:
            self._reply.ask("how_can_i_help" if greeting else "unknown")
        return self._reply.text(greeting)

    def _greeting(self) -> str:
        for text, understood in zip(self._dialogue.texts, self._dialogue.heard, strict=True):
            if not understood.has(Intent.GREETING):
                continue
            match = _HELLO.search(text.strip().lower())
            key = "hello" if match is None else _PART_OF_DAY.get(match[1] or "", "salam")
            customer = self._dialogue.shop.customer
            hello = self._words[key].format(name=f" {customer}" if customer else "")
            if self._dialogue.earlier or not self._dialogue.shop.name:
                return hello
            return f"{hello} {self._words['welcome'].format(shop=self._shop)}"
        return ""

    def _wish(self, understood: Understood, wish: Wish, position: int) -> None:
        if understood.product is wish:
            self._products.answer(wish, position)
            return
        match wish.intent:
            case Intent.THANKS | Intent.GOODBYE | Intent.NO:
                self._reply.say(wish.intent.value)
            case Intent.YES:
                self._reply.say("yes")
            case Intent.HOURS | Intent.ADDRESS:
                self._shop_fact(wish.intent.value)
            case Intent.DELIVERY | Intent.PAYMENT | Intent.PROMO:
                self._policy(wish.intent)
            case Intent.ORDER_STATUS:
                self._reply.say("order_status")
                self._reply.ask("offer_person")
            case Intent.PROFILE_CHANGE:
                self._profile_change(wish)
            case Intent.PROFILE_QUESTION:
                self._profile()
            case Intent.WHO | Intent.OFF_TOPIC:
                self._reply.say(wish.intent.value, shop=self._shop)
            case Intent.MEDIA | Intent.STICKER:
                self._reply.say(wish.intent.value)
            case Intent.LOCATION:
                self._reply.say("location")
                self._reply.ask("offer_person")
            case _:
                pass  # a greeting stands first, and "unknown" is said when nothing else is

    def _person(self) -> None:
        if wants_person(self._dialogue) == "complaint":
            self._reply.say("complaint")
        handed_over = any(
            result.name == HAND_OVER and not result.failed for result in self._dialogue.results
        )
        self._reply.say("handed_over" if handed_over else "cannot_hand_over")

    def _shop_fact(self, name: str) -> None:
        value = self._dialogue.shop.hours if name == "hours" else self._dialogue.shop.address
        if value:
            self._reply.say(name, **{name: value.rstrip(".")})
        else:
            self._reply.say(f"no_{name}")
            self._reply.ask("offer_person")

    def _policy(self, intent: Intent) -> None:
        pattern = _POLICY_WORDS[intent]
        policy = next((each for each in self._dialogue.shop.policies if pattern.search(each)), None)
        if policy is not None:
            self._reply.say("policy", policy=policy)
        else:
            self._reply.say(_NO_POLICY[intent])
            self._reply.ask("offer_person")

    def _profile_change(self, wish: Wish) -> None:
        result = self._dialogue.result(CHANGE_PROFILE, wish.profile)
        updated = result.data.get("updated") if result and not result.failed else None
        if not isinstance(updated, list):
            self._reply.say("not_saved")
            return
        if "name" in wish.profile and "name" in updated:
            self._reply.say("name_saved", name=wish.profile["name"])
        if "address" in wish.profile and "address" in updated:
            self._reply.say("address_saved")
        if "language" in wish.profile and "language" in updated:
            self._reply.say("language_saved")

    def _profile(self) -> None:
        result = self._dialogue.result(PROFILE, {})
        if result is None or result.failed:
            self._reply.say("tool_failed")
            return
        name, address = result.data.get("name"), result.data.get("address")
        self._reply.say("profile_name" if name else "profile_no_name", name=name)
        self._reply.say("profile_address" if address else "profile_no_address")
