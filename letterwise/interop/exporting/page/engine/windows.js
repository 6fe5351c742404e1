// Windows: a text may be longer than the context. The policy is that of letterwise/inference/windows.py.
//
// When the context is full, a new window begins on the last half of it, so every prediction sees at least half a context.
// Windows begin at fixed positions of the text, however it is handed over. Counts need only the last characters, and
// read straight through.
//
// A model of lines begins a new window with each line break that it reads, and knows nothing of what was before. When nothing
// was read yet, it stands after a line break.

"use strict";

class Windows {
  constructor(transformer, counts, lineBreak) {
    this.transformer = transformer;
    this.counts = counts; // null for a model without
    this.lineBreak = lineBreak; // null for a model that does not go by lines
    this.size = transformer.config.block_size;
    this.kept = Math.floor(this.size / 2);
    this.reach = counts ? counts.reach : 0;
    this.begin();
  }

  // A new text, of which nothing was read.
  begin() {
    this.clear();
    this.logits = new Float32Array(this.transformer.vocabSize); // all alike
    if (this.lineBreak !== null) this.read([this.lineBreak]);
  }

  clear() {
    this.window = []; // the characters that the transformer holds
    this.before = []; // those before them that counts still see
    this.counts?.begin([]);
  }

  // Read on: a score for each character that may come next.
  read(ids) {
    const fresh = this.take(ids);
    fresh.forEach((id, i) => {
      this.counts?.read(id);
      this.transformer.read(id, this.window.length - fresh.length + i, this.counts);
    });
    if (fresh.length) this.logits = this.transformer.logits(this.counts);
    return this.logits;
  }

  // What the transformer has to read: more than these when a new window begins.
  take(ids) {
    if (ids.includes(this.lineBreak)) {
      ids = ids.slice(ids.lastIndexOf(this.lineBreak));
      this.clear();
    }
    const over = this.window.length + ids.length - this.size;
    this.window = this.window.concat(ids);
    if (over <= 0) return ids;
    const dropped = Math.ceil(over / (this.size - this.kept)) * (this.size - this.kept);
    const before = this.before.concat(this.window.slice(0, dropped));
    this.before = before.slice(Math.max(0, before.length - this.reach));
    this.window = this.window.slice(dropped);
    this.counts?.begin(this.before);
    return this.window;
  }
}
