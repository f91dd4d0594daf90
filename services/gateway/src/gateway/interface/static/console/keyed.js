// A list that is shown again and again and touches only the entries that changed.

export class KeyedList {
  // `draw` fills an entry's empty <li>; items are known by their `id`.
  constructor(parent, draw) {
    this.parent = parent;
    this.draw = draw;
    this.entries = new Map();
  }

  show(items) {
    const wanted = new Set(items.map((item) => item.id));
    for (const [id, { node }] of this.entries) {
      if (wanted.has(id)) continue;
      node.remove();
      this.entries.delete(id);
    }
    let place = this.parent.firstChild;
    for (const item of items) {
      const { node } = this.#entry(item);
      if (node === place) place = place.nextSibling;
      else this.parent.insertBefore(node, place);
    }
  }

  #entry(item) {
    const said = JSON.stringify(item);
    const entry = this.entries.get(item.id) || { node: document.createElement("li"), said: "" };
    if (entry.said !== said) {
      const hadFocus = entry.node.contains(document.activeElement);
      entry.node.replaceChildren();
      this.draw(entry.node, item);
      if (hadFocus) entry.node.querySelector("button")?.focus();
      entry.said = said;
      this.entries.set(item.id, entry);
    }
    return entry;
  }
}
