// Elements. Text that came from models, tools and tasks enters the page here and nowhere else, as text nodes and
// attributes: there is no innerHTML in these modules, and the content security policy forbids inline code besides.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `props` are attributes, `on…` functions listeners, `vars` custom properties of CSS. */
export function h(tag, props, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same of SVG. */
export function svg(tag, props, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "vars") for (const [key, own] of Object.entries(value)) element.style.setProperty(`--${key}`, own);
    else if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A word for screen readers alone. */
export function hidden(text) {
  return h("span", { class: "sr" }, text);
}

const ICONS = {
  back: "M10 3 5 8l5 5",
  forward: "m6 3 5 5-5 5",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7Z",
  link: "M6.5 9.5l3-3M7 4.5l1.5-1.5a2.8 2.8 0 0 1 4 4L11 8.5M9 11.5 7.5 13a2.8 2.8 0 0 1-4-4L5 7.5",
  tool: "M10.5 2.5a3.5 3.5 0 0 0-3.300 4.600L2.5 11.800l1.700 1.700 4.700-4.700a3.5 3.5 0 0 0 4.400-4.5L11.200 6.400 9.600 4.800l2.100-2.100a3.5 3.5 0 0 0-1.200-.2Z",
  alert: "M8 2 1.5 13.5h13L8 2ZM8 6.5v3.5M8 11.600v.4",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.300 10.300 14 14",
};

/** A small drawing beside a word, which is what is read out. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));
}

/** Whoever cannot see that something happened is told. */
export function announce(text) {
  document.getElementById("said").textContent = text;
}
