// All runs of a folder.

import { ask } from "./api.js";
import { interval, scaleOf } from "./charts.js";
import { announce, fill, h, hidden, icon } from "./dom.js";
import { clipped, exactMoment, moment, money, plural, score, short, whole } from "./format.js";
import { statePill } from "./parts.js";
import { here, hrefOf, setQuery } from "./route.js";

const POLL = 4000;
const COLUMNS = [
  { name: "name", label: "Run" },
  { name: "started", label: "Started" },
  { name: "state", label: "State" },
  { name: "rollouts", label: "Rollouts", number: true },
  { name: "reward", label: "Reward", number: true },
  { name: "failed", label: "Failed", number: true },
  { name: "tokens", label: "Tokens", number: true },
  { name: "cost", label: "Cost", number: true },
];
const VALUES = {
  reward: (run) => run.reward?.mean,
  tokens: (run) => (run.input_tokens === null ? null : run.input_tokens + run.output_tokens),
};

export async function runsPage(route, page) {
  let answer = await ask("/api/runs", {}, page.signal);
  page.title("Runs");
  page.crumbs([]);
  const search = h("input", { type: "search", "data-search": true, "aria-label": "Search runs", placeholder: "Search by name, model, environment  ( / )",
    value: route.query.get("q") ?? "", oninput: () => setQuery({ q: search.value }, { replace: true }) });
  const state = h("select", { "aria-label": "State", onchange: () => setQuery({ state: state.value }) });
  const body = h("div", {}), bar = h("div", {}), count = h("p", { class: "soft" });
  let active = -1;

  function draw({ query }) {
    const states = [...new Set(answer.runs.map((run) => run.state))].sort();
    fill(state, h("option", { value: "" }, "Any state"), states.map((one) => h("option", { value: one, selected: one === query.get("state") }, one)));
    const runs = sorted(answer.runs.filter((run) => matches(run, query)), query.get("sort") ?? "-started");
    fill(count, `${plural(runs.length, "run")}${runs.length < answer.runs.length ? ` of ${answer.runs.length}` : ""}`);
    const focused = document.activeElement?.dataset?.key;
    fill(body, answer.runs.length ? table(runs, query) : nothing(answer.folder));
    if (focused) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    mark(0);
    fill(bar, compareBar(answer.runs, chosen(query)));
  }
  function rows() {
    return [...body.querySelectorAll("tbody tr")];
  }
  function mark(step) {
    const all = rows();
    if (step) active = Math.max(0, Math.min(all.length - 1, active + step));
    all.forEach((row, n) => row.classList.toggle("active", n === active));
    if (step && all[active]) {
      all[active].scrollIntoView({ block: "nearest" });
      announce(all[active].querySelector(".name").textContent);
    }
  }
  page.keys = {
    j: () => mark(1), k: () => mark(-1), ArrowDown: () => mark(1), ArrowUp: () => mark(-1),
    Enter: () => rows()[active]?.querySelector(".name").click(),
    c: () => rows()[active]?.querySelector("input").click(),
    Escape: () => setQuery({ q: "", state: "", pick: [] }),
  };
  page.updated = (now) => {
    if (document.activeElement !== search) search.value = now.query.get("q") ?? "";
    draw(now);
  };
  const poll = setInterval(async () => {
    if (document.hidden) return;
    const newer = await ask("/api/runs", {}, page.signal).catch(() => null);
    if (newer && JSON.stringify(newer) !== JSON.stringify(answer)) {
      answer = newer;
      draw(here());
    }
  }, POLL);
  page.signal.addEventListener("abort", () => clearInterval(poll));
  page.root.append(
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, "Runs"), h("p", { class: "under mono" }, h("bdi", {}, answer.folder))), count),
    h("div", { class: "toolbar", role: "search" }, h("div", { class: "search" }, icon("search"), search), state),
    body, bar);
  draw(route);
}

function matches(run, query) {
  const state = query.get("state");
  if (state && run.state !== state) return false;
  const text = [run.name, run.model, run.env, run.agent, run.run_id].join(" ").toLowerCase();
  return (query.get("q") ?? "").toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function sorted(runs, sort) {
  const down = sort.startsWith("-"), name = down ? sort.slice(1) : sort;
  const value = VALUES[name] ?? ((run) => run[name]);
  return [...runs].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === y) return 0;
    if (x === null || x === undefined) return 1; // what is not known comes last, either way
    if (y === null || y === undefined) return -1;
    return (x < y ? -1 : 1) * (down ? -1 : 1);
  });
}

