// What was said: the conversations of an actor as a tree of branches, each read from top to bottom by turns.

import { ask, runPath } from "./api.js";
import { announce, fill, h, icon } from "./dom.js";
import { plural, seconds, short, whole, words } from "./format.js";
import { jsonText, longText } from "./parts.js";

const STEP = 60;

const KINDS = {
  start: "begins", rewritten: "goes on from something else", retry: "asked again", rest: "shown to nobody",
};
const SPEAKERS = { user: "User", system: "System", developer: "Developer", assistant: "Assistant", tool: "Tool" };

/**
 * One actor's conversation: `root`, `ready`, and `goTo(turn)`, which draws a turn if need be and gives its element. `where`: `{run, n, signal, spans, turnHref(actor, turn)}`; `first`: `Items` that are here
 * already; `target`: the turn to go to.
 */
export function conversation(actor, where, { first = null, target = null, compact = false } = {}) {
  actor.branches.forEach((branch, n) => { branch.number = n + 1; });
  const views = actor.branches.map((branch) => new BranchView(actor, branch, where, first?.branch === branch.id ? first : null, target));
  const parts = views.map((view) => section(view, actor.branches.length > 1));
  const name = actor.name || "Nobody";
  const goTo = async (turn) => {
    for (const view of views.filter((one) => one.holds(turn))) {
      const element = await view.show(turn);
      if (element) return element;
    }
    return null;
  };
  const root = h("section", { class: "actor", "aria-label": `Conversation of ${name}` },
    !compact && h("header", {}, h("h2", {}, h("bdi", {}, name)), h("span", { class: "soft" },
      [actor.role && actor.role !== actor.name && `role ${actor.role}`, actor.model, plural(actor.model_calls, "model call"), plural(actor.tool_calls, "tool call"),
        `${short(actor.input_tokens)} tokens in, ${short(actor.output_tokens)} out`].filter(Boolean).join(" · "))),
    actor.branches.length > 1 && outline(actor, views), parts);
  return { name: actor.name, root, ready: Promise.all(views.map((view) => view.begin())), goTo };
}

function section(view, several) {
  if (!several) return view.root;
  const { branch } = view;
  const line = branchLine(branch, view.actor);
  const head = h("div", { class: "soft" }, line);
  if (branch.given_up) view.section = h("details", { class: "branch", open: view.holds(view.target) }, h("summary", {}, `Given up: ${line}`), view.root);
  else view.section = h("section", { class: "branch", tabindex: "-1" }, head, view.root);
  return view.section;
}

function branchLine(branch, actor) {
  const parent = actor.branches.find((other) => other.id === branch.parent);
  const from = parent ? ` after turn ${branch.after ?? 0} of branch ${parent.number}` : "";
  const kept = branch.parent === null || branch.kind === "rest" ? "" : `, with ${whole(branch.kept)} of the ${plural(branch.had, "item")} until then`;
  return `Branch ${branch.number} ${KINDS[branch.kind]}${from}${kept}${branch.verifies ? ", for the verifier" : ""}`;
}

/** The tree of branches in short; each leads to its beginning. */
function outline(actor, views) {
  const depth = new Map();
  for (const { id, parent } of actor.branches) depth.set(id, parent === null ? 0 : (depth.get(parent) ?? 0) + 1);
  return h("nav", { class: "outline", "aria-label": "Branches" }, h("ol", {}, views.map((view) => [view, view.branch]).map(([view, branch]) => h("li", { vars: { depth: depth.get(branch.id) } },
    h("button", { type: "button", class: "plain", onclick: () => goToBranch(view) }, branchLine(branch, actor)),
    h("span", { class: "soft" }, branch.turns ? turnsOf(branch.turns) : "", branch.given_up ? ", given up" : "")))));
}

function turnsOf([first, last]) {
  return first === last ? ` turn ${first}` : ` turns ${first}–${last}`;
}

function goToBranch(view) {
  view.unfold();
  view.section.scrollIntoView({ block: "start" });
  view.section.focus({ preventScroll: true });
}

/** The items of a branch: a stretch of them, which grows at both ends. */
class BranchView {
  constructor(actor, branch, where, first, target) {
    Object.assign(this, { actor, branch, where, target, section: null });
    this.items = first?.items ?? [];
    this.from = first?.offset ?? 0;
    this.known = first !== null;
    this.repeats = new Map();
    this.turns = h("div", { class: "turns" });
    this.before = h("div", {});
    this.after = h("div", {});
    this.root = h("div", { class: "items-of" }, this.before, this.turns, this.after);
  }

