// One run: what it came to, how, and its rollouts; live while it goes on.

import { Problem, ask, exportedStart, listen, runPath } from "./api.js";
import { barList, histogram, interval, overTime, scaleOf } from "./charts.js";
import { announce, fill, h, icon } from "./dom.js";
import { chosenColumns, columnChoice, fieldCells, fieldColumns, ownComponents, shortName } from "./columns.js";
import { bytes, clipped, exactMoment, moment, money, percent, plural, score, seconds, short, whole, words } from "./format.js";
import { repeatMark, rolloutName } from "./rollout.js";
import { RolloutList } from "./list.js";
import { facts, jsonTree, panel, rewardMark, statePill } from "./parts.js";
import { FILTERS, filters, here, hrefOf, listsOf, setQuery } from "./route.js";
import { signsOf } from "./signs.js";

const FILTER_WORDS = { min_reward: "reward ≥", max_reward: "reward ≤", stop_reason: "stopped by", text: "holds", where: "" };
const STEPS = { redraw: 1200, typing: 250, search: 300 };

export async function runPage(route, page) {
  const id = route.parts[1];
  let view = await ask(runPath(id), {}, page.signal);
  page.title(view.entry.name);
  page.crumbs([{ label: view.entry.name }]);
  const top = h("div", {}), live = h("div", {});
  let at = scaleOfRun(view), health = null, chosen = null;
  const rollouts = rolloutsSection(id, () => view, () => at, page);
  page.root.append(top, rollouts.root);

  function draw() {
    at = scaleOfRun(view);
    chosen = chosenBar();
    fill(top, head(view), live, problems(view, id, health), tiles(view, at), charts(view, id, at, page));
    drawProgress(live, view.progress);
  }
  async function look() {
    health = await ask(runPath(id, "health"), {}, page.signal).catch(() => null);
    if (health?.findings.length) keepingPlace(draw);
  }
  let due = null;
  function redrawSoon(fresh = []) {
    due ??= setTimeout(async () => {
      due = null;
      const newer = await ask(runPath(id), {}, page.signal).catch(() => null);
      if (!newer || page.signal.aborted) return;
      view = newer;
      keepingPlace(draw);
      rollouts.more(fresh);
      look();
    }, STEPS.redraw);
  }
  listen(id, page.signal, (name, data) => {
    if (data?.problem) {
      fill(live, h("p", { class: "notice bad", role: "alert" }, data.problem));
      return;
    }
    if (name === "progress") {
      const ended = view.progress.state === "running" && data.state !== "running";
      const indexing = data.indexing.done < data.indexing.total || view.progress.indexing.done < view.progress.indexing.total;
      view.progress = data;
      drawProgress(live, data);
      if (ended) announce(`the run is ${data.state}`);
      if (ended || indexing) redrawSoon();
    } else redrawSoon(data?.rollouts?.map((entry) => entry.n) ?? []);
  });
  page.signal.addEventListener("abort", () => clearTimeout(due));
  page.updated = (now) => {
    rollouts.updated(now);
    if (chosenBar() !== chosen) keepingPlace(draw); // nothing else of what stands above depends on a filter
  };
  page.keys = rollouts.keys;
  draw();
  look();
  await rollouts.updated(route);
}

/** Draw anew what stands above, and leave the reader where they read. */
function keepingPlace(draw) {
  const before = document.documentElement.scrollHeight - scrollY, below = scrollY > 700;
  const focused = document.activeElement?.title;
  draw();
  if (below) scrollTo({ top: document.documentElement.scrollHeight - before });
  if (focused) [...document.querySelectorAll("[title]")].find((one) => one.title === focused)?.focus({ preventScroll: true });
}

function chosenBar() {
  return ["min_reward", "max_reward", "where"].map((name) => here().query.getAll(name)).join();
}

function scaleOfRun(view) {
  const reward = view.histograms.find((one) => one.name === "reward");
  return scaleOf(reward?.low, reward?.high);
}

