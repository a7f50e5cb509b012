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
  return answer.action === "keep" ? "kept" : labelText(answer.labels);
}

// The labels of a photo; null where nobody has given it any yet.
export function labelText(labels) {
  if (labels === null) return "no label";
  return labels.length ? labels.join(" + ") : "none of the classes";
}

export function areSame(some, others) {
  return JSON.stringify(some) === JSON.stringify(others);
}

// What a photo is labelled as, and what it is to be: as edited or answered, else as proposed.
export function changeText(item, answer, edited) {
  const is = labelText(item.labels);
  const to = edited ? labelText(edited) : answer ? answerText(answer) : item.proposed ? labelText(item.proposed) : is;
  return to === is ? is : `${is} → ${to}`;
}

export function measureText(value, measure) {
  return measure === "accuracy" ? percent(value) : value.toFixed(3);
}

export function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