  /** Whether a turn may be here: turns of other branches can lie between its own. */
  holds(turn) {
    const { turns } = this.branch;
    return turn !== null && turns !== null && turns[0] <= turn && turn <= turns[1];
  }

  /** The element of a turn, drawn and unfolded; null where it is none of this branch. */
  async show(turn) {
    const find = () => this.turns.querySelector(`[data-turn="${turn}"]`);
    if (!find()) {
      this.target = turn;
      await this.begin();
    }
    const found = find();
    if (found) this.unfold();
    return found;
  }

  unfold() {
    if (this.section instanceof HTMLDetailsElement) this.section.open = true;
  }

  async begin() {
    if (this.holds(this.target) && !this.items.some((item) => item.turn === this.target)) {
      this.items = [];
      this.known = true;
      this.from = Math.max(0, (await this.#offsetOf(this.target)) - 4);
    }
    if (!this.items.length && this.branch.items) await this.#load(this.from);
    this.#draw();
  }

  async #ask(offset, limit) {
    return ask(runPath(this.where.run, "rollouts", this.where.n, "items"), { branch: this.branch.id, offset, limit }, this.where.signal);
  }

  async #load(offset, limit = STEP) {
    const answer = await this.#ask(offset, limit);
    if (offset < this.from) this.items = [...answer.items, ...this.items];
    else this.items = [...this.items, ...answer.items];
    this.from = Math.min(this.from, offset);
    return answer.items.length;
  }