function head(view) {
  const { entry } = view;
  return h("div", { class: "page-head" },
    h("div", {}, h("h1", {}, h("bdi", {}, entry.name)),
      h("p", { class: "under" }, statePill(entry.state),
        [["model", entry.model], ["environment", entry.env], ["agent", entry.agent]].map(([what, name]) => name && h("span", { title: what }, h("bdi", {}, name))),
        h("span", { title: exactMoment(entry.started) }, moment(entry.started)))),
    h("div", { class: "actions" }, h("a", { class: "button", href: hrefOf([], { pick: entry.id }) }, "Compare with…")));
}

function drawProgress(element, progress) {
  const reading = progress.indexing.done < progress.indexing.total;
  if (progress.state !== "running" && !reading) {
    fill(element);
    return;
  }
  const planned = progress.planned || progress.rollouts + progress.failed || 1;
  const done = progress.rollouts + progress.failed;
  fill(element, h("section", { class: "panel progress", "aria-label": "Progress" },
    progress.state === "running" && [
      h("div", { class: "track", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(planned), "aria-valuenow": String(done), "aria-label": "Rollouts done" },
        h("span", { class: "done", vars: { done: progress.rollouts / planned } }), h("span", { class: "failed", vars: { failed: progress.failed / planned } })),
      h("p", {}, h("span", {}, h("b", {}, whole(done)), ` of ${whole(progress.planned)} done`),
        progress.failed > 0 && h("span", { class: "bad-text" }, `${whole(progress.failed)} failed`),
        h("span", {}, `reward ${score(progress.reward)}`),
        progress.per_second ? h("span", {}, `${score(progress.per_second, 2)} rollouts/s`) : null,
        progress.seconds_left !== null && h("span", {}, `${seconds(progress.seconds_left)} left`),
        (progress.waiting ?? []).map((one) => h("span", { class: "soft" }, one)))],
    reading && h("p", { class: "soft" }, `Reading its files: ${percent(progress.indexing.done / progress.indexing.total)} of ${bytes(progress.indexing.total)}; what stands here is of what was read.`)));
}

/** What is wrong with the run, or looks wrong. */
function problems(view, id, health) {
  const files = [view.entry.problem, ...view.notes, view.torn && "the last line is unfinished: it was left out"].filter(Boolean);
  const signs = signsOf(view, health);
  return [
    files.length > 0 && h("section", { class: "notice bad" }, h("h2", {}, icon("alert"), "About its files"), h("ul", {}, files.map((note) => h("li", {}, note)))),
    signs.length > 0 && h("section", { class: "notice" }, h("h2", {}, icon("alert"), "Worth a look"),
      h("ul", {}, signs.map((sign) => h("li", {}, h("span", {}, sign.text),
        sign.query && h("a", { href: hrefOf(["runs", id], sign.query), onclick: toRollouts }, "Show them"),
        sign.rollouts?.map((one) => h("a", { href: hrefOf(["runs", id, "rollouts", one.n]), title: one.detail }, h("bdi", {}, rolloutName(one, view.repeats > 1)), one.detail && h("span", { class: "soft" }, ` ${clipped(one.detail, 60)}`))))))),
    health?.looked_at === null && h("p", { class: "soft spaced" }, "So large a run is looked through in a terminal: ", h("code", {}, health.command)),
  ];
}

