// The open chat: bubbles, ticks, typing. It shows what the server says and keeps no truth itself.

import { formatted, isOnlyEmoji } from "./format.js";
import { icon, ticks } from "./icons.js";

const TYPING_ENDS = 25000;
const $ = (id) => document.getElementById(id);

export class ChatView {
  constructor(api) {
    this.api = api;
    this.list = $("messages");
    this.thread = $("thread");
    this.rows = new Map();
    this.typed = [];
    this.lastDay = "";
    $("to-end").append(icon("down"));
    $("to-end").addEventListener("click", () => this.toEnd());
    this.thread.addEventListener("scroll", () => {
      $("to-end").hidden = this.isAtEnd();
    });
  }

  clear() {
    this.rows.clear();
    this.typed = [];
    this.lastDay = "";
    this.list.replaceChildren();
    this.setTyping(false);
  }

  get isEmpty() {
    return this.rows.size === 0;
  }

  // Says whether there was anything new.
  show(messages) {
    const stay = this.isAtEnd();
    const before = this.rows.size;
    let heardShop = false;
    for (const message of messages) {
      const row = this.rows.get(message.native_id);
      if (row) this.#tick(row, message);
      else {
        this.#add(message);
        heardShop ||= !message.from_customer;
      }
    }
    if (heardShop) this.setTyping(false);
    if (stay) this.toEnd();
    return this.rows.size > before;
  }

  // What was just typed, shown before the server has it. The real bubble takes its place, also when
  // the news of it is quicker than the server's answer to the sending.
  pending(text) {
    const message = { from_customer: true, text, content: { type: "text" }, status: "waiting", created_at: new Date().toISOString() };
    const row = this.#row(message, new Date());
    this.typed.push({ text, row });
    this.list.append(row);
    this.toEnd();
    return row;
  }

  setTyping(on) {
    clearTimeout(this.typingEnds);
    const stay = this.isAtEnd();
    $("typing").hidden = !on;
    $("presence").textContent = on ? "typing…" : "online";
    $("presence").classList.toggle("busy", on);
    if (on) this.typingEnds = setTimeout(() => this.setTyping(false), TYPING_ENDS);
    if (on && stay) this.toEnd();
  }

  isAtEnd() {
    return this.thread.scrollHeight - this.thread.scrollTop - this.thread.clientHeight < 80;
  }

  toEnd() {
    this.thread.scrollTop = this.thread.scrollHeight;
  }

  #add(message) {
    const at = new Date(message.created_at);
    const day = at.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
    if (day !== this.lastDay) {
      this.lastDay = day;
      const today = new Date().toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
      this.list.append(tag("li", "day", day === today ? "Today" : day));
    }
    const row = this.#row(message, at);
    this.rows.set(message.native_id, row);
    this.list.append(row);
    if (message.from_customer) this.#arrived(message.text);
  }

  #arrived(text) {
    const at = this.typed.findIndex((each) => each.text === text);
    if (at >= 0) this.typed.splice(at, 1)[0].row.remove();
  }

  // It was not sent, or its real bubble is there.
  forget(row) {
    row.remove();
    this.typed = this.typed.filter((each) => each.row !== row);
  }

  #row(message, at) {
    const row = tag("li", `row ${message.from_customer ? "out" : "in"}`);
    const bubble = tag("div", "bubble");
    const kind = message.content.type;
    if (kind === "image" && message.content.url) bubble.append(this.#picture(message));
    if (kind === "location") bubble.append(place(message.content));
    if (message.text) {
      const text = tag("div", isOnlyEmoji(message.text) ? "text emoji" : "text");
      text.append(formatted(message.text));
      bubble.append(text);
    }
    const meta = tag("span", "meta");
    const time = tag("time", "", at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = message.created_at;
    meta.append(time);
    if (message.from_customer) meta.append(ticks(message.status));
    bubble.append(meta);
    row.append(bubble);
    row.dataset.status = message.status;
    return row;
  }

  #tick(row, message) {
    if (!message.from_customer || row.dataset.status === message.status) return;
    row.dataset.status = message.status;
    row.querySelector(".tick").replaceWith(ticks(message.status));
  }

  #picture(message) {
    const image = tag("img", "picture");
    image.alt = "Photo";
    const follow = this.isAtEnd();
    image.addEventListener("load", () => { if (follow) this.toEnd(); });
    this.api.picture(message.content.url).then((url) => { image.src = url; });
    return image;
  }
}

function place(content) {
  const link = tag("a", "place-card");
  link.href = `https://www.openstreetmap.org/?mlat=${content.latitude}&mlon=${content.longitude}#map=16/${content.latitude}/${content.longitude}`;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  const map = tag("span", "map");
  map.append(icon("pin"));
  link.append(map, tag("strong", "", content.name || "Location"));
  const where = content.address || `${Number(content.latitude).toFixed(5)}, ${Number(content.longitude).toFixed(5)}`;
  link.append(tag("small", "", where));
  return link;
}

function tag(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}
