// The simulator: one phone, many customers, one shop.

import { Api } from "./api.js";
import { ChatView } from "./chat.js";
import { askCustomer, askKey, askLocation } from "./dialogs.js";
import { icon, initials, phoneSigns, tone } from "./icons.js";
import { PeopleView } from "./people.js";
import { encoded } from "./photo.js";
import { listen } from "./stream.js";

const SUGGESTIONS = {
  id: ["halo, ada kopi apa?", "brp harga croissant?", "ada yg manis ga?", "mau bicara dengan orang"],
  en: ["hi, what coffee do you have?", "how much is a croissant?", "anything sweet?", "I want to talk to a person"],
};
const OWNERS = {
  ai: { text: "AI", icon: "spark", who: "The AI answers. A person can take over at any time." },
  person: { text: "Staff", icon: "person", who: "A person has this conversation. The AI is silent until it is given back." },
  paused: { text: "Paused", icon: "pause", who: "Somebody typed on the shop's phone. The AI waits." },
};
const LOOK_AGAIN = [400, 1200];
const PEOPLE_EVERY = 10000;

const $ = (id) => document.getElementById(id);
const api = new Api();
const chat = new ChatView(api);
const people = new PeopleView($("people-list"), (customer) => open(customer.address));

let shop = null;
let address = "";
let stopListening = () => {};
let reading = null;
let readAgain = false;

// What is typed before the chat is open is sent when it is.
const ready = start();
ready.catch((error) => toast(error.message));

async function start() {
  decorate();
  const info = await withKey(() => api.info());
  const wanted = document.body.dataset.tenant;
  shop = info.tenants.find((each) => each.slug === wanted || each.tenant_id === wanted) || info.tenants[0];
  if (!shop) throw new Error("No shop has a simulated number.");
  api.tenant = shop.slug;
  showShop(info.tenants);
  let customers = (await api.customers()).data;
  if (!customers.length) customers = [await api.addCustomer({})];
  const hash = decodeURIComponent(location.hash.slice(1));
  const first = customers.find((each) => each.address === hash) || customers[0];
  people.show(customers, first.address);
  await open(first.address);
  setInterval(refreshPeople, PEOPLE_EVERY);
}

async function withKey(act) {
  try {
    return await act();
  } catch (error) {
    if (error.status !== 401 && error.status !== 403) throw error;
  }
  return askKey(async (key) => {
    api.key = key;
    try {
      return await act();
    } catch (error) {
      api.key = "";
      throw error;
    }
  });
}

async function open(next) {
  stopListening();
  address = next;
  history.replaceState(null, "", `#${encodeURIComponent(address)}`);
  document.body.classList.remove("browsing");
  chat.clear();
  await refresh();
  chat.toEnd();
  stopListening = listen(api.eventsPath(address), () => api.headers(), (name, data) => {
    if (name === "typing") chat.setTyping(data.on);
    else refresh();
  });
  refreshPeople();
  if (matchMedia("(pointer: fine)").matches) $("text").focus();
}

// One read at a time; what changes meanwhile is read once more.
async function refresh() {
  if (reading) {
    readAgain = true;
    return reading;
  }
  reading = read();
  try {
    await reading;
  } catch (error) {
    toast(error.message);
  } finally {
    reading = null;
  }
  if (readAgain) {
    readAgain = false;
    await refresh();
  }
}

async function read() {
  const whose = address;
  const found = await api.chat(whose);
  if (whose !== address) return;
  const news = chat.show(found.data);
  showOwner(found.owner);
  showSuggestions();
  const fresh = found.data.some((message) => message.status === "unseen");
  if (fresh && document.visibilityState === "visible") await api.see(whose);
  if (news) refreshPeople();
}

async function refreshPeople() {
  try {
    people.show((await api.customers()).data, address);
  } catch (error) {
    toast(error.message);
  }
}