function tiles(view, at) {
  const { entry, account } = view;
  const reward = entry.reward, calls = account?.tools ?? {}, groups = account?.groups;
  const wrong = Object.values(calls.errors ?? {}).reduce((sum, count) => sum + count, 0);
  const right = view.histograms.some((one) => one.name === "reward" && one.high >= 1); // else no rollout could pass
  const passes = !right ? [] : ["pass@k", "pass^k"].flatMap((name) => Object.entries(account?.reward?.[name] ?? {}).slice(-1).filter(([k]) => k > 1)
    .map(([k, value]) => [name.replace("k", k), value.mean]));
  const bounds = reward?.interval_95;
  const tile = (name, value, more, bad = false) => h("div", { class: `tile ${bad ? "bad" : ""}` }, h("dt", {}, name), h("dd", {}, value, more && h("small", {}, more)));
  return h("dl", { class: "tiles" },
    h("div", { class: "tile" }, h("dt", {}, "Reward"), h("dd", {}, score(reward?.mean), reward?.standard_error ? h("span", { class: "soft" }, ` ± ${score(reward.standard_error)}`) : null,
      reward && interval(reward.mean, bounds?.[0], bounds?.[1], at),
      h("small", {}, bounds ? `95 % interval ${score(bounds[0])} to ${score(bounds[1])}` : "no interval: too few tasks"))),
    tile("Rollouts", whole(entry.rollouts), `${plural(view.tasks, "task")}${view.repeats > 1 ? `, ${view.repeats} repeats` : ""}${entry.planned && entry.planned !== entry.rollouts ? `, ${whole(entry.planned)} planned` : ""}`),
    tile("Failed", whole(entry.failed), entry.failed ? percent(entry.failed / (entry.failed + entry.rollouts)) : "none", entry.failed > 0),
    passes.map(([name, value]) => tile(name, score(value), `reward 1 in ${name.includes("@") ? "any" : "all"} of ${name.slice(5)}`)),
    groups && tile("In groups", score(groups.reward?.mean), `${plural(groups.scored, "group")} scored${groups.failed ? `, ${groups.failed} not` : ""}`, groups.failed > 0),
    tile("Tokens", short(entry.input_tokens === null ? null : entry.input_tokens + entry.output_tokens), `${short(entry.input_tokens)} in, ${short(entry.output_tokens)} out`),
    tile("Tool calls", short(calls.calls), wrong ? h("span", { class: "bad-text" }, `${plural(wrong, "error")}: ${Object.entries(calls.errors).map(([kind, count]) => `${words(kind)} ${count}`).join(", ")}`) : "no errors"),
    entry.cost !== null && tile("Cost", money(entry.cost), entry.rollouts ? `${money(entry.cost / entry.rollouts)} each` : null),
    view.summary?.seconds ? tile("Time", seconds(view.summary.seconds), `${score(view.summary.rollouts_per_second, 2)} rollouts/s`) : null);
}

// Charts

const byChoice = { sort: "reward", field: null, of: "" };

function charts(view, id, at, page) {
  const [reward, ...components] = split(view.histograms);
  return h("div", { class: "charts" },
    panel("Reward", reward ? rewardHistogram(reward, at) : h("p", { class: "soft" }, "no rollout has a verdict yet")),
    components.length > 0 && h("section", { class: "panel wide" }, h("header", {}, h("h2", {}, "Components")),
      h("div", { class: "small-multiples" }, components.map((one) => h("div", {}, h("h3", {}, h("bdi", {}, one.name), h("span", { class: "number" }, `mean ${score(one.mean)}`)),
        histogram(binsOf(one), { name: one.name, at: scaleOf(one.low, one.high), height: 64, ...pickingOf(view.paths.component + one.name) }))))),
    byTask(id, at, page),
    view.fields.length > 0 && byField(view, id, at, page),
    view.causes.length > 0 && causes(view),
    endings(view),
    timeChart(view, (2 + (view.fields.length > 0) + (view.causes.length > 0)) % 3));
}

function split(histograms) {
  return [histograms.find((one) => one.name === "reward" && one.count), ...histograms.filter((one) => one.name !== "reward" && one.count)];
}

const STRETCHES = 20;

/** Bars for a histogram: few different values stand where they belong between 0 and 1, or between the outermost. */
function binsOf({ low, high, bins, values }) {
  if (values.length) {
    const from = Math.min(low, 0), to = Math.max(high, 1), width = (to - from) / STRETCHES;
    const found = Array.from({ length: STRETCHES }, (_, n) => ({ low: from + n * width, high: from + (n + 1) * width, count: 0, values: [] }));
    for (const [value, count] of values) {
      const bin = found[Math.min(STRETCHES - 1, Math.floor((value - from) / width + 1e-9))];
      bin.count += count;
      bin.values.push(value);
    }
    return found.map(({ values: own, ...bin }) => (own.length ? { ...bin, first: Math.min(...own), last: Math.max(...own) } : bin));
  }
  const width = (high - low) / bins.length;
  return bins.map((count, n) => ({ low: low + n * width, high: low + (n + 1) * width, count }));
}

