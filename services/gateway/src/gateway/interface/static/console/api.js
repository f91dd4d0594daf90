// The shop's REST API. Shop and key live in this tab's session storage and nowhere else.

const SHOP = "console-shop";
const KEY = "console-key";
const PAGE = 200;

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || "The server refused.");
    this.status = status;
  }

  // Whether the same request may succeed later, or may even have had its effect.
  get isOpen() {
    return this.status === 0 || this.status >= 500;
  }
}

export class Api {
  get isSignedIn() {
    return Boolean(sessionStorage.getItem(KEY));
  }

  signIn(shop, key) {
    sessionStorage.setItem(SHOP, shop);
    sessionStorage.setItem(KEY, key);
  }

  signOut() {
    sessionStorage.removeItem(SHOP);
    sessionStorage.removeItem(KEY);
  }

  shop() {
    return this.#ask([]);
  }

  channels() {
    return this.#ask(["channels"]);
  }

  conversation(id) {
    return this.#ask(["conversations", id]);
  }

  // The latest `count`, and whether there are more.
  conversations(count, owner) {
    return this.#latest(["conversations"], count, owner ? { owner } : {});
  }

  messages(id, count) {
    return this.#latest(["conversations", id, "messages"], count, {});
  }

  answer(id, text, effect) {
    return this.#ask(["conversations", id, "messages"], { body: { text }, effect });
  }

  takeOver(id) {
    return this.#ask(["conversations", id, "take-over"], { body: {} });
  }

  returnToAi(id) {
    return this.#ask(["conversations", id, "return-to-ai"], { body: {} });
  }

  why(id, message) {
    return this.#ask(["conversations", id, "messages", message, "why"]);
  }

  async #latest(path, count, query) {
    const rows = [];
    let cursor = null;
    do {
      const asked = { ...query, limit: Math.min(PAGE, count - rows.length) };
      const page = await this.#ask(path, { query: cursor ? { ...asked, cursor } : asked });
      rows.push(...page.data);
      cursor = page.next_cursor;
    } while (cursor && rows.length < count);
    return { rows, hasMore: cursor !== null };
  }

  async #ask(path, { query, body, effect } = {}) {
    const key = sessionStorage.getItem(KEY) || "";
    if (!/^[\x21-\x7e]+$/.test(key)) throw new Refused(401, { detail: "This is no API key." });
    const headers = { authorization: `Bearer ${key}` };
    if (effect) headers["idempotency-key"] = effect;
    if (body) headers["content-type"] = "application/json";
    const shop = sessionStorage.getItem(SHOP) || "";
    const where = ["/v1/crm/tenants", ...[shop, ...path].map(encodeURIComponent)].join("/");
    let answer;
    try {
      answer = await fetch(query ? `${where}?${new URLSearchParams(query)}` : where, {
        headers,
        method: body ? "POST" : "GET",
        body: body && JSON.stringify(body),
      });
    } catch {
      throw new Refused(0, { detail: "The server does not answer." });
    }
    const read = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(answer.status, read);
    return read;
  }
}
