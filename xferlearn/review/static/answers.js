// Answers on their way to the server: one after the other, shown at once, marked until confirmed.

import { Lost, post } from "./server.js";
import { count, labelText } from "./words.js";

export class Answers {
  #model;
  #jobs = [];
  #isRunning = false;
  #batches = []; // per answer of the person, how many the server has made of it

  constructor(model) {
    this.#model = model;
  }

  relabel(label) {
    this.#answer([["relabel", label, this.#model.targets]]);
  }

  keep() {
    const targets = this.#model.targets;
    const labelled = targets.filter((item) => item.label !== "");
    if (targets.length && !labelled.length) this.#tell("What has no label can't be kept: give it one, or exclude it.");
    else this.#answer([["keep", "", labelled]]);
  }

  exclude() {
    this.#answer([["exclude", "", this.#model.targets]]);
  }

  // Each photo gets what is proposed for it: an answer per label.
  propose() {
    const proposed = this.#model.targets.filter((item) => item.proposed !== "");
    const labels = [...new Set(proposed.map((item) => item.proposed))];
    if (labels.length) this.#answer(labels.map((label) => ["relabel", label, proposed.filter((item) => item.proposed === label)]));
    else if (this.#model.targets.length) this.#tell("No label is proposed here: choose a class.");
  }

  undo() {
    // Before the page was loaded again there were answers, too.
    this.#push({ path: "undo", body: {}, busy: "Undoing …", undone: this.#batches.pop() ?? { kept: 1 } });
  }

  refit() {
    if (!this.#model.state.fit.busy) this.#push({ path: "refit", body: {}, busy: "Retraining …" });
  }

  addClass(label, then) {
    this.#push({ path: "class", body: { label }, busy: "Adding the class …", then });
  }

  #answer(parts) {
    const wanted = parts.filter(([, , items]) => items.length);
    if (!wanted.length) return;
    const batch = { kept: 0 };
    this.#batches.push(batch);
    for (const [action, label, items] of wanted) {
      const ids = items.map((item) => item.id);
      const answer = { action, label };
      for (const id of ids) this.#model.sending.set(id, answer);
      this.#push({ path: "answer", body: { ids, action, label }, answer, ids, batch });
    }
    this.#model.problem = null;
    if (this.#model.isGrid) this.#model.selected.clear();
    else this.#model.advance();
    this.#model.changed();
  }

  #push(job) {
    this.#jobs.push(job);
    if (!this.#isRunning) this.#run();
  }

  async #run() {
    this.#isRunning = true;
    while (this.#jobs.length) {
      const job = this.#jobs[0];
      this.#model.busy = job.busy ?? "";
      this.#model.changed();
      try {
        await this.#do(job);
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#isRunning = false;
    this.#model.busy = "";
    this.#model.changed();
  }

  async #do(job) {
    const before = this.#model.state;
    let state = before;
    for (let left = job.undone?.kept ?? 1; left > 0; left -= 1) state = await post(job.path, job.body);
    this.#jobs.shift();
    this.#forget(job);
    if (job.batch) job.batch.kept += 1;
    this.#model.receive(state);
    if (job.undone) this.#comeBack(before, state);
    job.then?.();
  }

  // The photos whose answer was taken back are shown again.
  #comeBack(before, state) {
    const was = new Map(before.items.map((item) => [item.id, JSON.stringify(item.answer)]));
    const back = state.items.filter((item) => was.get(item.id) !== JSON.stringify(item.answer));
    if (!back.length) return;
    if (this.#model.isGrid) this.#model.selected = new Set([...this.#model.selected, ...back.map((item) => item.id)]);
    else this.#model.open(back[0].id);
    this.#model.changed();
  }

  // What was not kept comes back to be answered again; without a server none of the rest can be kept.
  #failed(error) {
    const isLost = error instanceof Lost;
    const failed = this.#jobs.splice(0, isLost ? this.#jobs.length : 1);
    for (const job of failed) this.#forget(job);
    const unsaved = failed.filter((job) => job.answer).map((job) => this.#described(job));
    if (isLost) this.#model.lost = { text: error.message, unsaved: [...(this.#model.lost?.unsaved ?? []), ...unsaved] };
    else this.#model.problem = { text: error.message, unsaved, retry: failed[0].answer ? () => this.#again(failed[0]) : null };
    const ids = failed.flatMap((job) => job.ids ?? []);
    if (!ids.length) return;
    if (this.#model.isGrid) this.#model.selected = new Set(ids);
    else this.#model.open(ids[0]);
  }

  #again(job) {
    const items = job.ids.map((id) => this.#model.item(id)).filter(Boolean);
    this.#answer([[job.answer.action, job.answer.label, items]]);
  }

  // A later answer for the same photo may already be on its way.
  #forget(job) {
    for (const id of job.ids ?? []) if (this.#model.sending.get(id) === job.answer) this.#model.sending.delete(id);
  }

  #described({ ids, answer }) {
    const what = answer.action === "relabel" ? labelText(answer.label) : answer.action;
    return `${ids.length === 1 ? this.#model.item(ids[0])?.name : count(ids.length, "photo")}: ${what}`;
  }

  #tell(text) {
    this.#model.problem = { text, unsaved: [], retry: null };
    this.#model.changed();
  }
}