  /** Where a turn begins among the items, found by halves: turns rise along a branch. */
  async #offsetOf(turn) {
    let low = 0, high = this.branch.items;
    while (high - low > STEP) {
      const middle = (low + high) >> 1;
      const found = (await this.#ask(middle, 8)).items.find((item) => item.turn !== null);
      if (found && found.turn < turn) low = middle;
      else high = middle;
    }
    const found = (await this.#ask(low, STEP + 8)).items.findIndex((item) => item.turn === turn);
    return low + Math.max(found, 0);
  }

  #draw() {
    this.repeats.clear();
    fill(this.turns, grouped(this.items).map((group) => this.#turn(group)));
    const left = this.branch.items - this.from - this.items.length;
    fill(this.before, this.from > 0 && this.#button(`${plural(this.from, "earlier item")}`, async () => this.#load(Math.max(0, this.from - STEP), Math.min(STEP, this.from))));
    fill(this.after, left > 0 && this.#button(`${plural(left, "more item")}`, async () => this.#load(this.from + this.items.length)));
  }

  #button(label, load) {
    const button = h("button", { type: "button", onclick: async () => {
      button.disabled = true;
      const count = await load();
      announce(`${plural(count, "item")} more`);
      this.#draw();
    } }, label);
    return h("p", { class: "more-items" }, button);
  }

  #turn({ turn, items }) {
    const views = items.map((item) => itemView(item, this));
    if (turn === null) return h("div", { class: "turn shown" }, h("div", { class: "items" }, views));
    const span = this.where.spans.get(`${this.actor.name} ${turn}`);
    const measure = span && [seconds(span.seconds), span.waited > 0.05 && `waited ${seconds(span.waited)}`, span.attempts > 1 && `${span.attempts} attempts`,
      span.output_tokens !== null && `${short(span.input_tokens)} in, ${short(span.output_tokens)} out`, span.broken && "tokens break here"].filter(Boolean).join(" · ");
    return h("section", { class: `turn ${turn === this.target ? "target" : ""}`, "data-turn": String(turn), "aria-label": `Turn ${turn}` },
      h("div", { class: "rule" }, h("a", { href: this.where.turnHref(this.actor.name, turn), title: "A link to this turn" }, `Turn ${turn}`), measure && h("span", { class: "measure" }, measure)),
      h("div", { class: "items" }, views.length ? views : h("p", { class: "soft" }, "nothing")));
  }

  /** How often the same call was made until now, this one included. */
  again(item) {
    const key = `${item.name} ${item.arguments}`;
    const count = (this.repeats.get(key) ?? 0) + 1;
    this.repeats.set(key, count);
    return count;
  }

  async whole(item, part) {
    const answer = await ask(runPath(this.where.run, "rollouts", this.where.n, "items", String(item.place)), {}, this.where.signal);
    return (part === undefined ? answer.arguments : answer.parts[part]?.text) ?? "";
  }
}

/** Items of one answer stand together; what was shown stands between. */
function grouped(items) {
  const groups = [];
  for (const item of items) {
    const last = groups.at(-1);
    if (last && last.turn === item.turn) last.items.push(item);
    else groups.push({ turn: item.turn, items: [item] });
  }
  return groups;
}

function itemView(item, branch) {
  if (item.kind === "function_call") return callView(item, branch);
  if (item.kind === "reasoning") return reasoningView(item, branch);
  const output = item.kind === "function_call_output";
  const role = output ? "tool" : item.role || "";
  const speaker = item.kind === "message" || output ? SPEAKERS[role] ?? role : words(item.kind);
  const empty = !item.parts.some((part) => part.text || part.url);
  return h("article", { class: `item ${SPEAKERS[role] ? role : ""}` },
    h("header", {}, h("b", {}, h("bdi", {}, speaker)), output && h("span", {}, "an output whose call is not here"), item.again && h("span", {}, "said before")),
    h("div", { class: "body" }, empty ? h("em", { class: "bad-text" }, "says nothing") : item.parts.map((part, n) => partView(part, item, n, branch))));
}

function reasoningView(item, branch) {
  const length = item.parts.reduce((sum, part) => sum + (part.cut ?? part.text.length), 0);
  return h("article", { class: "item reasoning" },
    h("details", {}, h("summary", {}, length ? `Reasoning, ${whole(length)} characters` : "Reasoning, not shown by the server"), item.parts.map((part, n) => partView(part, item, n, branch))));
}

function partView(part, item, n, branch) {
  const cut = part.cut ? { whole: () => branch.whole(item, n), length: part.cut } : {};
  if (part.kind === "image" && part.url?.startsWith("data:image/")) return h("img", { src: part.url, alt: part.text || "an image of the conversation", loading: "lazy" });
  if (part.kind === "text") return longText(part.text, cut);
  if (part.kind === "refusal") return h("div", {}, h("span", { class: "repeat" }, "refusal"), longText(part.text, cut));
  if (part.kind === "json" && !part.cut) return jsonText(part.text);
  return h("div", {}, h("span", { class: "soft" }, part.kind === "image" ? "not loaded from elsewhere:" : `${part.kind}:`), longText(part.text, { code: true, ...cut }));
}

function callView(item, branch) {
  const count = branch.again(item), failed = Boolean(item.error);
  const output = item.output;
  return h("article", { class: `item call-item ${failed ? "failed" : ""}` },
    h("div", { class: "call" },
      h("div", {}, h("h3", {}, icon("tool"), "calls ", h("b", {}, h("bdi", {}, item.name || "(no name)")), count > 1 && h("span", { class: "repeat" }, `the same call again, ${count} times now`)),
        item.json && !item.cut ? jsonText(item.arguments) : [item.arguments ? !item.json && h("p", { class: "bad-text" }, "not a JSON object:") : h("span", { class: "soft" }, "no arguments"), item.arguments && longText(item.arguments, { code: true, ...(item.cut ? { whole: () => branch.whole(item), length: item.cut } : {}) })]),
      h("div", {}, h("h3", {}, failed ? h("span", { class: "bad" }, icon("alert"), ` ${words(item.error)}`) : "Output", item.seconds !== undefined && h("span", { class: "number" }, seconds(item.seconds))),
        output ? outputView(output, branch) : h("em", { class: "bad-text" }, "nobody answered this call"))));
}

function outputView(output, branch) {
  const empty = !output.parts.some((part) => part.text || part.url);
  if (empty) return h("em", { class: "soft" }, "an empty text");
  return output.parts.map((part, n) => {
    if (part.kind !== "text" || part.cut) return partView(part, output, n, branch);
    return /^\s*[[{]/.test(part.text) ? jsonText(part.text) : longText(part.text, { code: true });
  });
}

/** Step through the turns that are drawn; the one that is reached is marked and has the focus. */
export function turnStepper(root) {
  return (step) => {
    const turns = [...root.querySelectorAll(".turn[data-turn]")];
    if (!turns.length) return;
    const now = turns.findIndex((turn) => turn.classList.contains("active"));
    const seen = turns.findIndex((turn) => turn.getBoundingClientRect().bottom > 90);
    const next = now >= 0 ? now + step : step > 0 ? Math.max(seen, 0) : seen - 1;
    const turn = turns[Math.max(0, Math.min(turns.length - 1, next))];
    turns.forEach((one) => one.classList.toggle("active", one === turn));
    turn.scrollIntoView({ block: "start" });
    turn.querySelector(".rule a").focus({ preventScroll: true });
  };
}