/** The ends of a bar, let out a little: a number that was written and read again must still be inside. */
function ends({ low, high, first = low, last = high }) {
  return [first - Math.abs(first) * 1e-9, last + Math.abs(last) * 1e-9].map((end) => String(Number(end.toPrecision(10))));
}

/** How a bar selects rollouts by a field, and whether it does. An exported page has no rows to look into. */
function pickingOf(field) {
  if (exportedStart !== null || /[=<>~!]/.test(field)) return {};
  const conditions = ({ low, high, first = low, last = high }) => {
    const [from, to] = ends({ low, high, first, last });
    return first === last ? [`${field}=${first}`] : [`${field}>=${from}`, `${field}<=${to}`];
  };
  const now = () => here().query.getAll("where");
  const chosen = (bin) => conditions(bin).every((one) => now().includes(one));
  return { chosen, pick: (bin) => {
    const others = now().filter((one) => !new RegExp(`^${RegExp.escape?.(field) ?? field.replace(/[^\w]/g, "\\$&")}(=|>=|<=)`).test(one));
    const taken = chosen(bin);
    setQuery({ where: taken ? others : [...others, ...conditions(bin)] });
    if (!taken) toRollouts();
  } };
}

function rewardHistogram(reward, at) {
  const { query } = here();
  const chosen = (bin) => query.get("min_reward") === ends(bin)[0] && query.get("max_reward") === ends(bin)[1];
  return h("div", {}, histogram(binsOf(reward), { name: "reward", at, height: 120, chosen,
    pick: (bin) => {
      setQuery(chosen(bin) ? { min_reward: "", max_reward: "" } : { min_reward: ends(bin)[0], max_reward: ends(bin)[1] });
      if (!chosen(bin)) toRollouts();
    } }),
  h("p", { class: "soft" }, `mean ${score(reward.mean)}${reward.standard_error ? ` ± ${score(reward.standard_error)}` : ""} over ${plural(reward.count, "rollout")}`));
}

function toRollouts() {
  setTimeout(() => document.getElementById("rollouts")?.scrollIntoView({ block: "start", behavior: "smooth" }));
}

function byTask(id, at, page) {
  const list = h("div", {}, h("p", { class: "soft" }, "…")), count = h("span", { class: "soft" });
  const load = async () => {
    const answer = await ask(runPath(id, "tasks"), { sort: byChoice.sort, limit: 50 }, page.signal).catch(() => null);
    if (!answer) return;
    fill(count, answer.total > answer.tasks.length ? `the first ${answer.tasks.length} of ${whole(answer.total)}` : "");
    fill(list, barList(answer.tasks.map((task) => ({
      label: task.task_id, share: task.reward === null ? 0 : at(task.reward), at: task.reward === null ? 0 : at(task.reward),
      value: task.reward === null ? "no verdict" : `${score(task.reward)}${task.highest > task.lowest ? ` (${score(task.lowest)}–${score(task.highest)})` : ""}`,
      tone: task.reward === null ? "fail" : "", title: `${task.task_id}: ${plural(task.rollouts, "rollout")}, ${task.failed} without a verdict`,
      pick: () => { setQuery({ task: task.task_id }); toRollouts(); },
    }))));
  };
  const order = h("select", { "aria-label": "Order of tasks", onchange: () => { byChoice.sort = order.value; load(); } },
    [["reward", "lowest first"], ["-reward", "highest first"], ["-spread", "most different first"], ["-failed", "most failed first"], ["task", "by name"]]
      .map(([value, label]) => h("option", { value, selected: value === byChoice.sort }, label)));
  load();
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Reward by task"), order), list, count);
}

/**
 * Fields by which tasks fall into groups come first: one with another value for each task says nothing more than its name.
 * What is nested comes last: it is many, and each by itself says little.
 */
function fieldsThatTell(view) {
  const rank = ({ name, values, more }) => (values < 2 ? 2 : more || values > view.tasks / 2 ? 1 : 0) + 3 * kindOf(name, view);
  return [...view.fields].sort((a, b) => rank(a) - rank(b) || a.values - b.values || a.name.localeCompare(b.name));
}

