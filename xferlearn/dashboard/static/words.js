// Names of classes, and commands.

// A photo has one class; where it may have several, a list of them.
export function classNames({ labels }, classes) {
  if (!Array.isArray(classes)) return labels[classes];
  return classes.map((label) => labels[label]).join(", ") || "no label";
}

export function isRight({ truth, predicted }) {
  return String(truth) === String(predicted);
}

export function predictedAs(report, { truth, predicted }) {
  const named = (classes) => classNames(report, classes);
  return isRight({ truth, predicted }) ? `${named(truth)}, predicted right` : `${named(truth)}, predicted as ${named(predicted)}`;
}

// As a shell reads them: names of files and classes may hold anything.

export function shellQuoted(text) {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function modelDir(report) {
  return shellQuoted(report.settings.find(({ name }) => name === "model_dir")?.value ?? "MODEL");
}
