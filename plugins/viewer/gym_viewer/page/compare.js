// Two runs, task by task, and two rollouts side by side.

import { ask } from "./api.js";
import { interval, scaleOf, shares } from "./charts.js";
import { announce, fill, h } from "./dom.js";
import { plural, score, seconds, short, signed, whole } from "./format.js";
import { rewardMark, statePill } from "./parts.js";
import { conversations, rolloutName } from "./rollout.js";
import { here, hrefOf, setQuery } from "./route.js";

const TASKS = 100;

export async function comparePage(route, page) {
  const a = route.query.get("a"), b = route.query.get("b");
  const load = (query, offset = 0) => ask("/api/compare", { a, b, sort: query.get("sort") ?? "difference", offset, limit: TASKS }, page.signal);
  let answer = await load(route.query);
  page.title(`${answer.first.name} and ${answer.second.name}`);
  page.crumbs([{ label: "Compare" }]);
  const list = h("div", {});
  let active = -1;
  function draw(query) {
    fill(list, pairs(answer, a, b, query), answer.tasks.length < answer.total && h("p", { class: "more-items" }, h("button", { type: "button", onclick: more }, `${plural(answer.total - answer.tasks.length, "more task")}`)));
    active = -1;
  }
  async function more() {
    const next = await load(here().query, answer.tasks.length);
    answer = { ...answer, tasks: [...answer.tasks, ...next.tasks] };
    draw(here().query);
  }
  function move(step) {
    const rows = [...list.querySelectorAll("tbody tr")];
    active = Math.max(0, Math.min(rows.length - 1, active + step));
    rows.forEach((row, at) => row.classList.toggle("active", at === active));
    rows[active]?.scrollIntoView({ block: "nearest" });
    if (rows[active]) announce(rows[active].querySelector("bdi").textContent);
  }
  page.keys = { j: () => move(1), k: () => move(-1), Enter: () => list.querySelector("tr.active a")?.click() };
  page.updated = async ({ query }) => {
    answer = await load(query);
    draw(query);
  };
  fill(page.root,
    h("div", { class: "page-head" }, h("h1", {}, "Compare"), h("a", { class: "button", href: hrefOf(["compare"], { a: b, b: a }) }, "Swap A and B")),
    !answer.same_tasks && h("section", { class: "notice" }, "The two runs do not say that they ran the same tasks: only tasks with the same id are paired."),
    h("div", { class: "versus" }, side("A", answer.first, answer.difference, -1), side("B", answer.second, answer.difference, 1)),
    outcome(answer), h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Task by task"), h("span", { class: "soft" }, plural(answer.total, "task"))), list));
  draw(route.query);
}

function side(letter, run, difference, sign) {
  const sure = difference?.interval_95 && sign * difference.difference > 0 && difference.interval_95[0] * difference.interval_95[1] > 0;
  return h("section", { class: `panel ${sure ? "winner" : ""}` }, h("header", {}, h("h2", {}, h("span", { class: "side" }, letter), " ", h("a", { href: hrefOf(["runs", run.id]) }, h("bdi", {}, run.name))), statePill(run.state)),
    h("p", { class: "soft" }, [run.model, run.env, run.agent].filter(Boolean).join(" · ")),
    h("p", { class: "big-reward apart" }, h("b", {}, score(run.reward?.mean)), h("span", { class: "soft" }, `${run.reward?.standard_error ? `± ${score(run.reward.standard_error)}, ` : ""}${plural(run.rollouts ?? 0, "rollout")}, ${whole(run.failed)} failed, ${short((run.input_tokens ?? 0) + (run.output_tokens ?? 0))} tokens`)));
}

function outcome({ difference }) {
  if (!difference) return h("section", { class: "panel spaced empty" }, h("h2", {}, "No task has a verdict in both runs"), h("p", {}, "There is nothing to pair."));
  const { better, worse, power } = difference, equal = difference.tasks - better - worse;
  const [low, high] = difference.interval_95 ?? [null, null];
  const verdict = low === null ? "too few tasks for an interval" : low > 0 ? "B is better: the interval lies above 0" : high < 0 ? "A is better: the interval lies below 0" : "no difference that these tasks could show: the interval holds 0";
  const reach = Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0), Math.abs(difference.difference), 0.05);
  return h("section", { class: "panel spaced outcome" },
    h("div", {}, h("h2", {}, "B over A, paired by task"), h("p", { class: "big-reward" }, h("b", {}, signed(difference.difference))),
      h("p", {}, verdict), low !== null && h("p", { class: "soft" }, `95 % interval ${signed(low)} to ${signed(high)} over ${plural(difference.tasks, "task")}${difference.correlation === null ? "" : `; rewards correlate by ${score(difference.correlation, 2)}`}`),
      power?.smallest_difference && h("p", { class: "soft" }, `so many tasks show differences of about ${score(power.smallest_difference)} and more`),
      difference.only_first + difference.only_second > 0 && h("p", { class: "soft" }, `left out: ${plural(difference.only_first, "task")} with a verdict in A alone, ${difference.only_second} in B alone`),
      low !== null && [interval(difference.difference, low, high, (value) => (value + reach) / (2 * reach)), h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, `${signed(-reach)} A`), h("span", {}, "0"), h("span", {}, `B ${signed(reach)}`))]),
    h("div", {}, h("h2", {}, "Who won where"), h("div", { class: "apart" }, shares([
      { tone: "win", count: better, label: "tasks to B" }, { tone: "even", count: equal, label: "equal" }, { tone: "loss", count: worse, label: "tasks to A" }]))));
}