/** Where a field belongs: to the task, the verdict's info, or below another field of the task. */
function kindOf(name, { paths }) {
  return name.startsWith(paths.info) ? 1 : name.includes(".") ? 2 : 0;
}

/** The fields to group by, under what they are of. */
function groupsOfFields(view) {
  const names = fieldsThatTell(view).map((field) => field.name);
  const of = (kind) => names.filter((name) => kindOf(name, view) === kind);
  return [["Fields of the task", of(0)], ["Components", view.components.map((name) => view.paths.component + name)], ["Info of the verdict", of(1)], ["Within fields of the task", of(2)]]
    .filter(([, all]) => all.length > 0);
}

function byField(view, id, atReward, page) {
  const list = h("div", {}, h("p", { class: "soft" }, "…"));
  const groups = groupsOfFields(view), names = groups.flatMap(([, all]) => all);
  if (!names.includes(byChoice.field)) byChoice.field = names[0];
  if (!view.components.includes(byChoice.of)) byChoice.of = "";
  const scale = () => {
    const one = view.histograms.find(({ name }) => name === byChoice.of);
    return one ? scaleOf(one.low, one.high) : atReward;
  };
  let latest = 0;
  const load = async () => {
    const at = scale(), mine = ++latest;
    const answer = await ask(runPath(id, "by"), { field: byChoice.field, of: byChoice.of }, page.signal).catch(() => null);
    if (!answer || mine !== latest) return;  // an earlier one may be answered later
    fill(list, barList(answer.values.map((value) => ({
      label: value.value, share: value.mean === null ? 0 : at(value.mean), at: value.mean === null ? 0 : at(value.mean),
      value: value.mean === null ? "no verdict" : `${score(value.mean)}${value.standard_error ? ` ± ${score(value.standard_error)}` : ""} · ${whole(value.rollouts)}`,
      tone: value.mean === null ? "fail" : "", title: `${value.value}: ${plural(value.rollouts, "rollout")}, ${value.left_out} without a verdict`,
      pick: () => { setQuery({ where: [`${byChoice.field}=${value.value}`] }); toRollouts(); },
    }))), answer.others > 0 && h("p", { class: "soft" }, `and ${plural(answer.others, "other value")}`));
  };
  const field = h("select", { "aria-label": "Field", onchange: () => { byChoice.field = field.value; load(); } }, groups.map(([label, all]) => h("optgroup", { label }, all.map((name) => h("option", { value: name, selected: name === byChoice.field }, shortName(name, view))))));
  // an exported page has the means of the reward alone
  const of = view.components.length > 0 && exportedStart === null && h("select", { "aria-label": "What is averaged", onchange: () => { byChoice.of = of.value; load(); } },
    [["", "reward"], ...view.components.map((name) => [name, name])].map(([value, label]) => h("option", { value, selected: value === byChoice.of }, label)));
  load();
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Reward by field"), h("div", { class: "choices" }, of, field)), list);
}

function causes(view) {
  const most = Math.max(...view.causes.map((cause) => cause.count));
  return panel("Failures by cause", barList(view.causes.map((cause) => ({
    label: cause.error_class, value: whole(cause.count), share: cause.count / most, tone: "fail",
    title: `${cause.status}, ${cause.phase}: ${cause.example}`,
    note: [h("span", {}, `while ${cause.phase || "running"}: `), clipped(cause.example, 220), cause.remedy && h("span", { class: "soft" }, ` – ${cause.remedy}`)],
    pick: () => { setQuery({ cause: cause.where }); toRollouts(); },
  }))));
}

function endings(view) {
  const entries = (counts, name, tone) => {
    const most = Math.max(1, ...Object.values(counts));
    return Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([value, count]) => ({
      label: words(value), value: whole(count), share: count / most, tone: tone(value), pick: () => { setQuery({ [name]: value }); toRollouts(); },
    }));
  };
  return h("section", { class: "panel" }, h("header", {}, h("h2", {}, "How they ended")),
    h("h3", {}, "Status"), barList(entries(view.statuses, "status", (value) => (["completed", "truncated", "cancelled"].includes(value) ? "even" : "fail"))),
    Object.keys(view.stop_reasons).length > 0 && [h("h3", {}, "Stop reason"), barList(entries(view.stop_reasons, "stop_reason", () => "even"))]);
}

