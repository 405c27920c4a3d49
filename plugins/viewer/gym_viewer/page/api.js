// Where answers come from: the server that sent this page, or, in a page that was exported, the page itself. What they
// look like is written down in `api/shapes.py`.

const PAGE = 100;

/** Why there is no answer, and what to do. */
export class Problem extends Error {
  constructor(message, hint = "", status = 0) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

const holder = document.getElementById("gym-data");
const embedded = holder ? JSON.parse(holder.textContent) : null;

/** The page that an exported file begins with; null where there is a server. */
export const exportedStart = embedded ? embedded.start || "#/" : null;

/** The answer to a request. `query`: values by name; a list stands for a parameter that is given several times. */
export async function ask(path, query = {}, signal = undefined) {
  if (embedded) return fromPage(path, query);
  let response;
  try {
    response = await fetch(withQuery(path, query), { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("the viewer does not answer", "it may have been ended: start it again with `gym view`");
  }
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => null);
  throw new Problem(problem?.error ?? `the viewer answered ${response.status}`, problem?.hint ?? "", response.status);
}

/** The path of a run, a rollout or what is below them. */
export function runPath(run, ...more) {
  return ["/api/runs", run, ...more].map((part, n) => (n ? encodeURIComponent(part) : part)).join("/");
}

/** Where the raw row can be had as a file; null in an exported page. */
export function rawUrl(run, n) {
  return embedded ? null : runPath(run, "rollouts", n, "raw");
}

/** Be told what happens in a run: `heard(name, data)` until the signal ends it. */
export function listen(run, signal, heard) {
  if (embedded) return;
  const source = new EventSource(runPath(run, "events"));
  for (const name of ["progress", "added", "replaced"]) {
    source.addEventListener(name, (event) => heard(name, event.data ? JSON.parse(event.data) : null));
  }
  signal.addEventListener("abort", () => source.close());
}

function withQuery(path, query) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) {
      if (one !== null && one !== undefined && one !== "") pairs.append(name, one);
    }
  }
  const text = pairs.toString();
  return text ? `${path}?${text}` : path;
}

// An exported page: lists are whole in it, so they are selected, sorted and paged here.

const CELL = 100;
const texts = {}; // by path, made when somebody searches
const KEYED = ["field", "branch", "sequence"]; // parts of a query that have an answer of their own

function fromPage(path, query) {
  if (path.endsWith("/neighbours")) return beside(path.split("/").slice(0, -2).join("/"), decodeURIComponent(path.split("/").at(-2)), query);
  const own = KEYED.filter((name) => query[name] !== undefined).map((name) => embedded.answers[withQuery(path, { [name]: query[name] })]);
  const answer = own.find((one) => one !== undefined) ?? embedded.answers[path];
  const others = ["branch", "sequence"].some((name) => query[name] !== undefined && answer?.[name] !== undefined && answer[name] !== Number(query[name]));
  if (answer === undefined || others) throw new Problem("this was not exported", "the page of `gym view` has all of the run", 404);
  if (path.endsWith("/rollouts") && Array.isArray(answer.rollouts)) return selected(path, answer, query);
  if (Array.isArray(answer.tasks)) return pageOf(answer, "tasks", sortedTasks(answer.tasks, query), query);
  if (Array.isArray(answer.items)) return pageOf(answer, "items", answer.items, query);
  if (Array.isArray(answer.spans)) return pageOf(answer, "spans", answer.spans, query);
  return answer;
}

/** What stands before and after a rollout in the list that the query asks for. */
function beside(path, n, query) {
  const { where, ...known } = query;
  const { rollouts } = selected(path, embedded.answers[path], { ...known, limit: Infinity });
  const at = rollouts.findIndex((entry) => entry.n === n);
  return { previous: rollouts[at - 1]?.n ?? null, next: at < 0 ? null : rollouts[at + 1]?.n ?? null, search: null };
}

function pageOf(answer, name, all, query) {
  const offset = Number(query.offset ?? 0);
  return { ...answer, total: all.length, offset, [name]: all.slice(offset, offset + Number(query.limit ?? PAGE)) };
}

function selected(path, answer, query) {
  if ([query.where ?? []].flat().length) throw new Problem("an exported page has no whole rows to look into", "`gym view` and `gym show --where` do");
  const found = answer.rollouts.filter((entry) => selects(entry, `${path}/${encodeURIComponent(entry.n)}`, query));
  sortBy(found, query.sort ?? "n", rolloutKey);
  const page = pageOf(answer, "rollouts", found, query);
  const columns = [query.column ?? []].flat();
  if (columns.length) page.rollouts = page.rollouts.map((entry) => ({ ...entry, values: Object.fromEntries(columns.map((one) => [one, valueOf(entry, one, `${path}/${encodeURIComponent(entry.n)}`)])) }));
  return { ...page, total: answer.rollouts.length, matched: found.length, search: null };
}