function pairs(answer, a, b, query) {
  const sort = query.get("sort") ?? "difference";
  const heading = (name, label, number) => {
    const now = sort === name ? "ascending" : sort === `-${name}` ? "descending" : null;
    return h("th", { scope: "col", class: number ? "number" : null, "aria-sort": now }, h("button", { type: "button", onclick: () => setQuery({ sort: now === "ascending" ? `-${name}` : name }) }, label));
  };
  const all = answer.tasks.flatMap((task) => [task.first, task.second]).filter((value) => value !== null);
  const at = scaleOf(Math.min(0, ...all), Math.max(1, ...all));
  return h("div", { class: "table-wrap" }, h("table", { class: "cards" },
    h("thead", {}, h("tr", {}, heading("task", "Task"), heading("first", "A", true), heading("second", "B", true), h("th", { scope: "col" }, "A ○ to B ●"), heading("difference", "B − A", true), h("th", { scope: "col" }, "Side by side"))),
    h("tbody", {}, answer.tasks.map((task) => h("tr", {},
      h("td", { class: "lead" }, h("bdi", {}, task.task_id)),
      h("td", { class: "number", "data-label": "A" }, task.first === null ? absent(task.first_rollouts) : score(task.first)),
      h("td", { class: "number", "data-label": "B" }, task.second === null ? absent(task.second_rollouts) : score(task.second)),
      h("td", { class: "full" }, task.first !== null && task.second !== null && h("div", { class: `dumbbell ${task.difference > 0 ? "win" : task.difference < 0 ? "loss" : ""}`, "aria-hidden": "true", vars: { a: at(task.first), b: at(task.second) } }, h("span", { class: "stem" }), h("i", { class: "a" }), h("i", { class: "b" }))),
      h("td", { class: "number", "data-label": "B − A" }, signed(task.difference)),
      h("td", { "data-label": "Side by side" }, besides(task, a, b)))))));
}

function absent(rollouts) {
  return h("span", { class: rollouts.length ? "bad-text" : "soft" }, rollouts.length ? "failed" : "not run");
}

function besides(task, a, b) {
  const second = new Map(task.second_rollouts.map((one) => [one.repeat, one.n]));
  const found = task.first_rollouts.filter((one) => second.has(one.repeat)).slice(0, 8);
  return found.map((one) => [h("a", { href: hrefOf(["compare", "rollouts"], { a, n: one.n, b, m: second.get(one.repeat) }), "aria-label": `${task.task_id} #${one.repeat} side by side` }, `#${one.repeat}`), " "]);
}

export async function pairPage(route, page) {
  const [a, n, b, m] = ["a", "n", "b", "m"].map((name) => route.query.get(name));
  const pair = await ask("/api/compare/rollouts", { a, n, b, m }, page.signal);
  const name = rolloutName(pair.first.entry, pair.first.others.length > 0);
  page.title(`${name}, side by side`);
  page.crumbs([...(a === b ? [{ label: pair.first.run.name, href: hrefOf(["runs", a]) }] : [{ label: "Compare", href: hrefOf(["compare"], { a, b }) }]), { label: name }]);
  const sides = await Promise.all([[pair.first, a, n, "A"], [pair.second, b, m, "B"]].map(async ([view, run, number, letter]) => {
    const turnHref = (actor, turn) => hrefOf(["runs", run, "rollouts", number], { turn, actor_turn: actor === "policy" ? "" : actor });
    const talk = await conversations({ ...view, actors: view.actors.slice(0, 1) }, run, number, page.signal, { actor: "policy", turn: null }, turnHref, { compact: true });
    const { entry, verdict, error } = view;
    return h("section", { "aria-label": letter }, h("div", { class: "panel spaced" },
      h("header", {}, h("h2", {}, h("span", { class: "side" }, letter), " ", h("a", { href: hrefOf(["runs", run, "rollouts", number]) }, h("bdi", {}, `${rolloutName(entry, view.others.length > 0)} in ${view.run.name}`))), statePill(entry.status)),
      h("p", {}, rewardMark(entry.reward), " ", h("span", { class: "soft" }, Object.entries(verdict.components).map(([name, value]) => `${name} ${score(value)}`).join(" · "))),
      error && h("p", { class: "bad-text" }, `${error.error_class}: ${error.message}`),
      h("p", { class: "soft" }, `${view.run.model ?? ""} · ${plural(entry.model_calls, "model call")} · ${plural(entry.tool_calls, "tool call")} · ${seconds(entry.seconds)}`),
      view.actors.length > 1 && h("p", { class: "soft" }, `Here is what ${view.actors[0].name || "nobody"} said; the others are on its own page.`)), talk.root);
  }));
  page.root.append(h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Side by side"), h("p", { class: "under" }, pair.common > 0 ? `Their conversations begin with the same ${plural(pair.common, "item")}.` : "Their conversations differ from the first item on."))),
    h("div", { class: "beside" }, sides));
}
