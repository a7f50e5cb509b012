// Numbers and names as a person reads them.

export function percent(share, digits = 1) {
  const text = (100 * share).toFixed(digits);
  // 100.0% would claim too much.
  return share < 1 && Number(text) === 100 ? `>${(100 - 10 ** -digits).toFixed(digits)}%` : `${text}%`;
}

export function points(difference) {
  const text = Math.abs(100 * difference).toFixed(1);
  if (text === "0.0") return "±0.0";
  return `${difference < 0 ? "−" : "+"}${text}`;
}

export function count(number, noun, plural = `${noun}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? noun : plural}`;
}

export function sizeOf(detail) {
  const bytes = detail.bytes < 1e6 ? `${Math.max(1, Math.round(detail.bytes / 1e3))} kB` : `${(detail.bytes / 1e6).toFixed(1)} MB`;
  return `${detail.width} × ${detail.height} px, ${bytes}`;
}

export function answerText(answer) {
  if (answer.action === "exclude") return "excluded";
  return answer.action === "keep" ? "kept" : answer.label;
}

export function labelText(label) {
  return label === "" ? "no label" : label;
}
