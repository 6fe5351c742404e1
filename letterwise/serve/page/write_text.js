// Sheet: the text itself. One types into a plain <textarea>; the colours lie behind it, in a mirror of the same lines.
//
//   keys ──▶ textarea ──what differs──▶ items ──▶ mirror (colours)
//   model ──append──▶ items ──once a frame──▶ textarea and mirror
//
// The items are the truth: a character that has no shape, as NUL, stands in the textarea as a sign, ␀, and remains itself.

import { Mirror } from "./write_mirror.js";
import { shown } from "./surprise.js";

const MOST_WAIT_MS = 120; // between two drawings of what a model writes

export class Sheet {
  // `edited(before, caret)` is called after a person changed the text, `moved(index, pointed)` when the caret went somewhere.
  constructor({ area, mirror, mark, edited, moved }) {
    Object.assign(this, { area, mark, edited, moved });
    this.mirror = new Mirror(mirror);
    this.items = [];
    this.shown = "";
    this.pending = []; // what a model wrote since the last frame
    this.marked = null;
    area.addEventListener("input", () => this.typed());
    area.addEventListener("click", (event) => this.pointed(event));
    area.addEventListener("keyup", () => this.keyed());
    for (const name of ["copy", "cut"]) area.addEventListener(name, (event) => this.copied(event));
    new ResizeObserver(() => this.drawMark()).observe(mirror);
  }

  get text() {
    return this.textUpTo(this.items.length);
  }

  textUpTo(end) {
    let text = "";
    for (let i = 0; i < end; i++) text += this.items[i].character;
    return text;
  }

  // Put other items at the place of some. The way of every change that does not come from the keyboard.
  replace(start, end, fresh) {
    const [from, to] = [this.unitOf(start), this.unitOf(end)];
    const text = fresh.map(({ character }) => shown(character)).join("");
    const last = this.area.selectionStart === this.shown.length && to === this.shown.length; // a caret at the end stays there
    this.change(start, end, fresh);
    this.shown = this.shown.slice(0, from) + text + this.shown.slice(to);
    this.area.setRangeText(text, from, to, last ? "end" : "preserve");
  }

  // All of it, for undo: only what differs is drawn anew.
  set(items) {
    const [start, same] = common(this.items, items);
    this.replace(start, this.items.length - same, items.slice(start, items.length - same));
  }

  change(start, end, fresh) {
    this.items = this.items.slice(0, start).concat(fresh, this.items.slice(end));
    this.mirror.splice(this.items, start, end - start, fresh.length);
  }

  // What a model writes: drawn many at a time when it is fast, with the next frame, or later in a long text, which is painted anew.
  append(items) {
    if (items.length === 0 || this.pending.push(...items) > items.length) return;
    if (document.hidden) this.flush();
    else setTimeout(() => requestAnimationFrame(() => this.flush()), Math.min(MOST_WAIT_MS, this.items.length / 100));
  }

  flush() {
    if (this.pending.length === 0) return;
    const items = this.pending, follow = this.endIsVisible();
    this.pending = [];
    this.replace(this.items.length, this.items.length, items);
    if (follow) this.showEnd();
  }

  forget() {
    this.pending = [];
  }

  typed() {
    const before = this.items, value = this.area.value, old = this.shown;
    let [start, same] = common(old, value);
    if (isLow(value, start) || isLow(old, start)) start--;
    if (isLow(value, value.length - same) || isLow(old, old.length - same)) same--;
    const from = codePoints(old.slice(0, start)), removed = codePoints(old.slice(start, old.length - same));
    const fresh = Array.from(value.slice(start, value.length - same), (character) => ({ character: character.toWellFormed(), bits: null }));
    this.shown = value;
    this.change(from, from + removed, fresh);
    this.keepSigns(fresh, start);
    this.edited(before, from);
    this.moved(this.caret(), false);
  }

