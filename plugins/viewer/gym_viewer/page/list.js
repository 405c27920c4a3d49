// A list of as many rows as there are: only those in sight exist, and are asked for by pages.

import { fill, h } from "./dom.js";
import { whole } from "./format.js";

const PAGE_ROWS = 100;
const PAGES_KEPT = 40;
const GAP = 14; // between columns, in pixels
const LINE = 22;
const TALLEST = 12000000; // browsers lay out no element that is much taller: above it, one pixel stands for several

/**
 * `columns`: `{label, title, sort, number, line, template}`, a template with its least width in pixels, `line`: whether it has
 * a line of its own where there is little room; `load(offset, limit)` gives `{matched, rows}`; `draw(row)` gives
 * cells and `{href, label}`; `signal`: aborted when the list is left.
 */
export class RolloutList {
  constructor({ columns, load, draw, sortBy, loaded, signal, rowHeight = 44, narrowHeight = 68, label }) {
    Object.assign(this, { load, draw, loaded, columns, sortBy });
    this.narrow = matchMedia("(max-width: 720px)");
    this.heights = { rowHeight, narrowHeight };
    this.pages = new Map();
    this.count = 0;
    this.active = -1;
    this.asked = 0;
    this.fresh = new Set();
    this.spacer = h("div", { "aria-hidden": "true" });
    this.body = h("div", { role: "rowgroup" });
    this.scroll = h("div", { class: "scroll", tabindex: "0", role: "presentation", onscroll: () => this.#paint() }, this.spacer, this.body);
    this.head = h("div", { class: "head", role: "row" });
    this.root = h("div", { class: "list", role: "table", "aria-label": label },
      h("div", { class: "wide-rows" }, h("div", { role: "rowgroup" }, this.head), this.scroll));
    this.foot = h("p", { class: "foot soft" });
    this.order = h("select", { class: "order", "aria-label": "Order of the list", onchange: () => sortBy.set(this.order.value) });
    this.whole = h("div", {}, this.order, this.root, this.foot);
    this.setColumns(columns);
    this.narrow.addEventListener("change", () => this.#size(), { signal });
    new ResizeObserver(() => this.#paint()).observe(this.scroll);
  }

  get height() {
    return this.narrow.matches ? this.heights.narrowHeight + this.lines * LINE : this.heights.rowHeight;
  }

  /** Other columns than before: those that `draw` gives cells for from now on. */
  setColumns(columns) {
    this.columns = columns;
    this.lines = columns.filter((column) => column.line).length;
    this.root.style.setProperty("--columns", columns.map((column) => column.template).join(" "));
    const least = columns.reduce((sum, { template }) => sum + Number(/(\d+)px/.exec(template)[1]) + GAP, 0);
    this.root.style.setProperty("--least", `${least}px`);
  }

  /** Ask for everything anew. `keep`: stay where one is; `fresh`: the rows that have just come. */
  async reload({ keep = false, fresh = [] } = {}) {
    const asked = ++this.asked;
    this.fresh = new Set(fresh);
    if (!keep) {
      this.scroll.scrollTop = 0;
      this.active = -1;
    }
    const first = keep ? Math.floor(this.#top() / PAGE_ROWS) : 0;
    const answer = await this.load(first * PAGE_ROWS, PAGE_ROWS);
    if (asked !== this.asked || !answer) return;
    this.pages.clear();
    this.pages.set(first, answer.rows);
    this.count = answer.matched;
    this.root.setAttribute("aria-rowcount", String(this.count + 1));
    this.loaded?.(answer);
    this.#head();
    this.#size();
  }

  /** The next row, the previous one. */
  move(step) {
    if (!this.count) return;
    this.active = Math.max(0, Math.min(this.count - 1, this.active + step));
    const at = this.active, seen = this.#seen();
    if (at < this.#top() + 0.5) this.#to(at);
    else if (at > this.#top() + seen - 1.5) this.#to(at - seen + 1);
    this.root.scrollIntoView({ block: "nearest" });
    this.#paint();
  }

  open() {
    this.body.querySelector(".active")?.click();
  }

  #head() {
    const sort = this.sortBy.now();
    fill(this.order, this.columns.filter((column) => column.sort).flatMap((column) => [["", "lowest first"], ["-", "highest first"]].map(([sign, how]) =>
      h("option", { value: sign + column.sort, selected: sort === sign + column.sort }, `by ${column.label}, ${how}`))));
    fill(this.head, this.columns.map((column) => {
      const order = sort === column.sort ? "ascending" : sort === `-${column.sort}` ? "descending" : null;
      const next = order === "descending" || (!order && !column.number) ? column.sort : `-${column.sort}`;
      return h("span", { role: "columnheader", class: column.number ? "number" : null, "aria-sort": column.sort ? order ?? "none" : null },
        column.sort ? h("button", { type: "button", title: column.title, onclick: () => this.sortBy.set(next) }, column.label) : h("span", { title: column.title }, column.label));
    }));
  }

  #size() {
    this.full = this.count * this.height;
    this.tall = Math.min(this.full, TALLEST);
    this.spacer.style.height = `${this.tall}px`;
    this.scroll.style.height = `${Math.min(this.full, 4000)}px`;
    this.root.style.setProperty("--bar", `${this.scroll.offsetWidth - this.scroll.clientWidth}px`); // the head stands above the rows alone
    this.#paint();
  }

  /** The row at the upper edge, with a fraction. */
  #top() {
    if (this.full <= this.tall || !this.full) return this.scroll.scrollTop / this.height;
    const room = this.tall - this.scroll.clientHeight;
    return room > 0 ? (this.scroll.scrollTop / room) * (this.count - this.#seen()) : 0;
  }

  #to(row) {
    if (this.full <= this.tall) this.scroll.scrollTop = row * this.height;
    else this.scroll.scrollTop = (row / (this.count - this.#seen())) * (this.tall - this.scroll.clientHeight);
  }

  #seen() {
    return this.scroll.clientHeight / this.height;
  }

  #paint() {
    const top = this.#top();
    const from = Math.max(0, Math.floor(top) - 4), to = Math.min(this.count, Math.ceil(top + this.#seen()) + 4);
    const rows = [];
    for (let at = from; at < to; at += 1) rows.push(this.#row(at, this.scroll.scrollTop + (at - top) * this.height));
    const focused = document.activeElement?.dataset?.row;
    fill(this.body, rows);
    if (focused) this.body.querySelector(`[data-row="${focused}"]`)?.focus({ preventScroll: true });
    const first = Math.min(Math.floor(top + 0.5) + 1, this.count), last = Math.min(this.count, Math.floor(top + this.#seen() + 0.5));
    const all = !this.count || (first <= 1 && last >= this.count);
    fill(this.foot, all ? "" : `${whole(first)} to ${whole(last)} of ${whole(this.count)}${last < this.count ? ": scroll for more" : ""}`);
    this.#fetch(Math.floor(from / PAGE_ROWS), Math.floor(Math.max(from, to - 1) / PAGE_ROWS));
  }

  #row(at, y) {
    const row = this.pages.get(Math.floor(at / PAGE_ROWS))?.[at % PAGE_ROWS];
    const attributes = { role: "row", "aria-rowindex": String(at + 2), "data-row": String(at) };
    let element;
    if (row) {
      const { cells, href, key } = this.draw(row);
      element = h("a", { ...attributes, href, class: `row ${at === this.active ? "active" : ""} ${this.fresh.has(key) ? "new" : ""}`, onfocus: () => { this.active = at; } }, cells);
    } else {
      element = h("div", { ...attributes, class: "row pending" }, h("span", { role: "cell" }, `row ${whole(at + 1)} …`));
    }
    element.style.top = `${y}px`;
    element.style.setProperty("--row", `${this.height}px`);
    return element;
  }

  async #fetch(first, last) {
    for (let page = first; page <= last; page += 1) {
      if (this.pages.has(page) || page * PAGE_ROWS >= this.count) continue;
      const asked = this.asked;
      this.pages.set(page, undefined);
      // Whoever drags the bar passes many pages: only those that are stayed at are asked for.
      await new Promise((resolve) => setTimeout(resolve, 60));
      const top = Math.floor(this.#top() / PAGE_ROWS), end = Math.floor((this.#top() + this.#seen()) / PAGE_ROWS);
      const answer = page < top - 1 || page > end + 1 ? null : await this.load(page * PAGE_ROWS, PAGE_ROWS).catch(() => null);
      if (asked !== this.asked) return;
      if (!answer) {
        this.pages.delete(page);
        continue;
      }
      this.pages.delete(page);
      this.pages.set(page, answer.rows);
      while (this.pages.size > PAGES_KEPT) this.pages.delete(this.pages.keys().next().value);
      this.#paint();
    }
  }
}