async function send(message, shown) {
  await ready;
  const pending = shown ? chat.pending(shown) : null;
  try {
    await api.send(address, message);
    await refresh();
    for (const pause of LOOK_AGAIN) setTimeout(refresh, pause);
  } finally {
    if (pending) chat.forget(pending);
  }
}

function sendText(text) {
  if (!text.trim()) return;
  send({ text }, text).catch((error) => {
    toast(error.message);
    if (!$("text").value) $("text").value = text;
    grow();
  });
}

async function sendPhoto(file) {
  if (!file) return;
  const caption = $("text").value;
  try {
    await send({ image: { data: await encoded(file), caption } });
    $("text").value = "";
    grow();
  } catch (error) {
    toast(error.message);
  }
}

function showShop(shops) {
  $("shop-name").textContent = shop.name;
  $("shop-avatar").textContent = initials(shop.name);
  $("shop-avatar").classList.add(tone(shop.name));
  $("model").textContent = shop.label;
  $("model").classList.toggle("offline", shop.offline);
  $("notice").textContent = shop.offline
    ? "🤖 Offline demo model. It knows the catalogue, and simple questions."
    : `🤖 Answers are written by ${shop.model}.`;
  $("notice").hidden = false;
  document.title = `${shop.name} · WhatsApp simulator`;
  $("shop-pick").hidden = shops.length < 2;
  $("shop-select").replaceChildren(...shops.map((each) => new Option(each.name, each.slug, false, each === shop)));
  $("shop-select").addEventListener("change", (event) => {
    location.assign(`/simulator/${encodeURIComponent(event.target.value)}`);
  });
  const tries = SUGGESTIONS[shop.language] || SUGGESTIONS.id;
  for (const [box, texts] of [[$("tries"), tries], [$("suggestions"), tries.slice(0, 2)]]) {
    box.replaceChildren(...texts.map(suggestion));
  }
}

function suggestion(text) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "chip";
  button.textContent = text;
  button.addEventListener("click", () => sendText(text));
  return button;
}

function showSuggestions() {
  $("suggestions").hidden = !chat.isEmpty;
}

function showOwner(owner) {
  const known = OWNERS[owner || "ai"];
  $("owner").replaceChildren(icon(known.icon), known.text);
  $("owner").className = `owner by-${owner || "ai"}`;
  $("owner").hidden = false;
  $("who").textContent = known.who;
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.ends);
  toast.ends = setTimeout(() => { $("toast").hidden = true; }, 5000);
}

function grow() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 120)}px`;
  $("send").disabled = !field.value.trim();
}

function menu(on) {
  $("attach-menu").hidden = !on;
  $("attach").setAttribute("aria-expanded", String(on));
}

function decorate() {
  $("open-people").append(icon("back"));
  $("close-people").append(icon("close"));
  $("attach").append(icon("plus"));
  $("send").append(icon("send"));
  $("status-icons").append(phoneSigns());
  const tellTime = () => {
    $("clock").textContent = new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  };
  tellTime();
  setInterval(tellTime, 10000);
  grow();
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      $("composer").requestSubmit();
    }
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = $("text").value;
    $("text").value = "";
    grow();
    sendText(text);
  });
  $("attach").addEventListener("click", () => menu($("attach-menu").hidden));
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#attach, #attach-menu")) menu(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") menu(false);
  });
  $("pick-photo").addEventListener("click", () => {
    menu(false);
    $("photo").click();
  });
  $("photo").addEventListener("change", async (event) => {
    await sendPhoto(event.target.files[0]);
    event.target.value = "";
  });
  $("pick-location").addEventListener("click", () => {
    menu(false);
    askLocation((location) => send({ location }));
  });
  $("new-customer").addEventListener("click", async () => {
    const made = await askCustomer((customer) => api.addCustomer(customer));
    if (made) await open(made.address);
  });
  $("open-people").addEventListener("click", () => document.body.classList.add("browsing"));
  $("close-people").addEventListener("click", () => document.body.classList.remove("browsing"));
  document.addEventListener("visibilitychange", () => {
    if (shop && document.visibilityState === "visible") refresh();
  });
}
