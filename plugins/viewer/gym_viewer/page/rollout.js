// One rollout: what was asked, what was said, what came of it.

import { ask, rawUrl, runPath } from "./api.js";
import { barList, scaleOf, waterfall } from "./charts.js";
import { conversation, turnStepper } from "./conversation.js";
import { announce, fill, h, icon } from "./dom.js";
import { exactMoment, moment, money, plural, score, seconds, short, whole, words } from "./format.js";
import { facts, jsonText, jsonTree, longText, panel, rewardMark, statePill } from "./parts.js";
import { filters, here, hrefOf, listsOf } from "./route.js";

const OWN = ["turn", "actor_turn", "raw"]; // of the query; the rest is what the list was filtered by

export async function rolloutPage(route, page) {
  const [, run, , n] = route.parts;
  const view = await ask(runPath(run, "rollouts", n), {}, page.signal);
  const name = rolloutName(view.entry, view.others.length > 0);
  page.title(`${name} in ${view.run.name}`);
  page.crumbs([{ label: view.run.name, href: hrefOf(["runs", run], listQueryOf(route.query)) }, { label: name }]);
  const talk = await conversations(view, run, n, page.signal, {
    actor: route.query.get("actor_turn") ?? "policy", turn: numberOf(route.query.get("turn")),
  }, (actor, turn) => hrefOf(route.parts, { ...listsOf(here().query), turn, actor_turn: actor === "policy" ? "" : actor, raw: "" }));
  const raw = h("div", {});
  const body = h("div", { class: "rollout" }, h("div", {}, talk.root, raw), aside(view, run, n));
  const beside = neighbours(run, n, page.signal);
  page.root.append(heading(view, beside.root), tabs(view, run, n, route), body);

  page.updated = async ({ query }) => {
    const wantsRaw = query.has("raw");
    talk.root.hidden = wantsRaw;
    raw.hidden = !wantsRaw;
    body.classList.toggle("is-raw", wantsRaw);
    fill(page.root.querySelector(".tabs-place"), tabLinks(view, run, n, here()));
    if (wantsRaw && !raw.childNodes.length) fill(raw, await rawView(run, n, page.signal).catch((error) => h("p", { class: "empty", role: "alert" }, `${error.message}: ${error.hint ?? ""}`)));
    if (!wantsRaw) await goToTurn(talk, query);
  };
  page.shown = () => page.updated(here());
  const step = turnStepper(talk.root);
  page.keys = {
    j: () => step(1), k: () => step(-1), "[": () => beside.go("previous"), "]": () => beside.go("next"),
    Escape: () => document.querySelector("#path li:nth-last-child(2) a")?.click(),
  };
}

/** What a rollout is called: its task and, where there are `several` of it, which one. */
export function rolloutName(entry, several) {
  return `${entry.task_id}${repeatMark(entry, several)}`;
}

/** Which rollout of its task it is. */
export function repeatMark(entry, several) {
  return several || entry.repeat > 0 ? ` #${entry.repeat}` : "";
}

function numberOf(text) {
  return text && /^\d+$/.test(text) ? Number(text) : null;
}

function listQueryOf(query) {
  return new URLSearchParams([...query].filter(([name]) => !OWN.includes(name)));
}

async function goToTurn({ root, talks }, query) {
  const turn = numberOf(query.get("turn"));
  if (turn === null) return;
  const element = await talks.find((talk) => talk.name === (query.get("actor_turn") ?? "policy"))?.goTo(turn);
  for (const other of root.querySelectorAll(".turn.target")) other.classList.toggle("target", other === element);
  element?.classList.add("target");
  element?.scrollIntoView({ block: "start" });
}

