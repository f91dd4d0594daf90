// WhatsApp's formatting as DOM nodes. Text only ever becomes text nodes, so nothing in it can be
// markup.

const STYLES = [
  { mark: "```", tag: "code", plain: true },
  { mark: "*", tag: "strong" },
  { mark: "_", tag: "em" },
  { mark: "~", tag: "s" },
];
const LINK = /\bhttps?:\/\/[^\s<>"']+[^\s<>"'.,;:!?)\]]/;
const ONLY_EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\s)+$/u;

export function formatted(text) {
  const out = document.createDocumentFragment();
  append(out, text);
  return out;
}

export function isOnlyEmoji(text) {
  const short = text.trim();
  return short.length > 0 && short.length <= 14 && ONLY_EMOJI.test(short) && !/^[\d\s#*]+$/.test(short);
}

function append(parent, text) {
  const found = first(text);
  if (!found) {
    if (text) parent.append(text);
    return;
  }
  if (found.start) parent.append(text.slice(0, found.start));
  parent.append(found.node);
  append(parent, text.slice(found.end));
}

function first(text) {
  const candidates = [link(text), ...STYLES.map((style) => styled(text, style))].filter(Boolean);
  return candidates.sort((a, b) => a.start - b.start)[0];
}

function link(text) {
  const match = LINK.exec(text);
  if (!match) return null;
  const node = document.createElement("a");
  node.href = match[0];
  node.textContent = match[0];
  node.target = "_blank";
  node.rel = "noopener noreferrer nofollow";
  return { start: match.index, end: match.index + match[0].length, node };
}

// A mark opens at the edge of a word and closes at one, on the same line, as WhatsApp has it.
function styled(text, { mark, tag, plain }) {
  for (let start = text.indexOf(mark); start >= 0; start = text.indexOf(mark, start + 1)) {
    if (start > 0 && /[\p{L}\p{N}]/u.test(text[start - 1])) continue;
    const inner = start + mark.length;
    for (let end = text.indexOf(mark, inner); end > inner; end = text.indexOf(mark, end + 1)) {
      const content = text.slice(inner, end);
      if (!plain && content.includes("\n")) break;
      if (!plain && (/^\s|\s$/.test(content))) continue;
      const after = text[end + mark.length];
      if (after && /[\p{L}\p{N}]/u.test(after)) continue;
      const node = document.createElement(tag);
      if (plain) node.textContent = content;
      else append(node, content);
      return { start, end: end + mark.length, node };
    }
  }
  return null;
}
