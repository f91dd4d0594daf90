// The console: sign in, read the shop's conversations, answer them.

import { icon } from "../simulator/icons.js";
import { Api } from "./api.js";
import { showHead, showShop } from "./heads.js";
import { InboxView } from "./inbox.js";
import { ThreadView } from "./thread.js";
import { explained } from "./why.js";

const EVERY = 3000;
const SHOP_EVERY = 30000;
const TOLD = 5000;
const PAGE = 50;

const $ = (id) => document.getElementById(id);
const api = new Api();
const inbox = new InboxView($("conversations"), open);
const thread = new ThreadView($("thread"), $("messages"), showWhy);
const drafts = new Map();

let channels = [];
let owner = "";
let wantedRows = PAGE;
let wantedMessages = PAGE;
let rows = [];
let chosen = "";
let shown = "";
let isIn = false;
let session = 0; // what was read for one sign-in is not shown in the next
let reading = null;
let readAgain = false;
let unsure = null; // an answer that may have been sent: again under the same key
let whyOpener = null;

decorate();
if (api.isSignedIn) enter();
else leave();

async function enter() {
  $("enter").disabled = true;
  try {
    await readShop();
    isIn = true;
    $("entrance").hidden = true;
    $("console").hidden = false;
    $("key").value = "";
    await refresh();
  } catch (error) {
    leave(refusal(error));
  } finally {
    $("enter").disabled = false;
  }
}

async function readShop() {
  const mine = session;
  const [shop, page] = await Promise.all([api.shop(), api.channels().catch(withoutChannels)]);
  if (mine !== session) return;
  channels = page.data;
  showShop(shop, channels);
}

// A key for conversations alone need not read the channels.
function withoutChannels(error) {
  if (error.status === 403) return { data: [] };
  throw error;
}

function leave(reason = "") {
  api.signOut();
  isIn = false;
  session += 1;
  close();
  drafts.clear();
  unsure = null;
  rows = [];
  inbox.show(rows, "");
  $("text").value = "";
  $("console").hidden = true;
  $("entrance").hidden = false;
  $("refusal").textContent = reason;
  $("refusal").hidden = !reason;
  $(reason ? "key" : "shop").focus();
  document.title = "Console · AI Platform";
}

function refusal(error) {
  if (error.status === 401) return "The API key was refused. Check that it is complete and still in force.";
  if (error.status === 404) return "This key opens no shop of that name.";
  return error.message;
}

// One reading at a time; who asks meanwhile is served by one more.
async function refresh() {
  if (reading) {
    readAgain = true;
    return reading;
  }
  reading = readAll();
  try {
    await reading;
  } finally {
    reading = null;
  }
  return undefined;
}

async function readAll() {
  do {
    readAgain = false;
    try {
      await read();
    } catch (error) {
      if (!isIn) return;
      if (error.status === 401) leave(refusal(error));
      else toast(error.message);
    }
  } while (readAgain && isIn);
}

async function read() {
  const [asked, filter, mine] = [chosen, owner, session];
  const [list, conversation, messages] = await Promise.all([
    api.conversations(wantedRows, filter),
    asked ? api.conversation(asked) : null,
    asked ? api.messages(asked, wantedMessages) : null,
  ]);
  if (mine !== session) return;
  if (filter === owner) {
    rows = list.rows;
    inbox.show(rows, chosen);
    $("more").hidden = !list.hasMore;
    $("no-conversations").hidden = rows.length > 0;
  }
  if (asked && asked === chosen) showConversation(conversation, messages);
}

function showConversation(conversation, messages) {
  showHead(conversation, channels);
  $("earlier").hidden = !messages.hasMore;
  const isFirst = shown !== conversation.id;
  shown = conversation.id;
  $("nothing").hidden = true;
  $("conversation").hidden = false;
  thread.show(messages.rows);
  if (!isFirst) return;
  $("thread").scrollTop = $("thread").scrollHeight;
  grow();
}

async function open(id) {
  if (id !== chosen) {
    close();
    chosen = id;
    $("text").value = drafts.get(id) || "";
    grow();
  }
  document.body.classList.add("reading");
  inbox.show(rows, chosen);
  await refresh();
}

function close() {
  if (chosen) drafts.set(chosen, $("text").value);
  chosen = "";
  shown = "";
  wantedMessages = PAGE;
  thread.clear();
  closeWhy();
  $("conversation").hidden = true;
  $("nothing").hidden = false;
  document.body.classList.remove("reading");
}

async function act(button, doing) {
  button.disabled = true;
  try {
    await doing(chosen);
    await refresh();
  } catch (error) {
    if (error.status === 401) leave(refusal(error));
    else toast(error.message);
  } finally {
    button.disabled = false;
    grow();
  }
}

function send() {
  const text = $("text").value;
  if (!text.trim() || $("send").disabled) return;
  act($("send"), async (id) => {
    if (unsure?.id !== id || unsure.text !== text) unsure = { id, text, effect: newKey() };
    try {
      await api.answer(id, text, unsure.effect);
      unsure = null;
    } catch (error) {
      if (!error.isOpen) unsure = null;
      throw error;
    }
    drafts.delete(id);
    if (chosen === id && $("text").value === text) $("text").value = "";
    $("thread").scrollTop = $("thread").scrollHeight;
  });
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function showWhy(message, opener) {
  const id = chosen;
  try {
    const turn = await api.why(id, message);
    if (id !== chosen) return;
    $("why-body").replaceChildren(explained(turn));
    $("why-body").scrollTop = 0;
    $("why").hidden = false;
    whyOpener = opener;
    $("close-why").focus();
  } catch (error) {
    toast(error.message);
  }
}

function closeWhy() {
  $("why").hidden = true;
  $("why-body").replaceChildren();
  whyOpener?.focus();
  whyOpener = null;
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.ends);
  toast.ends = setTimeout(() => { $("toast").hidden = true; }, TOLD);
}

function grow() {
  const field = $("text");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight, 140)}px`;
}

function choose(button) {
  owner = button.dataset.owner;
  wantedRows = PAGE;
  for (const each of $("filter").children) each.setAttribute("aria-pressed", String(each === button));
  refresh();
}

function decorate() {
  $("back").append(icon("back"));
  $("close-why").append(icon("close"));
  $("send").append(icon("send"));
  $("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    api.signIn($("shop").value.trim(), $("key").value.trim());
    enter();
  });
  $("sign-out").addEventListener("click", () => leave());
  for (const button of $("filter").children) button.addEventListener("click", () => choose(button));
  $("more").addEventListener("click", () => {
    wantedRows += PAGE;
    refresh();
  });
  $("earlier").addEventListener("click", () => {
    wantedMessages += PAGE;
    refresh();
  });
  $("back").addEventListener("click", () => {
    close();
    inbox.show(rows, chosen);
  });
  $("take-over").addEventListener("click", () => act($("take-over"), (id) => api.takeOver(id)));
  $("return-to-ai").addEventListener("click", () => act($("return-to-ai"), (id) => api.returnToAi(id)));
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  $("close-why").addEventListener("click", closeWhy);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !$("why").hidden) closeWhy();
  });
  const isRead = () => isIn && document.visibilityState === "visible";
  const look = () => isRead() && refresh();
  document.addEventListener("visibilitychange", look);
  setInterval(look, EVERY);
  setInterval(() => isRead() && readShop().catch((error) => toast(error.message)), SHOP_EVERY);
}