/** `before`: how many panels stand beside it already. */
function timeChart(view, before) {
  const { moments } = view.time;
  if (moments.length < 2) return null;
  const points = (value) => moments.map((one) => [one.at, value(one)]).filter(([, y]) => y !== null && y !== undefined);
  const drawn = overTime([
    { name: "Seconds per rollout", points: points((one) => one.seconds), format: seconds },
    { name: "Seconds of model calls", points: points((one) => one.model_seconds), format: seconds },
    { name: "Tokens", points: points((one) => one.input_tokens + one.output_tokens), format: short },
  ]);
  return drawn && h("section", { class: `panel ${["full", "wide", "third"][before]}` }, h("header", {}, h("h2", {}, "Over time"), h("span", { class: "soft" }, `each point: ${seconds(view.time.width)}`)), drawn);
}

// Its rollouts

const listPlaces = new Map(); // how far a list was scrolled, for whoever comes back to it

function rolloutsSection(id, view, at, page) {
  const chips = h("div", { class: "chips" }), count = h("p", { class: "soft", role: "status" });
  const form = filterForm(id, page.signal);
  const clear = () => {
    form.forget();
    setQuery(Object.fromEntries(FILTERS.map((name) => [name, []])));
  };
  const grouped = hasGroups(view());
  const choice = columnChoice(view, page.signal);
  let shown = null, fields = chosenColumns(here().query);

  const list = new RolloutList({
    label: "Rollouts", columns: columnsOf(view(), fields),
    signal: page.signal,
    draw: (entry) => rowOf(entry, id, at(), view(), grouped, fields),
    load: async (offset, limit) => {
      const answer = await ask(runPath(id, "rollouts"), { ...filters(here().query), sort: here().query.get("sort"), column: fields, offset, limit }, page.signal);
      return { ...answer, rows: answer.rollouts };
    },
    loaded: (answer) => {
      const { search } = answer;
      const searching = search && search.searched < search.of;
      fill(count, answer.matched === answer.total ? plural(answer.total, "rollout") : `${whole(answer.matched)} of ${plural(answer.total, "rollout")}`,
        searching ? `, ${percent(search.searched / search.of)} searched` : "");
      if (searching) setTimeout(() => !page.signal.aborted && list.reload({ keep: true }).catch(() => null), STEPS.search);
      drawUnknown(unknown, search?.unknown ?? []);
      empty.hidden = answer.matched > 0 || searching || !unknown.hidden;
      list.scroll.hidden = list.foot.hidden = !answer.matched && !searching;
    },
    sortBy: { now: () => here().query.get("sort") ?? "n", set: (sort) => setQuery({ sort }) },
  });
  list.scroll.addEventListener("scroll", () => listPlaces.set(location.hash, list.scroll.scrollTop), { passive: true });
  const unknown = h("div", { role: "alert", hidden: true });
  const empty = h("p", { class: "empty", hidden: true }, "No rollout is like this. A task is found by a part of its name, a field by its whole path, such as ", h("code", {}, "rollout.info.words"), ".");

  async function updated({ query }) {
    form.show(query, view());
    drawChips(chips, query, clear);
    choice.show(query);
    const columns = chosenColumns(query), state = JSON.stringify([filters(query), query.get("sort")]), all = JSON.stringify([state, columns]);
    if (all === shown?.all) return;
    const keep = state === shown?.state; // only its columns are others: one stays where one is
    shown = { state, all };
    fields = columns;
    list.setColumns(columnsOf(view(), fields));
    try {
      await list.reload({ keep });
      if (keep) return;
      list.scroll.scrollTop = listPlaces.get(location.hash) ?? 0;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      list.scroll.hidden = true; // rows of another filter would pass for those of this one
      fill(count, h("span", { class: "bad-text" }, error.message, error.hint && ` – ${error.hint}`));
    }
  }
  return {
    root: h("section", { class: "panel", id: "rollouts", "aria-labelledby": "rollouts-name" },
      h("header", {}, h("h2", { id: "rollouts-name" }, "Rollouts"), count, choice.root), form.root, chips, unknown, list.whole, empty),
    updated,
    more: (fresh) => list.reload({ keep: true, fresh }).catch(() => null),
    keys: {
      j: () => list.move(1), k: () => list.move(-1), ArrowDown: () => list.move(1), ArrowUp: () => list.move(-1), Enter: () => list.open(),
      Escape: clear,
    },
  };
}