/** The conversations of all actors, side by side where there are several. */
export async function conversations(view, run, n, signal, target, turnHref, options = {}) {
  const spans = new Map(view.spans.spans.filter((span) => span.kind === "model" && span.turn !== null).map((span) => [`${span.actor} ${span.turn}`, span]));
  const where = { run, n, signal, spans, turnHref };
  const several = view.actors.length > 1;
  const talks = view.actors.map((actor) => conversation(actor, where, {
    first: view.items, target: actor.name === target.actor ? target.turn : null, compact: !several || options.compact,
  }));
  const root = h("div", { class: several ? "actors" : "", tabindex: several ? "0" : null, role: several ? "group" : null, "aria-label": several ? "Conversations" : null },
    talks.length ? talks.map((talk) => talk.root) : h("p", { class: "empty" }, "Nothing was said."));
  await Promise.all(talks.map((talk) => talk.ready));
  return { root, talks };
}

const SEARCH_STEP = 300; // milliseconds between questions how far a search has come

/** The ways to the rollouts before and after this one in the list that one came from, which the query says. */
function neighbours(run, n, signal) {
  const { query } = here();
  const root = h("div", { class: "actions" });
  const ready = (async () => {
    for (;;) {
      const found = await ask(runPath(run, "rollouts", n, "neighbours"), { ...filters(query), sort: query.get("sort") }, signal).catch((error) => {
        if (error.name === "AbortError") throw error;
        return {}; // a filter that means nothing: the list says so
      });
      const searching = Boolean(found.search && found.search.searched < found.search.of);
      draw(found, searching);
      if (!searching) return found;
      await new Promise((resolve) => setTimeout(resolve, SEARCH_STEP));
    }
  })();
  ready.catch(() => null);
  function draw(found, searching) {
    const among = Object.keys(filters(query)).length ? " of those that the filter leaves" : "";
    const link = (other, label, key, ...inside) => h("a", { class: "button", "aria-disabled": String(!other || searching), title: `${label} rollout${among} (${key})`,
      href: other && !searching ? hrefOf(["runs", run, "rollouts", other], listQueryOf(query)) : null }, inside);
    fill(root, link(found.previous, "Previous", "[", icon("back"), "Previous"), link(found.next, "Next", "]", "Next", icon("forward")));
  }
  draw({}, true);
  return { root, go: async (side) => {
    const other = (await ready)[side];
    if (other && !signal.aborted) location.hash = hrefOf(["runs", run, "rollouts", other], listQueryOf(here().query));
  } };
}

function heading(view, beside) {
  const { entry } = view;
  const copy = h("button", { type: "button", onclick: async () => {
    await navigator.clipboard?.writeText(location.href).catch(() => null);
    announce("the link is copied");
    copy.lastChild.textContent = "Copied";
    setTimeout(() => { copy.lastChild.textContent = "Link"; }, 1500);
  }, title: "Copy a link that leads here" }, icon("link"), h("span", {}, "Link"));
  return h("div", { class: "page-head" },
    h("div", {}, h("h1", {}, h("bdi", {}, entry.task_id), h("span", { class: "soft" }, repeatMark(entry, view.others.length > 0))),
      h("p", { class: "under" }, statePill(entry.status), entry.stop_reason && entry.stop_reason !== entry.status && h("span", {}, words(entry.stop_reason)),
        view.stop_detail && h("span", {}, h("bdi", {}, view.stop_detail)), entry.attempt > 1 && h("span", {}, `attempt ${entry.attempt}`),
        h("span", { title: exactMoment(entry.finished_at) }, moment(entry.finished_at)), h("span", { class: "mono" }, h("bdi", {}, view.place)))),
    h("div", { class: "actions" }, beside, copy));
}

function tabs(view, run, n, route) {
  return h("nav", { class: "tabs tabs-place", "aria-label": "Views of this rollout" }, tabLinks(view, run, n, route));
}

