// History: undo and redo over everything that changes the text: typing, what a model wrote, branches.
//
// A state is a list of items, which share their characters with the next one: keeping many costs little.

const MOST = 200; // states
const TOGETHER_MS = 1200; // keys that follow each other so closely are undone together

export class History {
  constructor() {
    Object.assign(this, { past: [], future: [], lastTyped: -Infinity });
  }

  // Keep the state before a change.
  keep(items) {
    this.past.push(items);
    if (this.past.length > MOST) this.past.shift();
    this.future = [];
    this.lastTyped = -Infinity;
  }

  keepTyping(items, now) {
    if (now - this.lastTyped > TOGETHER_MS) this.keep(items);
    this.lastTyped = now;
  }

  // The state to go back to, given the one that is left; undefined where there is none.
  undo(items) {
    return this.step(this.past, this.future, items);
  }

  redo(items) {
    return this.step(this.future, this.past, items);
  }

  step(from, to, items) {
    this.lastTyped = -Infinity;
    while (from.at(-1) === items) from.pop(); // nothing came of it, as of a request that was refused
    if (from.length) to.push(items);
    return from.pop();
  }
}
