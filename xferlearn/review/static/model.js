// What the page knows: the server's state, the answers that it has not confirmed yet, and what is looked at.

export const OPEN = "open";
export const ANSWERED = "answered";

export class Model {
  state = null;
  sending = new Map(); // answers on their way, by photo
  #drafts = new Map(); // labels that are turned on, by photo, until they are confirmed
  filters = { kind: "", label: "", answered: OPEN };
  isGrid = false;
  showsHeat = false;
  selected = new Set();
  problem = null; // {text, retry}
  lost = null; // {text, unsaved}
  busy = ""; // what is being done that is no answer
  #byId = new Map();
  #shown = null;
  #trail = []; // photos in the order in which they were looked at
  #at = -1;
  #passed = new Set();
  #listeners = [];
  #isPlanned = false;

  onChange(listener) {
    this.#listeners.push(listener);
  }

  changed() {
    this.#shown = null;
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    queueMicrotask(() => {
      this.#isPlanned = false;
      for (const listener of this.#listeners) listener(this);
    });
  }

  get revision() {
    return this.state?.revision ?? null;
  }

  // An older state may arrive after a newer one: the page asks in two ways.
  receive(state) {
    if (this.state && state.revision < this.state.revision) return;
    const seen = this.current;
    const trail = this.#trail.map((id) => [id, this.item(id)]);
    const items = state.items.map((item) => [item.id, item]);
    this.state = state;
    // What was looked at can be gone back to also when new heads find nothing suspicious in it.
    this.#byId = new Map([...trail, ...items]);
    // What Enter would take must not change between the look and the key.
    const { proposed, kind, text } = seen ?? {};
    if (seen) Object.assign(this.current, { proposed, kind, text });
    this.selected = new Set([...this.selected].filter((id) => this.#byId.has(id)));
    this.#shown = null;
    if (!this.current) this.#go(this.#firstOpen());
    this.changed();
  }

  item(id) {
    return this.#byId.get(id) ?? null;
  }

  get current() {
    return this.item(this.#trail[this.#at]);
  }

  answerOf(item) {
    return this.sending.get(item.id) ?? item.answer;
  }

  isOpen(item) {
    return this.answerOf(item) === null;
  }

  // Where photos may have several labels: those that a photo would have by the next answer.
  draftOf(item) {
    const answer = this.answerOf(item);
    const given = answer?.action === "keep" ? item.labels : answer?.labels;
    return this.#drafts.get(item.id) ?? new Set(given ?? item.proposed ?? item.labels ?? []);
  }

  // Those that a person has turned on and not confirmed yet; null where nothing was turned.
  editedOf(item) {
    const draft = this.#drafts.get(item.id);
    return draft ? [...draft].sort() : null;
  }

  // Off where all have it, else on.
  toggle(label, targets = this.targets) {
    this.turn(label, !targets.every((item) => this.draftOf(item).has(label)), targets);
  }

  turn(label, isOn, targets) {
    for (const item of targets) {
      const draft = new Set(this.draftOf(item));
      if (isOn) draft.add(label);
      else draft.delete(label);
      this.#drafts.set(item.id, draft);
    }
    this.changed();
  }

  settle(ids) {
    for (const id of ids) this.#drafts.delete(id);
  }

  // What an answer is about: the selected photos of the grid, or the photo that is shown.
  get targets() {
    if (this.isGrid) return this.shown().filter((item) => this.selected.has(item.id));
    return this.current ? [this.current] : [];
  }

  shown() {
    this.#shown ??= (this.state?.items ?? []).filter((item) => this.#passes(item));
    return this.#shown;
  }

  #passes(item) {
    const { kind, label, answered } = this.filters;
    if (kind && item.kind !== kind) return false;
    if (label && !item.labels?.includes(label) && !item.proposed?.includes(label)) return false;
    return answered === "" || (answered === OPEN) === this.isOpen(item);
  }

  filter(filters) {
    Object.assign(this.filters, filters);
    this.#shown = null;
    const shown = this.shown();
    this.selected = new Set(shown.filter((item) => this.selected.has(item.id)).map((item) => item.id));
    if (!this.current || !shown.includes(this.current)) this.#go(this.#firstOpen() ?? shown[0] ?? null);
    this.changed();
  }

  open(id) {
    this.isGrid = false;
    this.#go(this.item(id));
    this.changed();
  }

  forward() {
    if (this.#at < this.#trail.length - 1) this.#at += 1;
    else {
      if (this.current && this.isOpen(this.current)) this.#passed.add(this.current.id);
      this.#go(this.#following());
    }
    this.changed();
  }

  back() {
    const shown = this.shown();
    if (this.#at > 0) this.#at -= 1;
    else if (shown.length) {
      const at = this.current ? shown.indexOf(this.current) : 0;
      this.#trail.unshift(shown.at(at <= 0 ? -1 : at - 1).id);
      this.#at = 0;
    }
    this.changed();
  }

  // After an answer: on to where the person was, or to the first that is still to be asked.
  advance() {
    this.#shown = null;
    const last = this.item(this.#trail.at(-1));
    if (last && last !== this.current && this.isOpen(last)) this.#at = this.#trail.length - 1;
    else this.#go(this.filters.answered === ANSWERED ? this.#following() : this.#firstOpen());
  }

  #following() {
    const shown = this.shown();
    const at = this.current ? shown.indexOf(this.current) : -1;
    if (at < 0) return this.#firstOpen() ?? shown[0] ?? null;
    return shown[(at + 1) % shown.length];
  }

  #firstOpen() {
    const open = this.shown().filter((item) => this.isOpen(item));
    const unseen = open.find((item) => !this.#passed.has(item.id));
    if (!unseen) this.#passed.clear();
    return unseen ?? open[0] ?? null;
  }

  // Without a photo the page says that there is nothing left; the way back stays.
  #go(item) {
    if (item && item === this.current) return;
    if (!item) {
      this.#at = this.#trail.length;
      return;
    }
    this.#trail = [...this.#trail.slice(0, this.#at + 1), item.id];
    this.#at = this.#trail.length - 1;
  }
}