/** The runs that were chosen, at most two. */
function chosen(query) {
  return query.getAll("pick").slice(-2);
}

function choose(id, on) {
  const left = chosen(here().query).filter((one) => one !== id);
  setQuery({ pick: on ? [...left, id].slice(-2) : left });
}

function table(runs, query) {
  const sort = query.get("sort") ?? "-started";
  const picked = chosen(query);
  const means = runs.map((run) => run.reward?.mean).filter((mean) => typeof mean === "number");
  const at = scaleOf(Math.min(...means, 0), Math.max(...means, 1));
  const heading = (column) => {
    const now = sort === column.name ? "ascending" : sort === `-${column.name}` ? "descending" : null;
    const next = now === "descending" || (now === null && !column.number && column.name !== "started") ? column.name : `-${column.name}`;
    return h("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": now },
      h("button", { type: "button", "data-key": `sort ${column.name}`, onclick: () => setQuery({ sort: next }) }, column.label));
  };
  return h("div", { class: "panel runs table-wrap" }, h("table", { class: "cards" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, hidden("Compare")), COLUMNS.map(heading))),
    h("tbody", {}, runs.map((run) => row(run, picked.includes(run.id), at)))));
}

function row(run, picked, at) {
  const low = run.reward?.interval_95?.[0], high = run.reward?.interval_95?.[1];
  const about = [run.model, run.env, run.agent].filter(Boolean).join(" · ");
  return h("tr", {},
    h("td", { "data-label": "Compare" }, h("input", { type: "checkbox", checked: picked, disabled: run.state === "unreadable", "data-key": `pick ${run.id}`,
      "aria-label": `Compare ${run.name}`, onchange: (event) => choose(run.id, event.target.checked) })),
    h("td", { class: "lead" }, h("div", {}, h("a", { class: "name", href: hrefOf(["runs", run.id]), "data-key": `open ${run.id}` }, h("bdi", {}, run.name)),
      h("span", { class: "sub" }, h("bdi", {}, run.problem || about)))),
    h("td", { "data-label": "Started", title: exactMoment(run.started) }, moment(run.started)),
    h("td", { "data-label": "State" }, statePill(run.state)),
    h("td", { class: "number", "data-label": "Rollouts" }, h("span", {}, whole(run.rollouts), run.planned !== null && run.planned !== run.rollouts ? h("span", { class: "soft" }, ` / ${whole(run.planned)}`) : null)),
    h("td", { class: "number", "data-label": "Reward", title: low === undefined ? null : `95 % interval ${score(low)} to ${score(high)}` },
      h("div", {}, score(run.reward?.mean), run.reward?.standard_error ? h("span", { class: "soft" }, ` ± ${score(run.reward.standard_error)}`) : null,
        run.reward ? interval(run.reward.mean, low, high, at) : null)),
    h("td", { class: "number", "data-label": "Failed" }, run.failed ? h("span", { class: "bad-text" }, whole(run.failed)) : whole(run.failed)),
    h("td", { class: "number", "data-label": "Tokens", title: run.input_tokens === null ? null : `${whole(run.input_tokens)} in, ${whole(run.output_tokens)} out` }, short(VALUES.tokens(run))),
    h("td", { class: "number", "data-label": "Cost" }, money(run.cost)));
}

function compareBar(runs, picked) {
  if (!picked.length) return null;
  const names = picked.map((id) => runs.find((run) => run.id === id)?.name ?? "?");
  const ready = picked.length === 2;
  return h("aside", { class: "compare-bar", "aria-label": "Compare" },
    h("p", {}, h("b", {}, h("bdi", {}, clipped(names[0], 40))), ready ? [" with ", h("b", {}, h("bdi", {}, clipped(names[1], 40)))] : h("span", { class: "soft" }, " – choose one more to compare")),
    h("a", { class: "button main", "aria-disabled": String(!ready), href: ready ? hrefOf(["compare"], { a: picked[0], b: picked[1] }) : null }, "Compare"),
    h("button", { type: "button", class: "quiet", onclick: () => setQuery({ pick: [] }) }, "Clear"));
}

function nothing(folder) {
  return h("section", { class: "panel empty" }, h("h2", {}, "No runs here yet"),
    h("p", {}, "Under ", h("bdi", {}, folder), " there is no results file. ", h("code", {}, "gym run --model local --env simple_weather"), " makes one, and it appears here while it goes on."));
}
