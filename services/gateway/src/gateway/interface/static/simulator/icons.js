// The few signs a phone needs, drawn here so that nothing is loaded.

const NS = "http://www.w3.org/2000/svg";

const STROKED = {
  back: ["M15 5l-7 7 7 7"],
  plus: ["M12 5v14", "M5 12h14"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  down: ["M6 9l6 6 6-6"],
  clock: ["M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16", "M12 8v4.5l3 1.5"],
  pin: ["M12 21s7-6.2 7-11.5A7 7 0 0 0 5 9.5C5 14.8 12 21 12 21z", "M12 7.2a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8"],
};
const FILLED = {
  send: ["M3.4 20.4 21 12 3.4 3.6 3.3 10.2 15 12 3.3 13.8z"],
  spark: ["M12 2.5l2.1 6 6 2.1-6 2.1-2.1 6-2.1-6-6-2.1 6-2.1z", "M19 15.5l.9 2.6 2.6.9-2.6.9-.9 2.6-.9-2.6-2.6-.9 2.6-.9z"],
  person: ["M12 12.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9z", "M3.5 21c.6-4.2 4-6.5 8.5-6.5s7.9 2.3 8.5 6.5z"],
  pause: ["M7 5h3.5v14H7z", "M13.5 5H17v14h-3.5z"],
};

export function icon(name) {
  const paths = STROKED[name] || FILLED[name];
  const svg = element("svg", { viewBox: "0 0 24 24", class: `svg ${STROKED[name] ? "line" : "fill"}` });
  for (const d of paths) svg.append(element("path", { d }));
  return svg;
}

export function ticks(status) {
  if (status === "waiting") {
    const waiting = icon("clock");
    waiting.classList.add("tick");
    return waiting;
  }
  const twice = status !== "sent";
  const svg = element("svg", { viewBox: "0 0 18 12", class: `tick ${status}` });
  svg.append(element("path", { d: twice ? "M1 6.5l3.3 3.3L11 2.8" : "M4 6.5l3.3 3.3L14 2.8" }));
  if (twice) svg.append(element("path", { d: "M7.6 9.2l.6.6L15.4 2.8" }));
  const said = element("title", {});
  said.textContent = { sent: "Sent", stored: "Delivered", seen: "Read" }[status] || status;
  svg.append(said);
  return svg;
}

export function phoneSigns() {
  const svg = element("svg", { viewBox: "0 0 66 14", class: "signs" });
  for (const [x, h] of [[0, 4], [4.5, 6.5], [9, 9], [13.5, 11.5]]) {
    svg.append(element("rect", { x, y: 13 - h, width: 3, height: h, rx: 1 }));
  }
  svg.append(element("path", { d: "M22.5 6.2a9 9 0 0 1 13 0M25 8.8a5.4 5.4 0 0 1 8 0M27.6 11.4a2 2 0 0 1 2.8 0", class: "wave" }));
  svg.append(element("rect", { x: 42, y: 1.5, width: 20, height: 11, rx: 3, class: "shell" }));
  svg.append(element("rect", { x: 44, y: 3.5, width: 14, height: 7, rx: 1.5 }));
  svg.append(element("rect", { x: 63, y: 5, width: 1.8, height: 4, rx: 0.9 }));
  return svg;
}

export function initials(name) {
  const words = name.trim().split(/\s+/).filter(Boolean);
  return words.slice(0, 2).map((word) => [...word][0].toUpperCase()).join("") || "?";
}

// One of eight calm colours, always the same for a name.
export function tone(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) % 997;
  return `tone-${sum % 8}`;
}

function element(name, attributes) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
