// Commands, as a shell reads them: names of files and classes may hold anything.

export function shellQuoted(text) {
  return /^[\w./@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

export function modelDir(report) {
  return shellQuoted(report.settings.find(({ name }) => name === "model_dir")?.value ?? "MODEL");
}
