// The list of simulated customers.

import { initials, tone } from "./icons.js";

export class PeopleView {
  constructor(list, onPick) {
    this.list = list;
    this.onPick = onPick;
  }

  show(customers, chosen) {
    this.list.replaceChildren(...customers.map((customer) => this.#entry(customer, chosen)));
  }

  #entry(customer, chosen) {
    const button = make("button", "person");
    button.type = "button";
    button.setAttribute("aria-current", String(customer.address === chosen));
    const avatar = make("span", `avatar ${tone(customer.name)}`, initials(customer.name));
    avatar.setAttribute("aria-hidden", "true");
    const lines = make("span", "lines");
    lines.append(make("strong", "", customer.name), make("small", "", plain(customer.last_text) || customer.phone));
    const side = make("span", "side");
    if (customer.last_at) side.append(make("time", "", when(customer.last_at)));
    if (customer.unseen && customer.address !== chosen) side.append(make("b", "count", String(customer.unseen)));
    button.append(avatar, lines, side);
    button.addEventListener("click", () => this.onPick(customer));
    const entry = make("li", "");
    entry.append(button);
    return entry;
  }
}

// One line has no room for formatting, so its marks go.
export function plain(text) {
  return (text || "").replace(/([*_~`])(\S.*?)\1/g, "$2");
}

export function when(iso) {
  const at = new Date(iso);
  const sameDay = at.toDateString() === new Date().toDateString();
  return sameDay
    ? at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })
    : at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

export function make(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}
