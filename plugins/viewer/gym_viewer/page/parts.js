// What several pages show: states, rewards, long texts, JSON.

import { scaleOf } from "./charts.js";
import { h, hidden } from "./dom.js";
import { score, words } from "./format.js";

const TONES = {
  finished: "good", completed: "good", running: "live", truncated: "cut", interrupted: "cut", cut: "cut", stopped: "bad",
  unreadable: "bad", cancelled: "cut",
};
const STATES = { cut: "killed" };

/** How a run or a rollout stands. */
export function statePill(state) {
  return h("span", { class: `pill ${TONES[state] ?? "bad"}` }, STATES[state] ?? words(state));
}

/** A reward with where it stands on the scale. */
export function rewardMark(value, at = scaleOf(0, 1)) {
  if (value === null || value === undefined) return h("span", { class: "reward none" }, "–", hidden("no reward"));
  return h("span", { class: "reward", vars: { at: at(value) } }, h("span", { class: "meter", "aria-hidden": "true" }), score(value));
}

/** A list of facts: pairs of a name and what it is; those without anything are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** A panel with a heading. */
export function panel(heading, ...children) {
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, heading)), children);
}

const LONG = 1400;
const LINES = 14;

/**
 * Text that somebody said, folded where it is long. `whole`, where not all of it is here, brings the rest; `length` is how
 * long that is.
 */
export function longText(text, { code = false, whole = null, length = text.length } = {}) {
  const body = h("div", { class: code ? "text code" : "text", dir: "auto" }, text);
  const long = whole || text.length > LONG || lineCount(text) > LINES + 4;
  if (!long) return body;
  body.setAttribute("data-folded", "");
  const button = h("button", { type: "button", class: "plain more", "aria-expanded": "false", onclick: unfold },
    `Show all ${length.toLocaleString("en")} characters`);
  async function unfold() {
    const folded = body.hasAttribute("data-folded");
    if (folded && whole) {
      try {
        body.textContent = await whole();
        whole = null;
      } catch (error) {
        button.textContent = error.message;
        return;
      }
    }
    body.toggleAttribute("data-folded", !folded);
    button.setAttribute("aria-expanded", String(folded));
    button.textContent = folded ? "Show less" : `Show all ${length.toLocaleString("en")} characters`;
  }
  return h("div", {}, body, button);
}

function lineCount(text) {
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0 && count <= LINES + 4; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

const FIRST = 100;
const SHORT_JSON = 64;

/** JSON as a tree; what is short stands on one line, what is deep or long is folded and drawn when it is opened. */
export function jsonTree(value) {
  const whole = value !== null && typeof value === "object" && Object.keys(value).length > 0;
  if (!whole || oneLine(value)) return h("div", { class: "json" }, jsonNode(value, 0));
  return h("div", { class: "json" }, entryList(entriesOf(value), 0, 0));
}

/** Text that is JSON as a tree, any other as text. */
export function jsonText(text) {
  try {
    return jsonTree(JSON.parse(text));
  } catch {
    return longText(text, { code: true });
  }
}

function entriesOf(value) {
  return Array.isArray(value) ? value.map((one, n) => [n, one]) : Object.entries(value);
}

/** Whether a value has nothing below it that is worth a line of its own. */
function oneLine(value) {
  const parts = Object.values(value);
  return parts.length <= 8 && parts.every((part) => part === null || typeof part !== "object") && JSON.stringify(value).length <= SHORT_JSON;
}

function jsonNode(value, depth) {
  if (value === null || typeof value === "boolean") return h("span", { class: "word" }, String(value));
  if (typeof value === "number") return h("span", { class: "number" }, String(value));
  if (typeof value === "string") return h("span", { class: "string", dir: "auto" }, value.length > LONG ? longText(value) : `"${value}"`);
  const entries = entriesOf(value), [left, right] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return h("span", { class: "soft" }, left + right);
  if (oneLine(value)) {
    return h("span", {}, h("span", { class: "soft" }, left), entries.map(([key, one], n) => [n > 0 && ", ", !Array.isArray(value) && h("span", { class: "key" }, `${key}: `), jsonNode(one, depth + 1)]),
      h("span", { class: "soft" }, right));
  }
  const open = depth < 2 && entries.length <= 30;
  let drawn = false;
  const details = h("details", { open, ontoggle: draw }, h("summary", {}, h("span", { class: "soft" }, `${left}${entries.length}${right}`)));
  function draw() {
    if (drawn || !details.open) return;
    drawn = true;
    details.append(entryList(entries, 0, depth));
  }
  draw();
  return details;
}

function entryList(entries, from, depth) {
  const list = h("ul", {});
  const add = (start) => {
    for (const [key, value] of entries.slice(start, start + FIRST)) {
      list.append(h("li", {}, h("span", { class: "key" }, `${key}: `), jsonNode(value, depth + 1)));
    }
    const left = entries.length - start - FIRST;
    if (left <= 0) return;
    const more = h("li", {}, h("button", { type: "button", class: "plain", onclick: () => { more.remove(); add(start + FIRST); } }, `${left} more`));
    list.append(more);
  };
  add(from);
  return list;
}
