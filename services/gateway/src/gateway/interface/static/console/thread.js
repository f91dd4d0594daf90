// Both sides of a conversation. Texts become text nodes only, whoever wrote them.

import { formatted, isOnlyEmoji } from "../simulator/format.js";
import { icon, ticks } from "../simulator/icons.js";
import { make } from "../simulator/people.js";
import { KeyedList } from "./keyed.js";
import { words } from "./owner.js";

const AUTHORS = { ai: "AI", staff: "Staff", phone: "Shop's phone", platform: "Automatic notice" };
const NEAR_END = 80;

export class ThreadView {
  constructor(thread, list, onWhy) {
    this.thread = thread;
    this.onWhy = onWhy;
    this.list = new KeyedList(list, (node, item) => this.#draw(node, item));
  }

  clear() {
    this.list.show([]);
  }

  // `latestFirst` as the API has them. Who reads at the end stays there; who reads above, there.
  show(latestFirst) {
    const { scrollHeight, scrollTop, clientHeight } = this.thread;
    const fromEnd = scrollHeight - scrollTop;
    const last = this.last;
    this.last = latestFirst[0]?.id;
    this.list.show(withDays([...latestFirst].reverse()));
    if (fromEnd - clientHeight < NEAR_END) this.thread.scrollTop = this.thread.scrollHeight;
    else if (last === this.last) this.thread.scrollTop = this.thread.scrollHeight - fromEnd;
  }

  #draw(node, item) {
    node.className = item.day ? "day" : `row ${item.direction} by-${item.by}`;
    if (item.day) node.textContent = item.day;
    else node.append(this.#bubble(item));
  }

  #bubble(message) {
    const bubble = make("div", `bubble ${message.revoked_at ? "revoked" : ""} is-${message.state}`);
    if (message.direction === "out") bubble.append(author(message));
    bubble.append(...content(message));
    const meta = make("span", "meta");
    if (message.edited_at) meta.append("edited ");
    const time = make("time", "", clock(new Date(message.at)));
    time.dateTime = message.at;
    meta.append(time);
    if (message.direction === "out") meta.append(fate(message));
    if (message.by === "ai") meta.prepend(this.#whyButton(message));
    bubble.append(meta);
    return bubble;
  }

  #whyButton(message) {
    const button = make("button", "ask-why", "Why this reply?");
    button.type = "button";
    button.addEventListener("click", () => this.onWhy(message.id, button));
    return button;
  }
}

function withDays(messages) {
  const items = [];
  let day = "";
  for (const message of messages) {
    const date = long(new Date(message.at));
    if (date !== day) items.push({ id: `day ${date}`, day: date === long(new Date()) ? "Today" : date });
    day = date;
    items.push(message);
  }
  return items;
}

function author(message) {
  const line = make("span", "author");
  if (message.by === "ai") line.append(icon("spark"));
  line.append(AUTHORS[message.by]);
  if (message.author) line.append(` · ${message.author}`);
  return line;
}

function content(message) {
  if (message.revoked_at) return [make("div", "text", "This message was deleted.")];
  if (message.kind === "reaction") return [make("div", "text", `Reacted ${message.text || "no more"}`)];
  const parts = [];
  if (message.content_type !== "text") parts.push(make("span", "kind", words(message.content_type)));
  if (message.text) {
    const text = make("div", isOnlyEmoji(message.text) ? "text emoji" : "text");
    text.append(formatted(message.text));
    parts.push(text);
  }
  return parts;
}

// What became of a send: a clock, ticks, or words where it did not go well.
function fate({ state, ack, error_code: code }) {
  if (state === "pending" || state === "sending") return ticks("waiting");
  if (state === "unknown") return make("span", "fate", "outcome unknown");
  if (state === "cancelled") return make("span", "fate", "not sent");
  if (state === "failed") return make("span", "fate bad", `failed${code ? `: ${words(code)}` : ""}`);
  if (ack >= 3) return ticks("seen");
  return ticks(ack === 2 ? "stored" : "sent");
}

function clock(at) {
  return at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

function long(at) {
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
}
