"""A shop of a few products that answers tool calls as the commerce agent's tools do."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from llm_worker.infrastructure.llm.offline_model import OfflineChatModel

PROMPT = """Shop: Kopi Senja
Language: {language}
Address: Jl. Braga No. 12, Bandung
Hours: Senin–Minggu 07.00–22.00
Policies:
- Pembayaran bisa dengan QRIS atau transfer.
Answer only from tool results."""

TOOL_NAMES = (
    "search_products",
    "get_product_details",
    "check_stock",
    "get_customer_profile",
    "update_customer_profile",
    "hand_over_to_human",
)

_WORDS = {"coffee": "kopi", "croissants": "croissant", "bread": "roti", "tea": "teh", "cake": "kue"}


def _variant(code: str, name: str, price: str, stock: int) -> dict[str, Any]:
    return {"code": code, "name": name, "price": price, "stock": stock, "available": stock > 0}


PRODUCTS: list[dict[str, Any]] = [
    {
        "code": "p1",
        "name": "Kopi Susu Gula Aren",
        "category": "Kopi",
        "variants": [
            _variant("p1a", "Panas", "Rp22.000", 12),
            _variant("p1b", "Dingin", "Rp25.000", 8),
        ],
        "description": "Espresso, susu segar dan gula aren asli.",
    },
    {
        "code": "p2",
        "name": "Americano",
        "category": "Kopi",
        "variants": [_variant("p2a", "", "Rp18.000", 20)],
        "description": "Espresso dan air panas.",
    },
    {
        "code": "p3",
        "name": "Cold Brew",
        "category": "Kopi",
        "variants": [_variant("p3a", "", "Rp28.000", 0)],
        "description": "Kopi seduh dingin semalaman.",
    },
    {
        "code": "p4",
        "name": "Croissant Butter",
        "category": "Roti",
        "variants": [_variant("p4a", "", "Rp20.000", 5)],
        "description": "Renyah berlapis.",
    },
    {
        "code": "p5",
        "name": "Roti Keju",
        "category": "Roti",
        "variants": [_variant("p5a", "", "Rp15.000", 0)],
        "description": "Roti lembut isi keju.",
    },
    {
        "code": "p6",
        "name": "Teh Tarik",
        "category": "Teh",
        "variants": [
            _variant("p6a", "Kecil", "Rp12.000", 3),
            _variant("p6b", "Besar", "Rp17.000", 0),
        ],
        "description": "Teh susu khas.",
    },
]


def answer_tool(name: str, args: dict[str, Any]) -> dict[str, Any]:
    match name:
        case "search_products":
            return _search(args["query"])
        case "get_product_details":
            return {"product": _by_code(args["product"])}
        case "check_stock":
            product = _by_code(args["product"])
            stock = sum(each["stock"] for each in product["variants"])
            return {
                "code": product["code"],
                "name": product["name"],
                "stock": stock,
                "available": stock > 0,
                "variants": product["variants"],
            }
        case "get_customer_profile":
            return {"name": "Budi", "language": "id", "address": None, "note": None}
        case "update_customer_profile":
            return {"updated": sorted(args)}
        case "hand_over_to_human":
            return {"handed_over": True}
    raise AssertionError(name)


def _by_code(code: str) -> dict[str, Any]:
    return next(each for each in PRODUCTS if each["code"] == code)


def _search(query: str) -> dict[str, Any]:
    words = [_WORDS.get(word, word) for word in query.lower().split()]
    found = [each for each in PRODUCTS if all(word in _text(each) for word in words)]
    return {"products": found, "total": len(found), "query": query}


def _text(product: dict[str, Any]) -> str:
    variants = " ".join(each["name"] for each in product["variants"])
    return f"{product['name']} {product['category']} {variants}".lower()


def tool_schemas(names: Sequence[str] = TOOL_NAMES) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": name,
                "parameters": {"type": "object", "properties": {}},
            },
        }
        for name in names
    ]


def said(text: str) -> HumanMessage:
    return HumanMessage(f"<customer_message>{text}</customer_message>")


class Chat:
    """A conversation with the offline model; ``calls`` are those of the newest turn."""

    def __init__(self, language: str = "id", tools: Sequence[str] = TOOL_NAMES) -> None:
        self.history: list[BaseMessage] = [SystemMessage(PROMPT.format(language=language))]
        self.calls: list[tuple[str, dict[str, Any]]] = []
        model = OfflineChatModel()
        self.model: Any = model.bind_tools(tool_schemas(tools)) if tools else model

    async def say(self, *texts: str) -> str:
        """Send messages at once and return the answer; history keeps texts only, as the runner."""
        self.calls = []
        turn: list[BaseMessage] = [said(text) for text in texts]
        for _ in range(8):
            message: AIMessage = await self.model.ainvoke([*self.history, *turn])
            turn.append(message)
            if not message.tool_calls:
                self.history += [*(said(text) for text in texts), AIMessage(message.text)]
                return message.text
            for call in message.tool_calls:
                self.calls.append((call["name"], call["args"]))
                result = json.dumps(answer_tool(call["name"], call["args"]), ensure_ascii=False)
                turn.append(ToolMessage(result, tool_call_id=call["id"]))
        raise AssertionError("the model does not stop calling tools")
