// Charts as SVG and HTML: each has its numbers in words beside it, and bars that filter are buttons.

import { h, hidden, svg } from "./dom.js";
import { plural, score, seconds, short } from "./format.js";

/** Where a reward stands between the lowest and the highest that were seen, or between 0 and 1 where those hold them. */
export function scaleOf(low, high) {
  const from = Math.min(low ?? 0, 0);
  const to = Math.max(high ?? 1, from < 0 && (high ?? 1) <= 0 ? 0 : 1);
  return (value) => (to > from ? Math.max(0, Math.min(1, (value - from) / (to - from))) : 1);
}

/**
 * Bars over the range of a number. `bins`: `{low, high, count}` in order; `pick(bin)`, where there is one, is told which
 * bar was chosen.
 */
export function histogram(bins, { name, at, pick, chosen, height = 96 }) {
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const bar = (bin) => {
    const { first = bin.low, last = bin.high } = bin;
    const label = first === last ? score(first) : `${score(first)} to ${score(last)}`;
    const said = `${name} ${label}: ${plural(bin.count, "rollout")}`;
    return h(
      pick && bin.count ? "button" : "span",
      {
        class: "bar", title: said, type: pick && bin.count ? "button" : null,
        "aria-pressed": pick && bin.count ? String(Boolean(chosen?.(bin))) : null,
        vars: { share: bin.count / most, at: at((first + last) / 2) },
        onclick: pick && bin.count ? () => pick(bin) : null,
      },
      hidden(said), counted && bin.count > 0 && h("span", { class: "count", "aria-hidden": "true" }, short(bin.count)),
    );
  };
  const counted = bins.filter((bin) => bin.count).length <= 6;
  const first = bins[0], last = bins.at(-1);
  return h("div", { class: "histogram", role: "group", "aria-label": `Distribution of ${name}` },
    h("div", { class: "bars", vars: { height: `${height}px` } }, bins.map(bar)),
    first && h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, score(first.low)), h("span", {}, score(last.high))),
  );
}

/** Named amounts, one under the other. `rows`: `{label, value, share, note, title, tone, at, pick}`. */
export function barList(rows) {
  return h("ol", { class: "bar-list" }, rows.map((row) => h("li", {},
    h(row.pick ? "button" : "div",
      { type: row.pick ? "button" : null, class: `bar-row ${row.tone ?? ""}`, title: row.title ?? row.label, onclick: row.pick,
        vars: { share: row.share ?? 0, ...(row.at === undefined ? {} : { at: row.at }) } },
      h("span", { class: "label" }, h("bdi", {}, row.label)),
      h("span", { class: "track", "aria-hidden": "true" }, h("span", { class: "fill" })),
      h("span", { class: "value" }, row.value),
      row.note && h("span", { class: "note" }, row.note),
    ))));
}

/** A mean with its 95 % interval on the scale of rewards. */
export function interval(mean, low, high, at) {
  if (mean === null || mean === undefined) return null;
  return h("span", { class: "interval", "aria-hidden": "true", vars: { at: at(mean), from: at(low ?? mean), to: at(high ?? mean) } },
    h("span", { class: "whisker" }), h("span", { class: "dot" }));
}

/**
 * Numbers over time. `series`: `{name, tone, points: [[seconds, value], …], format}`; each has a scale of its own that
 * begins at 0, since latency and tokens have no unit in common.
 */
export function overTime(series, { width = 560, height = 88 } = {}) {
  const drawn = series.filter((one) => one.points.length);
  if (!drawn.length) return null;
  const from = Math.min(...drawn.map((one) => one.points[0][0]));
  const to = Math.max(...drawn.map((one) => one.points.at(-1)[0]));
  const x = (at) => (to > from ? ((at - from) / (to - from)) * (width - 8) + 4 : width / 2);
  return h("div", { class: "over-time" }, drawn.map((one) => {
    const most = Math.max(...one.points.map((point) => point[1])) || 1;
    const y = (value) => height - 6 - (value / most) * (height - 14);
    const line = one.points.map((point, n) => `${n ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("");
    const area = `${line}L${x(one.points.at(-1)[0]).toFixed(1)} ${height - 4}L${x(one.points[0][0]).toFixed(1)} ${height - 4}Z`;
    const said = `${one.name} over time, up to ${one.format(most)}`;
    return h("figure", { class: `line ${one.tone ?? ""}` },
      h("figcaption", {}, h("span", {}, one.name), h("span", { class: "soft" }, `up to ${one.format(most)}`)),
      svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said, preserveAspectRatio: "none" },
        svg("path", { class: "area", d: area }), svg("path", { class: "stroke", d: line }),
        one.points.length < 60 ? one.points.map((point) => svg("path", { class: "point", d: `M${x(point[0])} ${y(point[1])}h0` },
          svg("title", {}, `${seconds(point[0] - from)}: ${one.format(point[1])}`))) : null));
  }), h("div", { class: "ends", "aria-hidden": "true" }, h("span", {}, "start"), h("span", {}, seconds(to - from))));
}

/** What a rollout's time went to. `spans`: `{label, kind, at, seconds, waited, turn, failed, href}`, by their beginning. */
export function waterfall(spans, total) {
  const end = Math.max(total || 0, ...spans.map((span) => span.at + span.seconds), 1e-9);
  return h("ol", { class: "waterfall" }, spans.map((span) => {
    const waited = span.waited ? `, waited ${seconds(span.waited)}` : "";
    const said = `${span.label}: ${seconds(span.seconds)}${waited}, from ${seconds(span.at)}`;
    return h("li", {}, h(span.href ? "a" : "div", { href: span.href, class: `span ${span.kind} ${span.failed ? "failed" : ""}`, title: said },
      h("span", { class: "label" }, h("bdi", {}, span.label)),
      h("span", { class: "lane", "aria-hidden": "true", vars: { from: span.at / end, share: span.seconds / end, wait: (span.waited ?? 0) / end } },
        h("span", { class: "wait" }), h("span", { class: "work" })),
      h("span", { class: "value" }, seconds(span.seconds))));
  }));
}

/** Who won where: three shares of one bar. */
export function shares(parts) {
  const all = parts.reduce((sum, part) => sum + part.count, 0) || 1;
  return h("div", { class: "shares" },
    h("div", { class: "whole", "aria-hidden": "true" }, parts.map((part) => part.count > 0 && h("span", { class: part.tone, vars: { share: part.count / all } }))),
    h("ul", {}, parts.map((part) => h("li", { class: part.tone }, h("b", {}, short(part.count)), " ", part.label))));
}
