// What stands above: the shop with its channels, and the customer of the open conversation.

import { initials, tone } from "../simulator/icons.js";
import { make } from "../simulator/people.js";
import { nameOf } from "./inbox.js";
import { showOwner, words } from "./owner.js";

const $ = (id) => document.getElementById(id);

export function showShop(shop, channels) {
  const isOffline = shop.llm_config_name === "offline";
  $("shop-name").textContent = shop.name;
  $("shop-avatar").textContent = initials(shop.name);
  $("shop-avatar").className = `avatar ${tone(shop.name)}`;
  $("model").textContent = isOffline ? "offline demo model" : shop.llm_config_name;
  $("model").classList.toggle("offline", isOffline);
  $("channels").replaceChildren(...channels.map((channel) => {
    const state = channel.active ? channel.state : "switched_off";
    const entry = make("li", `channel is-${state}`);
    entry.append(make("i"), `${channel.name}: ${words(state)}`);
    return entry;
  }));
  document.title = `${shop.name} · Console`;
}

export function showHead(conversation, channels) {
  const name = nameOf(conversation);
  const channel = channels.find((each) => each.id === conversation.channel_id);
  const reason = showHandover(conversation) ? "" : conversation.owner_reason;
  const line = [conversation.customer_phone, channel?.name, reason];
  $("customer-name").textContent = name;
  $("customer-avatar").textContent = initials(name);
  $("customer-avatar").className = `avatar ${tone(name)}`;
  $("customer-line").textContent = line.filter((part) => part && part !== name).join(" · ");
  showOwner($("owner"), conversation.owner);
  $("take-over").hidden = conversation.owner === "person";
  $("return-to-ai").hidden = conversation.owner === "ai";
}

// Says whether it does. The reason outlives the hand-over itself; it counts while that is why a
// person has the conversation.
function showHandover({ owner: who, owner_reason: why, handover }) {
  const is = who === "person" && handover && why?.startsWith("handed over");
  $("handover").hidden = !is;
  if (!is) return false;
  $("handover").replaceChildren(make("strong", "", `Handed over: ${words(handover.reason)}`));
  if (handover.summary) $("handover").append(make("p", "", handover.summary));
  return true;
}
