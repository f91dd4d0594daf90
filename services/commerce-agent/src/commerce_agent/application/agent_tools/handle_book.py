"""Short names for products, so that a model never holds an id."""

import re
from collections.abc import Iterable, Sequence
from itertools import count

from commerce_agent.application.ports.shop_agent import Handle
from commerce_agent.domain.value_objects.ids import ProductId, VariantId
from shared.kernel.errors import NotFound

_PRODUCT_CODE = re.compile(r"p(\d{1,6})")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class UnknownHandle(NotFound):
    """No product was shown under this code in this conversation. Search for it first."""

    code = "unknown_product"


class HandleBook:
    """The handles of one conversation: ``p1`` is a product, ``p1a`` its first variant.

    A product keeps its code for as long as the conversation lasts; new ones go on counting.
    """

    def __init__(self, known: Iterable[Handle]) -> None:
        self._by_code = {handle.code: handle for handle in known}
        self._products = {
            handle.product_id: handle.code
            for handle in self._by_code.values()
            if handle.variant_id is None
        }
        self._variants = {
            handle.variant_id: handle.code
            for handle in self._by_code.values()
            if handle.variant_id is not None
        }
        numbers = (_PRODUCT_CODE.match(code) for code in self._by_code)
        self._last = max((int(match[1]) for match in numbers if match), default=0)
        self._new: list[Handle] = []

    def get(self, code: str) -> Handle:
        """What a code stands for. Raises `UnknownHandle`."""
        handle = self._by_code.get(code.strip().lower())
        if handle is None:
            raise UnknownHandle(product=code[:20])
        return handle

    def show(
        self, product_id: ProductId, variant_ids: Sequence[VariantId]
    ) -> tuple[str, dict[VariantId, str]]:
        """The codes of a product and its variants, made where there is none yet."""
        code = self._products.get(product_id)
        if code is None:
            self._last += 1
            code = self._products[product_id] = f"p{self._last}"
            self._add(Handle(code=code, product_id=product_id))
        return code, {each: self._variant(code, product_id, each) for each in variant_ids}

    def take_new(self) -> tuple[Handle, ...]:
        """The handles made since the last call."""
        new, self._new = tuple(self._new), []
        return new

    def _variant(self, product_code: str, product_id: ProductId, variant_id: VariantId) -> str:
        code = self._variants.get(variant_id)
        if code is None:
            free = (product_code + _letters(number) for number in count())
            code = next(candidate for candidate in free if candidate not in self._by_code)
            self._variants[variant_id] = code
            self._add(Handle(code=code, product_id=product_id, variant_id=variant_id))
        return code

    def _add(self, handle: Handle) -> None:
        self._by_code[handle.code] = handle
        self._new.append(handle)


def _letters(number: int) -> str:
    """a … z, aa, ab …"""
    more, last = divmod(number, len(_LETTERS))
    return (_letters(more - 1) if more else "") + _LETTERS[last]
