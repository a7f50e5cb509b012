// Answers on their way to the server: one after the other, shown at once, marked until confirmed.

import { Lost, Refused, post } from "./server.js";
import { answerText, count } from "./words.js";

export class Answers {
  #model;
  #jobs = [];
  #isRunning = false;
  #acts = []; // the numbers of what was answered here, as the server confirmed them
  #earlier = null; // the number of the last act before the page was loaded

  constructor(model) {
    this.#model = model;
  }

  // Of several labels each is turned on or off, until all are confirmed.
  choose(label) {
    if (this.#model.state.multi_label) this.#model.toggle(label);
    else this.relabel([label]);
  }

  relabel(labels, targets = this.#model.targets) {
    this.#answer([["relabel", labels, targets]]);
  }

  keep() {
    const targets = this.#model.targets;
    const labelled = targets.filter((item) => item.labels !== null);
    if (targets.length && !labelled.length) this.#tell("What has no label can't be kept: give it one, or exclude it.");
    else this.#answer([["keep", null, labelled]]);
  }

  exclude() {
    this.#answer([["exclude", null, this.#model.targets]]);
  }

  // Each photo gets what is proposed for it: an answer per label.
  propose() {
    if (this.#model.state.multi_label) return this.#relabelAll(this.#model.targets, (item) => [...this.#model.draftOf(item)].sort());
    const proposed = this.#model.targets.filter((item) => item.proposed !== null);
    if (proposed.length) this.#relabelAll(proposed, (item) => item.proposed);
    else if (this.#model.targets.length) this.#tell("No label is proposed here: choose a class.");
  }

  // An answer for each set of labels.
  #relabelAll(items, labelsOf) {
    const parts = new Map();
    for (const item of items) {
      const labels = labelsOf(item);
      const key = JSON.stringify(labels);
      if (!parts.has(key)) parts.set(key, ["relabel", labels, []]);
      parts.get(key)[2].push(item);
    }
    this.#answer([...parts.values()]);
  }

  undo() {
    this.#push({ path: "undo", body: () => ({ act: this.#lastAct() }), busy: "Undoing …", isUndo: true });
  }

  // Answers from before the page was loaded again can be taken back too; those of other windows there.
  #lastAct() {
    const { last } = this.#model.state;
    this.#acts = this.#acts.filter((act) => act <= last); // without what another window took back
    if (!this.#acts.length && last > this.#earlier) throw new Refused("The last answer was given in another window. Undo it there.");
    return this.#acts.at(-1) ?? last;
  }

  // Before anything was answered here.
  begin(state) {
    this.#earlier ??= state.last;
  }

  refit() {
    const { fit, pending } = this.#model.state;
    if (!fit.busy || pending) this.#push({ path: "refit", body: {}, busy: "Retraining …" });
  }

  addClass(label, then) {
    this.#push({ path: "class", body: { label }, busy: "Adding the class …", then });
  }

  #answer(parts) {
    const wanted = parts.filter(([, , items]) => items.length);
    if (!wanted.length) return;
    const answers = wanted.map(([action, labels, items]) => ({ action, labels, ids: items.map((item) => item.id) }));
    for (const answer of answers) for (const id of answer.ids) this.#model.sending.set(id, answer);
    const ids = answers.flatMap((answer) => answer.ids);
    this.#push({ path: "answer", body: { answers: answers.map((answer) => this.#sent(answer)) }, answers, ids });
    this.#model.problem = null;
    // The person may look at something else by now.
    for (const id of ids) this.#model.selected.delete(id);
    this.#model.settle(ids);
    if (!this.#model.isGrid && ids.includes(this.#model.current?.id)) this.#model.advance();
    this.#model.changed();
  }

  #sent({ action, labels, ids }) {
    if (labels === null) return { action, ids };
    return this.#model.state.multi_label ? { action, labels, ids } : { action, label: labels[0], ids };
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
    const state = await post(job.path, typeof job.body === "function" ? job.body() : job.body);
    this.#jobs.shift();
    this.#forget(job);
    if (job.answers) this.#acts.push(state.act);
    if (job.isUndo) this.#acts.pop();
    this.#model.receive(state);
    if (job.isUndo) this.#comeBack(before, state);
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
    const unsaved = failed.flatMap((job) => job.answers ?? []).map((answer) => this.#described(answer));
    if (isLost) this.#model.lost = { text: error.message, unsaved: [...(this.#model.lost?.unsaved ?? []), ...unsaved] };
    else this.#model.problem = { text: error.message, unsaved, retry: failed[0].answers ? () => this.#again(failed[0]) : null };
    const ids = failed.flatMap((job) => job.ids ?? []);
    if (!ids.length) return;
    if (this.#model.isGrid) this.#model.selected = new Set(ids);
    else this.#model.open(ids[0]);
  }

  #again(job) {
    const items = (ids) => ids.map((id) => this.#model.item(id)).filter(Boolean);
    this.#answer(job.answers.map(({ action, labels, ids }) => [action, labels, items(ids)]));
  }

  // A later answer for the same photo may already be on its way.
  #forget(job) {
    for (const answer of job.answers ?? []) for (const id of answer.ids) if (this.#model.sending.get(id) === answer) this.#model.sending.delete(id);
  }

  #described({ ids, ...answer }) {
    const what = answer.action === "relabel" ? answerText(answer) : answer.action;
    return `${ids.length === 1 ? this.#model.item(ids[0])?.name : count(ids.length, "photo")}: ${what}`;
  }

  #tell(text) {
    this.#model.problem = { text, unsaved: [], retry: null };
    this.#model.changed();
  }
}
