// Numbers, times and names as people read them. What is not known is a dash, never 0.

const DASH = "–";
const GROUPED = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

/** `plural(2, "rollout")` is "2 rollouts". */
export function plural(count, noun, nouns = `${noun}s`) {
  return `${GROUPED.format(count)} ${count === 1 ? noun : nouns}`;
}

export function whole(value) {
  return known(value) ? GROUPED.format(value) : DASH;
}

export function short(value) {
  return known(value) ? (Math.abs(value) < 10000 ? GROUPED.format(value) : SHORT.format(value)) : DASH;
}

/** A reward, a component, a difference: as many digits as tell rewards apart, and no more. */
export function score(value, digits = 3) {
  if (!known(value)) return DASH;
  if (Math.abs(value) >= 1000) return SHORT.format(value);
  return String(Number(value.toFixed(digits))).replace("-", "−");
}

/** With its sign, as differences have it. */
export function signed(value) {
  return known(value) && value > 0 ? `+${score(value)}` : score(value);
}

export function percent(share) {
  return known(share) ? `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %` : DASH;
}

export function money(value) {
  return known(value) ? `$${value >= 1 || value === 0 ? value.toFixed(2) : value.toPrecision(2)}` : DASH;
}

export function seconds(value) {
  if (!known(value)) return DASH;
  if (value < 0.001) return value === 0 ? "0 s" : "<1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  if (value < 3600) return `${Math.round(value / 60)} min`;
  return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
}

export function bytes(value) {
  if (!known(value)) return DASH;
  const unit = value >= 1e9 ? [1e9, "GB"] : value >= 1e6 ? [1e6, "MB"] : value >= 1e3 ? [1e3, "kB"] : [1, "B"];
  return `${Number((value / unit[0]).toFixed(1))} ${unit[1]}`;
}

/** A moment, given as ISO text or seconds since the epoch. */
export function moment(value) {
  const date = asDate(value);
  if (!date) return DASH;
  const sameYear = date.getFullYear() === new Date().getFullYear();
  return date.toLocaleString("en", {
    day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
    ...(sameYear ? {} : { year: "numeric" }),
  });
}

/** A moment in full, for tooltips. */
export function exactMoment(value) {
  return asDate(value)?.toISOString() ?? "";
}

function asDate(value) {
  if (value === null || value === undefined || value === "") return null;
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  return Number.isNaN(date.getTime()) ? null : date;
}

/** Text with its middle left out, for places where a line has to do. */
export function clipped(text, length = 80) {
  const line = String(text).replace(/\s+/g, " ");
  return line.length <= length ? line : `${line.slice(0, length - 1)}…`;
}

/** What `completed` and `model_error` are called on the page. */
export function words(name) {
  return String(name ?? "").replaceAll("_", " ");
}
