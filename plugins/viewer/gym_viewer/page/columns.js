// Which columns the list of rollouts has besides its own: any field of the task, of the info of the verdict, its
// components, kept in the query as `column`.

import { fill, h } from "./dom.js";
import { here, setQuery } from "./route.js";

const SHOWN_AT_ONCE = 60; // names in the list of them; any other is typed
const MOST = 24;

/** The paths of the fields that somebody has chosen, in their order. */
export function chosenColumns(query) {
  return [...new Set(query.getAll("column"))].slice(0, MOST);
}

/** The components that a list shows unasked: two, where nobody has chosen them. */
export function ownComponents(view, paths) {
  return view.components.slice(0, 2).filter((name) => !paths.includes(view.paths.component + name));
}

/** Columns of a list for fields. `known`: the names that one can sort by. */
export function fieldColumns(paths, view) {
  const known = new Set(view.fields.map((field) => field.name));
  return paths.map((path) => {
    const component = path.startsWith(view.paths.component), name = shortName(path, view);
    return {
      label: name, title: path, line: true, template: "minmax(90px, 1.4fr)", number: component,
      sort: component ? `component:${name}` : known.has(path) ? `field:${path}` : null,
    };
  });
}

/** The cells of a row for them. */
export function fieldCells(paths, entry, view) {
  return paths.map((path) => {
    const value = entry.values?.[path];
    const none = value === null || value === undefined;
    const text = typeof value === "number" ? String(Number(value.toPrecision(12))) : String(value);
    return h("span", { role: "cell", class: path.startsWith(view.paths.component) ? "field number" : "field", title: none ? null : `${path}: ${text}` },
      h("span", { class: "field-name", "aria-hidden": "true" }, `${shortName(path, view)} `), none ? h("span", { class: "soft" }, "–") : h("bdi", {}, text));
  });
}

/** What the page calls a field. */
export function shortName(path, { paths }) {
  const before = [paths.info, paths.component].find((one) => path.startsWith(one)) ?? "";
  return path.slice(before.length);
}

/** A button that unfolds the choice. `view()`: the run as it is; `signal`: aborted when the page is left. */
export function columnChoice(view, signal) {
  const choice = h("div", { class: "choice" });
  const count = h("span", {});
  const root = h("details", { class: "columns", ontoggle: () => root.open && draw() }, h("summary", { class: "button" }, "Columns", count), choice);
  // wherever the focus is: before the page's own keys, of which Escape clears the filters
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !root.open) return;
    event.stopPropagation();
    root.open = false;
    root.querySelector("summary").focus();
  }, { signal, capture: true });
  // not at its target: a box that is ticked may stand there no longer once the click has come up
  addEventListener("pointerdown", (event) => {
    if (root.open && !root.contains(event.target)) root.open = false;
  }, { signal, capture: true });
  const set = (paths) => setQuery({ column: paths }, { replace: true });

  function draw() {
    const chosen = chosenColumns(here().query), run = view();
    const own = ownComponents(run, chosen).map((name) => run.paths.component + name); // they stand in the list anyway
    const names = run.fields.map((field) => field.name), components = run.components.map((name) => run.paths.component + name);
    const groups = [
      ["Fields of the task", names.filter((name) => !name.startsWith(run.paths.info))],
      ["Info of the verdict", names.filter((name) => name.startsWith(run.paths.info))],
      ["Components", components],
      ["Any other field", chosen.filter((path) => !names.includes(path) && !components.includes(path))],
    ];
    const other = h("input", { "aria-label": "Path of a field", placeholder: "its path, such as rollout.seed", size: 28 });
    const form = h("form", { onsubmit: (event) => {
      event.preventDefault();
      const path = other.value.trim();
      if (path) set([...chosenColumns(here().query), path]);
      draw();
      choice.querySelector("form input").focus();
    } }, other, h("button", {}, "Add"));
    fill(choice, groups.map(([name, paths]) => (paths.length > 0 || name.startsWith("Any")) && h("fieldset", {}, h("legend", {}, name),
      paths.slice(0, SHOWN_AT_ONCE).map((path) => h("label", {}, h("input", { type: "checkbox", checked: chosen.includes(path) || own.includes(path), disabled: own.includes(path), title: own.includes(path) ? "stands in the list anyway" : null, onchange: (event) => {
        const now = chosenColumns(here().query).filter((one) => one !== path);
        set(event.target.checked ? [...now, path] : now);
      } }), h("bdi", {}, shortName(path, run)))),
      name.startsWith("Any") && form)),
    chosen.length > 0 && h("button", { type: "button", onclick: () => { set([]); draw(); root.querySelector("summary").focus(); } }, "Take all away"));
  }
  return {
    root,
    show(query) {
      const chosen = chosenColumns(query).length;
      fill(count, chosen ? ` (${chosen})` : "");
    },
  };
}
