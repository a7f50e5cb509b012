// Numbers as people read them.

export const NONE = "–";

// Beside an accuracy that is too high.
export const SEEN = "on photos it has learned from";

export function percent(share, digits = 1) {
  return share === null || share === undefined ? NONE : `${(share * 100).toFixed(digits)}%`;
}

// A score of 0.998 must not read as certainty.
export function score(share) {
  if (share < 1 && share >= 0.995) return ">99%";
  return percent(share, 0);
}

export function interval([low, high]) {
  return `${(low * 100).toFixed(1)}–${(high * 100).toFixed(1)}%`;
}

// Of few photos the interval says more than the accuracy, and is as large.
export function intervalClass(evaluation) {
  return evaluation.few ? "few" : "faint";
}

// Out-of-fold predictions are of all photos but the test's: they tell more than the test does.
// Without test photos those that were held out for validation tell all.
export function mainSplit({ evaluations: { validation, test } }) {
  return validation?.folding || !test?.n ? "validation" : "test";
}

export function splitName({ evaluations }, split) {
  return split === "validation" && evaluations.validation?.folding ? "cross-validated" : split;
}

export function accuracyTitle(split, evaluation) {
  const measure = evaluation?.measure ?? "accuracy";
  if (split === "test") return `Test ${measure}`;
  return `${evaluation?.folding ? "Cross-validated" : "Validation"} ${measure}`;
}

export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

export function seconds(value) {
  const whole = Math.round(value);
  if (whole >= 120) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export function rate(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

export function total(timings) {
  return Object.values(timings.seconds ?? {}).reduce((sum, value) => sum + value, 0);
}

export function sum(values) {
  return values.reduce((all, value) => all + value, 0);
}

// The value of a setting as one would type it.
export function settingText(value) {
  if (value === null || value === undefined || value === "") return "not set";
  if (Array.isArray(value)) return value.join(", ");
  if (typeof value === "object") return Object.entries(value).map(([name, number]) => `${name}=${number}`).join(", ");
  return String(value);
}
