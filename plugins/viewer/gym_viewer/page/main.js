// The frame of the page: which page stands in it, the way back, keys and colours.

import { Problem, exportedStart } from "./api.js";
import { comparePage, pairPage } from "./compare.js";
import { announce, fill, h, icon } from "./dom.js";
import { rolloutPage } from "./rollout.js";
import { here } from "./route.js";
import { runPage } from "./run.js";
import { runsPage } from "./runs.js";
import { tokensPage } from "./tokens.js";

const root = document.getElementById("main");
const KEYS = [
  ["j / k", "the next, the previous row or turn"],
  ["Enter", "open the row"],
  ["/", "search"],
  ["[ / ]", "the previous, the next rollout"],
  ["u", "up: to the run, to the list of runs"],
  ["c", "choose a run to compare"],
  ["t", "light or dark"],
  ["Esc", "leave a field, clear what was searched, close"],
  ["?", "these keys"],
];

let current = null;

// A page that is new begins at its top, one that somebody comes back to stands where it was left.
const places = new Map();
let visits = 0, visit = 0;

function placeOfVisit() {
  if (!history.state?.visit) history.replaceState({ visit: ++visits }, "");
  visit = history.state.visit;
  return places.get(visit) ?? 0;
}

function pageOfRoute({ parts }) {
  const [first, , third, , fifth] = parts;
  if (!parts.length) return runsPage;
  if (first === "compare") return parts[1] === "rollouts" ? pairPage : comparePage;
  if (first === "runs" && parts.length === 2) return runPage;
  if (first === "runs" && third === "rollouts" && parts.length === 4) return rolloutPage;
  if (first === "runs" && third === "rollouts" && fifth === "tokens") return tokensPage;
  return null;
}

async function show() {
  const route = here();
  const key = [...route.parts, ...["a", "b"].map((name) => route.query.get(name))].join("/"); // what is compared is in the query
  if (current?.key === key && current.page.updated) {
    placeOfVisit();
    current.page.updated(route);
    return;
  }
  current?.ended.abort();
  const ended = new AbortController();
  const page = { root: h("div", { class: "page" }), signal: ended.signal, keys: {}, updated: null, crumbs, title };
  current = { key, page, ended };
  const late = setTimeout(() => fill(root, h("p", { class: "loading", role: "status" }, "Reading…")), 250);
  try {
    const draw = pageOfRoute(route);
    if (!draw) throw new Problem("there is no such page", "all runs are at the top left");
    await draw(route, page);
    if (ended.signal.aborted) return;
    fill(root, page.root);
    scrollTo({ top: placeOfVisit() });
  } catch (error) {
    if (ended.signal.aborted || error.name === "AbortError") return;
    crumbs([]);
    fill(root, problemView(error));
  } finally {
    clearTimeout(late);
  }
  page.shown?.();
  if (!page.keepsFocus) root.focus({ preventScroll: true });
}

function problemView(error) {
  const known = error instanceof Problem;
  if (!known) console.error(error);
  title("Not here");
  return h("section", { class: "empty", role: "alert" },
    h("h2", {}, known ? error.message : "this page could not be drawn"),
    h("p", {}, known ? error.hint : String(error)));
}

/** Answers that nobody waits for any more, and those that did not come although the page was drawn. */
function onLost(event) {
  const { reason } = event;
  if (reason?.name !== "AbortError" && !(reason instanceof Problem)) return;
  event.preventDefault();
  if (reason instanceof Problem) root.prepend(h("p", { class: "notice bad", role: "alert" }, [reason.message, reason.hint].filter(Boolean).join(": ")));
}

function title(text) {
  document.title = text ? `${text} · gym` : "gym";
  announce(text);
}

function crumbs(steps) {
  const path = [{ label: "Runs", href: "#/" }, ...steps];
  fill(document.getElementById("path"), h("ol", {}, path.map((step, n) => {
    const last = n === path.length - 1;
    return h("li", {}, last ? h("span", { "aria-current": "page", title: step.label }, h("bdi", {}, step.label))
      : h("a", { href: step.href, title: step.label }, h("bdi", {}, step.label)));
  })));
}

// Colours: as the system has them, until somebody chooses.

const THEME = "gym-theme";

function stored() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // a file, or a browser that keeps nothing
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function drawTheme() {
  const button = document.getElementById("theme");
  const other = isDark() ? "light" : "dark";
  button.setAttribute("aria-label", `Switch to ${other} colours`);
  button.title = `${other} colours (t)`;
  fill(button, icon(isDark() ? "sun" : "moon"));
}

function switchTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  try {
    localStorage.setItem(THEME, document.documentElement.dataset.theme);
  } catch {
    // it holds for this page then
  }
  drawTheme();
}

// Keys

function showKeys() {
  const dialog = h("dialog", { "aria-labelledby": "keys", onclose: () => dialog.remove() },
    h("h2", { id: "keys" }, "Keys"),
    h("dl", { class: "facts" }, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    h("form", { method: "dialog" }, h("button", {}, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.closest?.("input, select, textarea");
  const keys = current?.page.keys ?? {};
  if (typing) {
    if (event.key === "Escape") {
      typing.blur();
      root.focus({ preventScroll: true });
    }
    return;
  }
  if (event.key === "Enter" && event.target.closest?.("a, button, summary")) return;
  const act = keys[event.key] ?? FRAME_KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act(event);
}

const FRAME_KEYS = {
  "?": showKeys,
  t: switchTheme,
  "/": () => document.querySelector("[data-search]")?.focus(),
  u: () => document.querySelector("#path li:nth-last-child(2) a")?.click(),
};

function begin() {
  const theme = stored();
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTheme);
  document.getElementById("theme").addEventListener("click", switchTheme);
  document.getElementById("help").addEventListener("click", showKeys);
  document.addEventListener("keydown", onKey);
  addEventListener("unhandledrejection", onLost);
  addEventListener("hashchange", show);
  addEventListener("scroll", () => places.set(visit, scrollY), { passive: true });
  history.scrollRestoration = "manual";
  visits = Date.now(); // numbers of before a reload are none of these
  drawTheme();
  if (exportedStart && !location.hash) history.replaceState(null, "", exportedStart);
  show();
}

begin();