/** Say of fields that no rollout has them, and offer those that may have been meant. */
function drawUnknown(element, fields) {
  const { query } = here();
  element.hidden = !fields.length;
  element.className = fields.length ? "notice" : "";
  const instead = (field, other) => query.getAll("where").map((one) => (one.startsWith(field) ? other + one.slice(field.length) : one.replace(`{${field}}`, `{${other}}`)));
  fill(element, fields.map(({ field, like }) => h("p", {}, "No rollout has a field ", h("code", {}, field), like.length > 0 && [". Is it ", like.map((other, n) =>
    [n > 0 && " or ", h("a", { href: hrefOf(here().parts, { ...listsOf(query), where: instead(field, other) }) }, h("code", {}, other))]), "?"])));
}

function drawChips(element, query, clear) {
  const all = FILTERS.flatMap((name) => query.getAll(name).map((value) => [name, value]));
  fill(element, all.map(([name, value]) => h("button", { type: "button", "aria-label": `Take the filter ${name} ${value} away`,
    onclick: () => setQuery({ [name]: query.getAll(name).filter((one) => one !== value) }) },
  `${FILTER_WORDS[name] ?? words(name)} ${clipped(["status", "stop_reason"].includes(name) ? words(value) : value, 60)} ×`)),
  all.length > 1 && h("button", { type: "button", onclick: clear }, "Clear all ×"));
}

/** `signal`: aborted when the page is left; what was typed last is no business of the next one then. */
function filterForm(id, signal) {
  let timer = null, waiting = {}; // what was typed, in any field, and is not in the address yet
  const typed = (name) => (event) => {
    clearTimeout(timer);
    waiting[name] = event.target.value.trim();
    timer = setTimeout(() => {
      const changes = waiting;
      waiting = {};
      setQuery(changes, { replace: true });
    }, STEPS.typing);
  };
  const forget = () => {
    clearTimeout(timer);
    waiting = {};
  };
  signal.addEventListener("abort", forget);
  const text = h("input", { type: "search", "data-search": true, "aria-label": "Text in the rollout", placeholder: "Anywhere in a rollout  ( / )", oninput: typed("text") });
  const task = h("input", { type: "search", "aria-label": "Task", placeholder: "Part of a task", size: 14, oninput: typed("task") });
  const status = h("select", { "aria-label": "Status", onchange: () => setQuery({ status: status.value }) });
  const reason = h("select", { "aria-label": "Stop reason", onchange: () => setQuery({ stop_reason: reason.value }) });
  const least = h("input", { type: "number", step: "any", class: "narrow-number", "aria-label": "Lowest reward", placeholder: "reward ≥", oninput: typed("min_reward") });
  const most = h("input", { type: "number", step: "any", class: "narrow-number", "aria-label": "Highest reward", placeholder: "reward ≤", oninput: typed("max_reward") });
  const known = h("datalist", { id: "known-fields" });
  const where = h("input", { "aria-label": "Field condition", placeholder: "a field, such as kind=x", list: "known-fields", size: 34, title: "FIELD=VALUE, also with !=, <, >, <=, >= and ~, which searches; another field stands in braces, as in answer!={rollout.info.given}", oninput: () => where.setCustomValidity(""), onchange: () => addWhere(where.value.trim()) });
  const addWhere = async (condition) => {
    if (!condition) return;
    let meant = condition;
    try {
      const { search } = await ask(runPath(id, "rollouts"), { where: condition, limit: 0 }, signal);
      meant = search?.where[0] ?? condition;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      where.setCustomValidity([error.message, error.hint].filter(Boolean).join(": ")); // what was typed stays, to be mended
      where.reportValidity();
      return;
    }
    if (where.value.trim() === condition) where.value = "";
    setQuery({ where: [...new Set([...here().query.getAll("where"), meant])] });
  };
  const options = (element, all, counts, now) => fill(element, h("option", { value: "" }, all),
    element === status && h("option", { value: "failed", selected: now === "failed" }, "failed, any way"),
    Object.keys(counts).sort().map((value) => h("option", { value, selected: value === now }, `${words(value)} (${counts[value]})`)));
  return {
    root: h("div", { class: "toolbar", role: "search" }, h("div", { class: "search" }, icon("search"), text), task, status, reason, least, most, known, where),
    forget,
    show(query, view) {
      options(status, "Any status", view.statuses, query.get("status"));
      options(reason, "Any stop reason", view.stop_reasons, query.get("stop_reason"));
      fill(known, [...view.components.map((name) => view.paths.component + name), ...fieldsThatTell(view).map((field) => field.name), ...view.paths.rollout].map((value) => h("option", { value })));
      for (const [input, name] of [[text, "text"], [task, "task"], [least, "min_reward"], [most, "max_reward"]]) {
        if (document.activeElement !== input && !(name in waiting)) input.value = query.get(name) ?? "";
      }
    },
  };
}

