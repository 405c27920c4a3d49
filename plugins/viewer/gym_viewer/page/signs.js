// What looks wrong with a run although nothing failed: what somebody who reads all of it would have stopped at.

import { percent, plural, score, whole, words } from "./format.js";

const ENOUGH = 4; // rollouts, below which sameness says nothing
const OF_WHAT = { "tool-never-works": "call" };

/**
 * Sentences about a run, each with the query that shows the rollouts it is about, or with some of those. `health`: what
 * `gym health` finds, null as long as that is not known.
 */
export function signsOf(view, health) {
  const count = view.entry.rollouts ?? 0;
  const found = (health?.findings ?? []).map((finding) => ({
    text: `${finding.text[0].toUpperCase()}${finding.text.slice(1)}: ${whole(finding.count)} of ${plural(finding.of, OF_WHAT[finding.check] ?? "rollout")}.`,
    rollouts: finding.rollouts,
  }));
  const told = new Set(health?.findings.map((finding) => finding.check));
  return [
    ...(told.has("same-reward") ? [] : sameNumbers(view)), ...found, ...failures(view, count), ...groupFailures(view),
    ...(told.has("cut-and-rewarded") ? [] : cutRollouts(view, count)), ...toolErrors(view), ...odd(view),
  ];
}

function sameNumbers(view) {
  return view.histograms.filter((one) => one.count >= ENOUGH && one.values.length === 1).map((one) => {
    const what = one.name === "reward" ? "The reward" : `The component ${one.name}`;
    return { text: `${what} is ${score(one.values[0][0])} in all ${plural(one.count, "rollout")}: a verifier that never varies tells nothing apart.` };
  });
}

function failures(view, count) {
  const failed = view.entry.failed ?? 0;
  if (!failed || failed < 0.05 * (failed + count)) return [];
  return [{ text: `${plural(failed, "rollout")} failed (${percent(failed / (failed + count))}); the mean leaves them out.`, query: { status: "failed" } }];
}

function groupFailures(view) {
  const { failed = 0, scored = 0, errors = [] } = view.account?.groups ?? {};
  return errors.map((error) => ({ text: `${whole(error.count)} of ${plural(failed + scored, "group")} could not be scored: ${error.class}: ${error.example}` }));
}

function cutRollouts(view, count) {
  const cut = view.statuses.truncated ?? 0;
  if (!cut || cut < 0.1 * count) return [];
  const reasons = Object.keys(view.stop_reasons).filter((reason) => reason !== "completed").map(words).join(", ");
  return [{ text: `${plural(cut, "rollout")} of ${count} ${cut === 1 ? "was" : "were"} cut short (${reasons}).`, query: { status: "truncated" } }];
}

function toolErrors(view) {
  const { calls = 0, errors = {} } = view.account?.tools ?? {};
  const wrong = Object.values(errors).reduce((sum, one) => sum + one, 0);
  if (!wrong || wrong < 0.1 * calls) return [];
  return Object.entries(errors).map(([kind, one]) => ({
    text: `${whole(one)} of ${plural(calls, "tool call")} went wrong: ${words(kind)}.`, query: { where: `rollout.tools.errors.${kind}>0` },
  }));
}

function odd(view) {
  const texts = { empty: "said nothing at all", reasoning_only: "ended in reasoning without an answer", refusal: "ended in a refusal", content_filter: "were filtered" };
  return Object.entries(texts).filter(([reason]) => view.stop_reasons[reason]).map(([reason, what]) => ({
    text: `${plural(view.stop_reasons[reason], "rollout")} ${what}.`, query: { stop_reason: reason },
  }));
}