/** The views of a rollout, of which tokens is a page of its own. */
export function tabLinks(view, run, n, { parts, query }) {
  const kept = listQueryOf(query), tokens = parts.length > 4;
  const raw = new URLSearchParams([...kept, ["raw", "1"]]);
  const tab = (label, href, now) => h("a", { href, "aria-current": now ? "page" : null }, label);
  return [
    tab("Conversation", hrefOf(["runs", run, "rollouts", n], kept), !tokens && !query.has("raw")),
    view.tokens && tab("Tokens", hrefOf(["runs", run, "rollouts", n, "tokens"], kept), tokens),
    tab("Raw row", hrefOf(["runs", run, "rollouts", n], raw), !tokens && query.has("raw")),
  ];
}

async function rawView(run, n, signal) {
  const row = await ask(runPath(run, "rollouts", n, "raw"), {}, signal);
  const url = rawUrl(run, n);
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, "The row as it stands in its file"), url && h("a", { href: url, target: "_blank", rel: "noopener" }, "as JSON")), jsonTree(row));
}

// Beside the conversation

function aside(view, run, n) {
  return h("aside", { "aria-label": "About this rollout" },
    view.error && errorPanel(view.error), verdict(view), others(view, run), taskPanel(view.task), timing(view, run, n), about(view));
}

function verdict({ verdict: said, entry }) {
  const components = Object.entries(said.components), at = scaleOf(Math.min(0, said.reward ?? 0, ...components.map((one) => one[1])), Math.max(1, said.reward ?? 1, ...components.map((one) => one[1])));
  return h("section", { class: "panel first" }, h("header", {}, h("h2", {}, "Verdict")),
    h("div", { class: "big-reward" }, said.reward === null ? h("b", { class: "bad-text" }, "no reward") : [h("b", {}, score(said.reward)), h("span", { class: "reward", "aria-hidden": "true", vars: { at: at(said.reward) } }, h("span", { class: "meter" }))],
      said.before !== null && h("span", { class: "soft" }, `${score(said.before)} before it was rescored`),
      said.reward === null && h("span", { class: "soft" }, `a failure is never reward 0: ${words(entry.status)}`)),
    components.length > 0 && [h("h3", { class: "apart" }, "Components"), barList(components.map(([name, value]) => ({ label: name, value: score(value), share: at(value), at: at(value) })))],
    said.group && inGroup(said.group),
    Object.keys(said.rewards).length > 0 && [h("h3", { class: "apart" }, "By actor"), facts(Object.entries(said.rewards).map(([name, value]) => [name, score(value)]))],
    Object.keys(said.metrics).length > 0 && [h("h3", { class: "apart" }, "Metrics"), facts(Object.entries(said.metrics).map(([name, value]) => [name, score(value)]))],
    said.info && said.info !== "null" && said.info !== "{}" && [h("h3", { class: "apart" }, "Info of the verifier"), jsonText(said.info)]);
}

/** What the environment said of the rollout beside the others of its task. */
function inGroup(group) {
  return [h("h3", { class: "apart" }, "In its group"), group.error ? h("p", { class: "bad-text" }, `not scored: ${group.error}`)
    : facts([["reward", h("b", {}, score(group.reward))], ...Object.entries(group.components).map(([name, value]) => [name, score(value)])]),
  group.info && jsonText(group.info)];
}

function errorPanel(error) {
  return h("section", { class: "panel error first" }, h("header", {}, h("h2", { class: "bad-text" }, icon("alert"), ` ${error.error_class}`), h("span", { class: "soft" }, `while ${error.phase}`)),
    h("pre", {}, error.message), error.remedy && h("p", {}, error.remedy),
    h("p", { class: "soft" }, [error.http_status && `HTTP ${error.http_status}`, error.field && `field ${error.field}`, error.retryable ? "may pass when tried again" : "will not pass by trying again"].filter(Boolean).join(" · ")),
    error.causes.length > 0 && [h("h3", { class: "apart" }, "Beneath it"), h("ol", {}, error.causes.map((cause) => h("li", {}, longText(cause, { code: true }))))]);
}