/** Whether the environment scored the rollouts of a task together. */
function hasGroups(view) {
  return Boolean(view.account?.groups) || view.files.some((file) => file.name.endsWith(".groups.jsonl"));
}

function columnsOf(view, fields) {
  return [
    { label: "#", sort: "n", number: true, template: "52px" },
    { label: "Task", sort: "task", template: "minmax(120px, 3fr)" },
    { label: "Reward", sort: "reward", template: "112px" },
    ...(hasGroups(view) ? [{ label: "In group", template: "112px" }] : []),
    ...ownComponents(view, fields).map((name) => ({ label: name, sort: `component:${name}`, number: true, line: true, template: "minmax(60px, 84px)" })),
    ...fieldColumns(fields, view),
    { label: "Status", sort: "status", template: "minmax(170px, 3fr)" },
    { label: "Model calls", sort: "model_calls", number: true, template: "84px" },
    { label: "Tool calls", sort: "tool_calls", number: true, template: "84px" },
    { label: "Tokens", sort: "tokens", number: true, template: "76px" },
    { label: "Time", sort: "seconds", number: true, template: "84px" },
  ];
}

function rowOf(entry, id, at, view, grouped, fields) {
  const cell = (name, ...children) => h("span", { role: "cell", class: name }, children);
  const failed = entry.reward === null;
  const what = failed ? entry.error?.message : entry.stop_reason && entry.stop_reason !== "completed" ? words(entry.stop_reason) : "";
  return {
    key: entry.n,
    href: hrefOf(["runs", id, "rollouts", entry.n], listQuery()),
    cells: [
      cell("number soft minor", entry.n),
      cell("task", h("bdi", { title: entry.task_id }, entry.task_id), h("span", { class: "soft" }, repeatMark(entry, view.repeats > 1))),
      cell("", rewardMark(entry.reward, at)),
      grouped && cell("minor", rewardMark(entry.group_reward, at)),
      ownComponents(view, fields).map((name) => cell("number field", h("span", { class: "field-name", "aria-hidden": "true" }, `${name} `), score(entry.components[name]))),
      fieldCells(fields, entry, view),
      cell("", statePill(entry.status), " ", h("span", { class: failed ? "bad-text" : "soft", title: what }, what)),
      cell("number minor", whole(entry.model_calls)),
      cell("number minor", entry.tool_errors > 0 && h("span", { class: "bad-text" }, `${entry.tool_errors} bad / `), whole(entry.tool_calls)),
      cell("number minor", short(entry.input_tokens + entry.output_tokens)),
      cell("number", seconds(entry.seconds)),
    ],
  };
}

/** What the list was filtered and sorted by: a rollout's page goes back to it. */
function listQuery() {
  const { query } = here();
  return { ...filters(query), sort: query.get("sort"), column: chosenColumns(query) };
}

/** What stands in the files of the run, for whoever wants all of it. */
export function filesPanel(view) {
  return panel("Files", facts(view.files.map((file) => [file.name, bytes(file.bytes)])), view.manifest && jsonTree(view.manifest, 2));
}