  // A foreign character without a shape that was pasted is shown as its sign from now on.
  keepSigns(fresh, start) {
    const signs = fresh.map(({ character }) => shown(character)).join("");
    const raw = fresh.map(({ character }) => character).join("");
    if (signs === raw) return;
    this.shown = this.shown.slice(0, start) + signs + this.shown.slice(start + raw.length);
    this.area.setRangeText(signs, start, start + raw.length, "end");
  }

  // The clipboard gets the characters themselves, not their signs.
  copied(event) {
    const { selectionStart, selectionEnd } = this.area;
    if (selectionStart === selectionEnd) return;
    const [start, end] = [this.indexOf(selectionStart), this.indexOf(selectionEnd)];
    event.clipboardData.setData("text/plain", this.items.slice(start, end).map(({ character }) => character).join(""));
    event.preventDefault();
    if (event.type === "cut") {
      this.area.setRangeText("", selectionStart, selectionEnd, "end");
      this.typed();
    }
  }

  // Which character was clicked? The caret stands at the nearer edge of it.
  pointed({ clientX, clientY }) {
    if (this.area.selectionStart !== this.area.selectionEnd) return;
    const caret = this.caret();
    const hit = [caret, caret - 1].find((index) => index >= 0 && index < this.items.length && holds(this.mirror.rect(index), clientX, clientY));
    this.moved(hit ?? caret, hit !== undefined);
  }

  keyed() {
    const caret = this.caret();
    if (caret !== this.lastCaret) this.moved(caret, false);
    this.lastCaret = caret;
  }

  caret() {
    return this.indexOf(this.area.selectionEnd);
  }

  goTo(index) {
    const unit = this.unitOf(index);
    this.area.setSelectionRange(unit, unit);
  }

  // A frame around the character that is looked at, or around none.
  markAt(index) {
    this.marked = index;
    this.drawMark();
  }

  drawMark() {
    this.mark.hidden = this.marked === null || this.marked > this.items.length;
    if (this.mark.hidden) return;
    const box = this.mirror.rect(this.marked), sheet = this.mark.parentElement.getBoundingClientRect();
    this.mark.style.transform = `translate(${box.left - sheet.left}px, ${box.top - sheet.top}px)`;
    this.mark.style.width = `${Math.max(2, box.width)}px`;
    this.mark.style.height = `${box.height}px`;
  }

  // Bring the character that is looked at above what covers the lower part of the window.
  showMark() {
    const { bottom } = this.mirror.rect(this.marked);
    window.scrollBy(0, Math.max(0, bottom - window.innerHeight * 0.3));
  }

  // Bring a character, and what follows it, into the window.
  reveal(index) {
    const { top } = this.mirror.rect(index);
    if (top < 0 || top > window.innerHeight * 0.6) window.scrollBy(0, top - window.innerHeight * 0.25);
  }

  endIsVisible() {
    return this.area.getBoundingClientRect().bottom < window.innerHeight + 40;
  }

  showEnd() {
    const below = this.area.getBoundingClientRect().bottom + 140 - window.innerHeight;
    if (below > 0) window.scrollBy(0, below);
  }

  // The textarea counts UTF-16 units, the items are code points.
  indexOf(unit) {
    return codePoints(this.shown.slice(0, unit));
  }

  unitOf(index) {
    let unit = 0;
    for (let i = 0; i < index; i++) unit += this.shown.codePointAt(unit) > 0xffff ? 2 : 1;
    return unit;
  }
}

// How much of two lists or texts is the same, at the beginning and at the end.
function common(a, b) {
  const most = Math.min(a.length, b.length);
  let start = 0, end = 0;
  while (start < most && a[start] === b[start]) start++;
  while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++;
  return [start, end];
}

function codePoints(text) {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

const isLow = (text, at) => text.charCodeAt(at) >= 0xdc00 && text.charCodeAt(at) < 0xe000;

const holds = ({ left, right, top, bottom }, x, y) => left <= x && x < right && top - 8 <= y && y < bottom + 8;
