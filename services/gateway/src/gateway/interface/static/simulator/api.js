// The simulator's JSON API. A key is needed only where the server says so; it lives in this tab.

const KEY = "simulator-key";

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || "The server refused.");
    this.status = status;
    this.code = problem.code;
  }
}

export class Api {
  constructor() {
    this.tenant = "";
  }

  get key() {
    return sessionStorage.getItem(KEY) || "";
  }

  set key(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  }

  headers(more = {}) {
    return this.key ? { ...more, authorization: `Bearer ${this.key}` } : more;
  }

  info() {
    return this.#ask("/simulator/api/info");
  }

  customers() {
    return this.#ask(this.#path("customers"));
  }

  addCustomer(customer) {
    return this.#ask(this.#path("customers"), customer);
  }

  chat(address) {
    return this.#ask(this.#path("customers", address, "messages"));
  }

  send(address, message) {
    return this.#ask(this.#path("customers", address, "messages"), message);
  }

  see(address) {
    return this.#ask(this.#path("customers", address, "seen"), {});
  }

  eventsPath(address) {
    return this.#path("customers", address, "events");
  }

  // An <img> sends no key, so with one the picture is fetched and shown from memory.
  async picture(url) {
    if (!this.key) return url;
    const answer = await fetch(url, { headers: this.headers() });
    if (!answer.ok) return "";
    return URL.createObjectURL(await answer.blob());
  }

  #path(...parts) {
    return ["/simulator/api/tenants", this.tenant, ...parts]
      .map((part, at) => (at ? encodeURIComponent(part) : part))
      .join("/");
  }

  async #ask(path, body) {
    const options = { headers: this.headers() };
    if (body !== undefined) {
      options.method = "POST";
      options.headers = this.headers({ "content-type": "application/json" });
      options.body = JSON.stringify(body);
    }
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Refused(0, { detail: "The server does not answer." });
    }
    const read = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Refused(answer.status, read);
    return read;
  }
}
