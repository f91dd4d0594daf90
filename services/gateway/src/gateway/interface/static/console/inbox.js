// The list of conversations.

import { initials, tone } from "../simulator/icons.js";
import { make, plain, when } from "../simulator/people.js";
import { KeyedList } from "./keyed.js";
import { showOwner, words } from "./owner.js";

export class InboxView {
  constructor(list, onPick) {
    this.onPick = onPick;
    this.list = new KeyedList(list, (node, row) => this.#draw(node, row));
  }

  show(rows, chosen) {
    this.list.show(rows.map((row) => ({
      id: row.id,
      name: nameOf(row),
      text: plain(row.last_text),
      at: row.last_message_at,
      owner: row.owner,
      trouble: row.trouble,
      unanswered: row.unanswered,
      isChosen: row.id === chosen,
    })));
  }

  #draw(node, row) {
    const button = make("button", "person");
    button.type = "button";
    button.setAttribute("aria-current", String(row.isChosen));
    const avatar = make("span", `avatar ${tone(row.name)}`, initials(row.name));
    avatar.setAttribute("aria-hidden", "true");
    const lines = make("span", "lines");
    lines.append(make("strong", "", row.name), make("small", "", row.text || "No messages"));
    if (row.trouble) lines.append(make("span", "trouble", `AI cannot answer: ${words(row.trouble)}`));
    const side = make("span", "side");
    if (row.at) side.append(make("time", "", when(row.at)));
    const chip = make("span");
    showOwner(chip, row.owner);
    side.append(chip);
    if (row.unanswered) {
      const count = make("b", "count", String(row.unanswered));
      count.title = "Waiting for an answer";
      side.append(count);
    }
    button.append(avatar, lines, side);
    button.addEventListener("click", () => this.onPick(row.id));
    node.append(button);
  }
}

export function nameOf(row) {
  return row.customer_name || row.customer_phone || "Unknown customer";
}
