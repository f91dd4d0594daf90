// Who answers, as a chip.

import { icon } from "../simulator/icons.js";

const OWNERS = {
  ai: { text: "AI", icon: "spark" },
  person: { text: "Person", icon: "person" },
  paused: { text: "Paused", icon: "pause" },
};

export function showOwner(chip, owner) {
  if (chip.dataset.owner === owner) return;
  const known = OWNERS[owner];
  chip.dataset.owner = owner;
  chip.className = `owner by-${owner}`;
  chip.replaceChildren(icon(known.icon), known.text);
}

// A code of the platform as words.
export function words(code) {
  return code.replaceAll("_", " ");
}