function others({ others: all, entry }, run) {
  if (all.length < 1) return null;
  return panel(`Other rollouts of this task`, h("ol", { class: "others" }, all.map((other) => h("li", {},
    h("a", { href: hrefOf(["runs", run, "rollouts", other.n], listQueryOf(here().query)) }, `#${other.repeat}`), rewardMark(other.reward), other.reward === null && statePill(other.status),
    h("a", { href: hrefOf(["compare", "rollouts"], { a: run, n: entry.n, b: run, m: other.n }) }, "side by side")))));
}

function taskPanel(task) {
  return panel("Task", facts([["id", h("bdi", {}, task.task_id)], ["place", task.index === null ? null : whole(task.index + 1)],
    ...task.fields.map((field) => [field.name, fieldValue(field)])]),
  task.instructions && h("details", { class: "apart" }, h("summary", {}, "Instructions"), longText(task.instructions)),
  task.tools.length > 0 && h("details", { class: "apart" }, h("summary", {}, `${plural(task.tools.length, "tool")} offered`),
    task.tools.map((tool) => h("div", { class: "offered" }, h("h3", {}, h("code", {}, tool.name)), h("p", { class: "soft" }, tool.description), jsonText(tool.schema)))),
  task.request.length > 0 && h("details", { class: "apart" }, h("summary", {}, "Request and sampling"), facts(task.request.map((field) => [field.name, fieldValue(field)]))));
}

function fieldValue(field) {
  if (field.cut) return longText(`${field.text}…`, { code: field.json });
  return field.json ? jsonText(field.text) : longText(field.text);
}

function timing(view, run, n) {
  const { spans, entry } = view;
  if (!spans.total) return null;
  const place = h("div", {});
  let shown = spans.spans;
  function draw() {
    const several = view.actors.length > 1;
    fill(place, waterfall(shown.map((span) => ({
      ...span, failed: Boolean(span.error) || span.broken, label: `${several && span.kind !== "verify" ? `${span.actor}: ` : ""}${span.kind === "model" && span.turn ? `turn ${span.turn}` : span.label}`,
      href: span.turn ? hrefOf(["runs", run, "rollouts", n], { ...listsOf(listQueryOf(here().query)), turn: span.turn, actor_turn: span.actor === "policy" ? "" : span.actor }) : null,
    })), spans.seconds),
    shown.length < spans.total && h("button", { type: "button", onclick: more }, `${plural(spans.total - shown.length, "more span")}`));
  }
  async function more() {
    const answer = await ask(runPath(run, "rollouts", n, "spans"), { offset: shown.length, limit: 200 });
    shown = [...shown, ...answer.spans];
    draw();
  }
  draw();
  return panel("Time", facts([["whole rollout", seconds(entry.seconds)], ["model calls", seconds(entry.model_seconds)], ["waited", seconds(entry.waited_seconds)]]), h("div", { class: "apart" }, place),
    h("p", { class: "key-of", "aria-hidden": "true" }, h("span", {}, "model"), h("span", { class: "tool" }, "tool"), h("span", { class: "verify" }, "verify"), h("span", { class: "wait" }, "waited")));
}

function about(view) {
  const { entry, tokens } = view;
  return panel("About", facts([["model", view.run.model], ["environment", view.run.env], ["agent", view.run.agent], ["tokens", `${short(entry.input_tokens)} in, ${short(entry.output_tokens)} out`],
    ["cost", entry.cost === null ? null : money(entry.cost)], ["seed", view.seed === null ? null : String(view.seed)],
    ["exact tokens", tokens && `${plural(tokens.calls, "model call")}, ${plural(tokens.breaks, "break")}${tokens.versions.length ? `, weights ${tokens.versions.join(", ")}` : ""}`],
    ["in a terminal", h("code", {}, view.command)]]),
  view.about.length > 0 && h("details", { class: "apart" }, h("summary", {}, "More"), facts(view.about.map((field) => [field.name, fieldValue(field)]))));
}
