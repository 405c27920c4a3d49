// The exact tokens of a rollout: what a trainer would train on.

import { ask, runPath } from "./api.js";
import { fill, h } from "./dom.js";
import { plural, score, short, whole } from "./format.js";
import { panel, rewardMark, statePill } from "./parts.js";
import { hrefOf, setQuery } from "./route.js";
import { rolloutName, tabLinks } from "./rollout.js";

const CHUNK = 2000;
const DOUBT = 4; // nats, at which a token has the full colour

export async function tokensPage(route, page) {
  const [, run, , n] = route.parts;
  const chosen = Number(route.query.get("sequence") ?? 0);
  const [view, tokens] = await Promise.all([
    ask(runPath(run, "rollouts", n), {}, page.signal),
    ask(runPath(run, "rollouts", n, "tokens"), { sequence: chosen, offset: 0, limit: CHUNK }, page.signal),
  ]);
  const name = rolloutName(view.entry, view.others.length > 0);
  page.title(`Tokens of ${name}`);
  page.crumbs([{ label: view.run.name, href: hrefOf(["runs", run]) }, { label: name, href: hrefOf(["runs", run, "rollouts", n]) }, { label: "Tokens" }]);
  fill(page.root,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, h("bdi", {}, name)), h("p", { class: "under" }, statePill(view.entry.status), rewardMark(view.entry.reward)))),
    h("nav", { class: "tabs", "aria-label": "Views of this rollout" }, tabLinks(view, run, n, route)),
    calls(tokens, run, n), sequences(tokens), stretch(tokens, run, n, page.signal));
  page.updated = null;
  page.keys = { Escape: () => { location.hash = hrefOf(["runs", run, "rollouts", n]); } };
}

function calls({ calls: all }, run, n) {
  if (!all.length) return null;
  const cells = (call) => [
    h("td", {}, h("a", { href: hrefOf(["runs", run, "rollouts", n], { turn: call.turn, actor_turn: call.actor === "policy" ? "" : call.actor }) }, `${call.actor === "policy" ? "" : `${call.actor}, `}turn ${call.turn}`)),
    h("td", { class: "number" }, whole(call.kept)), h("td", { class: "number" }, whole(call.prompt)), h("td", { class: "number" }, whole(call.sampled)),
    h("td", { class: "number" }, score(call.mean_logprob)), h("td", {}, call.version ?? "–"),
    h("td", {}, call.problem ? h("span", { class: "bad-text" }, call.problem) : call.broken ? h("span", { class: "bad-text" }, "break: what was sampled before came back encoded otherwise") : ""),
  ];
  return h("section", { class: "panel spaced" }, h("header", {}, h("h2", {}, "Model calls")), h("div", { class: "table-wrap" }, h("table", {},
    h("thead", {}, h("tr", {}, ["Turn", "Kept", "Read anew", "Sampled", "Mean log probability", "Weights", ""].map((label, column) => h("th", { scope: "col", class: column > 0 && column < 5 ? "number" : null }, label)))),
    h("tbody", {}, all.map((call) => h("tr", {}, cells(call)))))));
}

function sequences({ sequences: all, sequence }) {
  if (!all.length) return h("section", { class: "panel spaced empty" }, h("p", {}, "No model call has usable tokens, so there is no sequence to train on."));
  return h("nav", { class: "branches", "aria-label": "Sequences" }, all.map((one, at) => h("a", { href: "#", "aria-current": at === sequence ? "true" : null,
    onclick: (event) => { event.preventDefault(); setQuery({ sequence: at }); } },
  `${one.actor}, ${one.turns.length > 1 ? `turns ${one.turns[0]}–${one.turns.at(-1)}` : `turn ${one.turns[0]}`}: ${short(one.length)} tokens, ${short(one.trained)} trained${one.versions.length ? `, weights ${one.versions.join(", ")}` : ""}`)));
}

function stretch(first, run, n, signal) {
  if (!first.sequences.length) return null;
  const box = h("div", { class: "tokens" }), foot = h("div", {});
  const starts = new Map(first.starts);
  let shown = 0;
  function add({ ids, mask, logprobs, offset }) {
    const drawn = document.createDocumentFragment();
    ids.forEach((id, at) => {
      const turn = starts.get(offset + at);
      if (turn !== undefined) drawn.append(h("span", { class: "repeat" }, `turn ${turn}`), " ");
      drawn.append(token(id, mask[at], logprobs[at]));
    });
    box.append(drawn);
    shown = offset + ids.length;
    fill(foot, shown < first.total && h("button", { type: "button", onclick: more }, `${plural(first.total - shown, "more token")}`));
  }
  async function more() {
    add(await ask(runPath(run, "rollouts", n, "tokens"), { sequence: first.sequence, offset: shown, limit: CHUNK }, signal));
  }
  add(first);
  const about = first.sequences[first.sequence];
  return panel("Sequence", h("p", { class: "soft legend" }, h("span", {}, h("span", { class: "token id shown" }, "shown"), `mask 0, ${plural(about.length - about.trained, "token")}`),
    h("span", {}, h("span", { class: "token id sampled", vars: { doubt: "0" } }, "sampled"), `mask 1, ${plural(about.trained, "token")}`), h("span", {}, "sure", h("span", { class: "scale" }), "surprised")), box, foot);
}

function token(id, trained, logprob) {
  if (!trained) return h("span", { class: "token id shown", title: `${id}, shown` }, String(id));
  const said = `${id}, sampled: log probability ${score(logprob, 4)}, ${(100 * Math.exp(logprob)).toPrecision(3)} %`;
  return h("span", { class: "token id sampled", title: said, vars: { doubt: Math.min(1, -logprob / DOUBT) } }, String(id));
}
