"""Arguments for a tool the offline model does not know, such as a schema asked for as an answer."""

from collections.abc import Mapping
from typing import Any

_HARMLESS = ("allow", "allowed", "safe", "ok", "pass", "approved", "valid", "main", "none", "low")


def fill(schema: Mapping[str, Any], text: str) -> dict[str, Any]:
    """A value for every required property of an object schema; the harmless one of a choice."""
    definitions = schema.get("$defs", {})
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = schema.get("required", list(properties))
    return {
        name: _value(name, properties[name], definitions, text)
        for name in required
        if name in properties
    }


def _value(name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], text: str) -> Any:
    if "$ref" in schema:
        schema = definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
    for choice in ("anyOf", "oneOf", "allOf"):
        if schema.get(choice):
            return _value(name, schema[choice][0], definitions, text)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        options = schema["enum"]
        return next((each for each in options if str(each).lower() in _HARMLESS), options[0])
    match schema.get("type"):
        case "boolean":
            return any(word in name.lower() for word in _HARMLESS)
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "array":
            return []
        case "object":
            return fill({**schema, "$defs": definitions}, text)
        case "null":
            return None
        case _:
            return text[: schema.get("maxLength", 500)]
