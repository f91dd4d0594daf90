// Why a reply says what it says: the turn's journal, to read.

import { make } from "../simulator/people.js";
import { words } from "./owner.js";

export function explained(turn) {
  const out = document.createDocumentFragment();
  out.append(facts(turn));
  const steps = make("ol", "steps");
  steps.append(...turn.steps.map(step).filter(Boolean));
  out.append(steps);
  return out;
}

function facts(turn) {
  const list = make("dl", "facts");
  const rows = [
    ["Model", turn.model || "none"],
    ["Configuration", turn.llm_config_name || "none"],
    ["Prompt", turn.prompt_version || "none"],
    ["Tokens", `${turn.tokens_in} in, ${turn.tokens_out} out`],
    ["Outcome", words(turn.outcome || turn.state)],
  ];
  if (turn.discards) rows.push(["Drafts thrown away", String(turn.discards)]);
  for (const [name, value] of rows) list.append(make("dt", "", name), make("dd", "", value));
  return list;
}

function step(each) {
  const { body } = each;
  if (each.kind === "read") return entry("The customer wrote", said(body.text));
  if (each.kind === "tool") return tool(body.request, each.result ?? body.result, each.milliseconds);
  if (each.kind === "check") return entry("The check refused the draft", ...body.problems.map(said));
  if (each.kind === "discard") return entry("Thrown away: the customer wrote again", said(body.draft));
  if (!body.text) return null; // it only called tools, which have steps of their own
  return entry("The model wrote", said(body.text));
}

function tool(request, result, milliseconds) {
  const took = milliseconds == null ? "" : ` · ${milliseconds} ms`;
  const made = entry(`Tool${took}`, make("strong", "tool", request.name));
  made.append(make("h4", "", "Arguments"), make("pre", "", JSON.stringify(request.args, null, 2)));
  if (request.problem) made.append(said(request.problem));
  made.append(make("h4", "", "Result"), make("pre", "", indented(result)));
  return made;
}

function entry(title, ...content) {
  const node = make("li", "step");
  node.append(make("h3", "", title), ...content);
  return node;
}

function said(text) {
  return make("p", "said", text);
}

// Results are JSON text as a rule; what is not is shown as it is.
function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text || "";
  }
}
