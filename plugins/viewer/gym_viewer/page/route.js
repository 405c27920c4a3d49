// Every state of the page is a link: a path and a query behind the `#`, which an exported file has as well.

/** A place in the viewer. `parts`: of the path; `query`: a `URLSearchParams`. */
export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { parts: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** `hrefOf(["runs", id], {sort: "-reward"})`; what is empty is left out, a list is given several times. */
export function hrefOf(parts, query = {}) {
  const pairs = new URLSearchParams();
  const entries = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  for (const [name, value] of entries) {
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") pairs.append(name, one);
  }
  const text = pairs.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** What selects the rollouts of a list, by the names that the query and the API have for it. */
export const FILTERS = ["status", "stop_reason", "cause", "actor", "min_reward", "max_reward", "task", "repeat", "text", "where"];

/** The filters of the query, as the API takes them. */
export function filters(query) {
  return Object.fromEntries(FILTERS.map((name) => [name, query.getAll(name)]).filter(([, values]) => values.length));
}

/** The query with the values of each name in a list, as `hrefOf` takes it. */
export function listsOf(query) {
  return Object.fromEntries([...query.keys()].map((name) => [name, query.getAll(name)]));
}

/** Change some of the query: a new entry of the history, or, while somebody types, the same one. */
export function setQuery(changes, { replace = false } = {}) {
  const { parts, query } = here();
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== undefined && one !== "") query.append(name, one);
  }
  const target = hrefOf(parts, query);
  if (target === location.hash) return;
  if (!replace) {
    location.hash = target;
    return;
  }
  history.replaceState(history.state, "", target);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