/** `path`: of the answers about the rollout. */
function selects(entry, path, query) {
  const wanted = (name) => [query[name] ?? []].flat().filter((value) => value !== "");
  const status = wanted("status");
  if (status.length && !status.some((one) => one === entry.status || (one === "failed" && entry.reward === null))) return false;
  const reasons = wanted("stop_reason");
  if (reasons.length && !reasons.includes(entry.stop_reason)) return false;
  if (query.min_reward && !(entry.reward !== null && entry.reward >= Number(query.min_reward))) return false;
  if (query.max_reward && !(entry.reward !== null && entry.reward <= Number(query.max_reward))) return false;
  const [task, repeat, actor, cause, text] = ["task", "repeat", "actor", "cause", "text"].map((name) => wanted(name)[0]);
  if (task && !entry.task_id.toLowerCase().includes(task.toLowerCase())) return false;
  if (repeat && entry.repeat !== Number(repeat)) return false;
  if (actor && !embedded.answers[path].actors.some((one) => one.name === actor)) return false;
  if (cause && (entry.reward !== null || cause !== causeOf(entry))) return false;
  if (text && !said(path).includes(JSON.stringify(text).slice(1, -1).toLowerCase())) return false;
  return true;
}

/** What stands in a column: a field of the task, of the verdict's info, a component, or what the page knows besides. */
function valueOf(entry, column, path) {
  if (Object.hasOwn(entry.fields, column)) return entry.fields[column];
  const { task, verdict, about } = embedded.answers[path], row = Object.create(null);
  for (const field of task.fields) row[field.name] = field.json && !field.cut ? JSON.parse(field.text) : field.text;
  if (Object.hasOwn(row, column)) return cellOf(row[column]);
  row.task_id = entry.task_id;
  row.reward = entry.reward;
  row.reward_components = entry.components;
  row.rollout = { ...entry, ...Object.fromEntries(about.map((field) => [field.name, field.text])), info: verdict.info ? JSON.parse(verdict.info) : null };
  const found = column.split(".").reduce((value, name) => (value !== null && typeof value === "object" && Object.hasOwn(value, name) ? value[name] : null), row);
  return cellOf(found);
}

function cellOf(value) {
  const text = value !== null && typeof value === "object" ? JSON.stringify(value) : value;
  return typeof text === "string" && text.length > CELL ? `${text.slice(0, CELL - 1)}…` : text;
}

/** As a run's causes say it. */
function causeOf({ status, error }) {
  return JSON.stringify([status, error?.error_class ?? "", error?.phase ?? ""]);
}

/** All that the page knows of a rollout, in small letters. */
function said(path) {
  texts[path] ??= Object.entries(embedded.answers).filter(([name]) => name === path || name.startsWith(`${path}/`))
    .map(([, answer]) => JSON.stringify(answer)).join().toLowerCase();
  return texts[path];
}

function rolloutKey(entry, name) {
  if (name.startsWith("component:")) return entry.components[name.slice(10)];
  if (name.startsWith("field:")) return entry.fields[name.slice(6)];
  const keys = { task: "task_id", finished: "finished_at", n: null };
  if (name === "n") return Number(entry.n.replace(/^f/, "")) + (entry.n.startsWith("f") ? 1e12 : 0);
  if (name === "tokens") return entry.input_tokens + entry.output_tokens;
  return entry[keys[name] ?? name];
}

function sortedTasks(tasks, query) {
  const keys = { task: "task_id", spread: null };
  const found = tasks.filter((task) => !query.text || task.task_id.toLowerCase().includes(query.text.toLowerCase()));
  return sortBy(found, query.sort ?? "task", (task, name) =>
    name === "spread" ? (task.highest ?? 0) - (task.lowest ?? 0) : task[keys[name] ?? name]);
}

function sortBy(rows, sort, key) {
  const down = sort.startsWith("-"), name = down ? sort.slice(1) : sort;
  return rows.sort((a, b) => {
    const [x, y] = [key(a, name), key(b, name)];
    if (x === y) return 0;
    if (x === null || x === undefined) return 1; // what is not known comes last, either way
    if (y === null || y === undefined) return -1;
    return (x < y ? -1 : 1) * (down ? -1 : 1);
  });
}
