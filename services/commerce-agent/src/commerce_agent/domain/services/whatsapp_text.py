"""Markdown, as models write it, in the few marks that WhatsApp knows."""

import html
import re
from collections.abc import Callable, Iterator

_FENCE = re.compile(r"[ \t]*(?:```|~~~)[ \t]*[\w+#.-]*[ \t]*")
_HEADING = re.compile(r"[ \t]{0,3}#{1,6}[ \t]+(.*)")
_RULE = re.compile(r"[ \t]*(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})")
_BULLET = re.compile(r"([ \t]*)[*+•‣▪◦][ \t]+")
_NUMBER = re.compile(r"([ \t]*\d{1,3})\)[ \t]+")
_TASK = re.compile(r"([ \t]*- )\[[ xX]\][ \t]+")
_TABLE_LINE = re.compile(r"[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")

_IMAGE = re.compile(r"!\[[^\[\]\n]*\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:[ \t]+\"[^\"\n]*\")?\)")
_LINK = re.compile(
    r"\[([^\[\]\n]*)\]\(<?([^()\s<>]*(?:\([^()\s<>]*\)[^()\s<>]*)*)>?(?:[ \t]+\"[^\"\n]*\")?\)"
)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]+)>", re.IGNORECASE)
_BARE_LINK = re.compile(r"\b(?:https?://|www\.)[^\s<>*~\ue000\ue001]+", re.IGNORECASE)
_CODE = re.compile(r"(?<!`)(`++)([^`\n]+)\1(?!`)")
_KEPT = re.compile("\ue000(\\d+)\ue001")

_BOLD_ITALIC = re.compile(r"\*\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*\*")
_BOLD = re.compile(r"\*\*(?=[^\s*])([^\n]{0,400}?[^\s*])\*\*(?!\*)")
_BOLD_UNDERLINE = re.compile(r"(?<!\w)__(?=[^\s_])([^\n_]*(?:_[^\n_]+)*[^\s_])__(?!\w)")
_STRIKE = re.compile(r"~~(?=[^\s~])([^~\n]*?)(?<=\S)~~")
_INNER_STAR = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]*)(?<=[^\s*])\*(?![\w*])")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!~|<>-])")
_TAG = re.compile(r"<(/?)(b|strong|i|em|s|del|code|u|p|span)>|<br\s*/?>", re.IGNORECASE)
_TAG_MARKS = {"b": "*", "strong": "*", "i": "_", "em": "_", "s": "~", "del": "~", "code": "`"}
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#39);")


def to_whatsapp(markdown: str) -> str:
    """Write ``**bold**`` as ``*bold*``, headings as bold lines, links as ``text: address``, tables
    as lines; drop pictures. Code and links inside keep every character, and what already is
    WhatsApp's own formatting stays. Never raises.
    """
    text = markdown.replace("\r\n", "\n").replace("\r", "\n")
    text = text.replace("\ue000", "").replace("\ue001", "")
    lines = "\n".join(_rewrite(text.split("\n")))
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _rewrite(lines: list[str]) -> Iterator[str]:
    position = 0
    while position < len(lines):
        end = _code_end(lines, position)
        if end is not None:
            yield from ("```", *lines[position + 1 : end], "```")
            position = end + 1
        elif _starts_table(lines, position):
            end = _table_end(lines, position)
            yield from _table(lines[position:end])
            position = end
        else:
            yield _line(lines[position])
            position += 1


def _code_end(lines: list[str], position: int) -> int | None:
    """The line that closes a code block which starts at ``position``."""
    if not _FENCE.fullmatch(lines[position]):
        return None
    mark = lines[position].strip()[:3]
    for end in range(position + 1, len(lines)):
        if lines[end].strip() == mark:
            return end
    return None


def _starts_table(lines: list[str], position: int) -> bool:
    if position + 1 >= len(lines) or "|" not in lines[position]:
        return False
    rule = lines[position + 1].strip()
    return "|" in rule and _TABLE_LINE.fullmatch(rule.strip("|")) is not None


def _table_end(lines: list[str], position: int) -> int:
    end = position + 2
    while end < len(lines) and "|" in lines[end]:
        end += 1
    return end


def _table(lines: list[str]) -> Iterator[str]:
    header, _, *rows = lines
    if titles := " – ".join(_cells(header)):
        yield f"*{_strip_marks(titles)}*"
    for row in rows:
        if cells := _cells(row):
            yield "- " + " – ".join(cells)


def _cells(row: str) -> list[str]:
    return [cell for part in row.strip().strip("|").split("|") if (cell := _inline(part.strip()))]


def _line(line: str) -> str:
    if not line.strip() or _RULE.fullmatch(line):
        return ""
    if heading := _HEADING.fullmatch(line):
        title = _strip_marks(_inline(heading[1].rstrip().rstrip("#")))
        return f"*{title}*" if title else ""
    line = _BULLET.sub(r"\1- ", line, count=1) if _BULLET.match(line) else line
    line = _NUMBER.sub(r"\1. ", line, count=1) if _NUMBER.match(line) else line
    line = _TASK.sub(r"\1", line, count=1) if _TASK.match(line) else line
    return _inline(line).rstrip()


def _strip_marks(text: str) -> str:
    """A heading is bold as a whole, and marks inside it would end that."""
    return text.replace("*", "").strip()


def _inline(text: str) -> str:
    kept: list[str] = []

    def keep(value: str) -> str:
        kept.append(value)
        return f"\ue000{len(kept) - 1}\ue001"

    text = _CODE.sub(lambda match: keep(f"`{match[2].strip() or match[2]}`"), text)
    text = _IMAGE.sub("", text)
    text = _LINK.sub(lambda match: _link(match[1], match[2], keep), text)
    text = _AUTOLINK.sub(lambda match: keep(match[1].removeprefix("mailto:")), text)
    text = _BARE_LINK.sub(lambda match: keep(match[0]), text)
    text = _TAG.sub(_tag, text)
    text = _ESCAPE.sub(lambda match: keep(match[1]), text)
    text = _marks(text)
    text = _ENTITY.sub(lambda match: html.unescape(match[0]).replace("\xa0", " "), text)
    for _ in range(len(kept) and 3):  # a link's text may hold what was kept before it
        text = _KEPT.sub(lambda match: kept[int(match[1])], text)
    return text


def _marks(text: str) -> str:
    text = _BOLD_ITALIC.sub(r"*_\1_*", text)
    text = _BOLD.sub(lambda match: "*" + _INNER_STAR.sub(r"_\1_", match[1]) + "*", text)
    text = _BOLD_UNDERLINE.sub(r"*\1*", text)
    return _STRIKE.sub(r"~\1~", text)


def _link(label: str, address: str, keep: Callable[[str], str]) -> str:
    label, bare = label.strip(), address.removeprefix("mailto:").removeprefix("tel:")
    if not bare:
        return label
    if not label or _KEPT.sub("", label) in (bare, address):
        return keep(bare)
    return f"{label}: {keep(bare)}"


def _tag(match: re.Match[str]) -> str:
    if match[2] is None:
        return "\n"
    return _TAG_MARKS.get(match[2].lower(), "")
