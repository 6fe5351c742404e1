// Mirror: the colours that lie behind a text, a span for each run of characters of one colour.
//
//   items ──at line breaks──▶ blocks of lines ──every 200 items──▶ chunks ──where the colour changes──▶ spans
//
// An item is { character, bits }, bits being null where a person wrote it. A change redraws the chunk that it lies in, and
// the browser lays out that block anew: typing costs the same in a long text as in a short one. Each block is painted for
// itself, which costs the browser something: many short lines share one.

import { JOINS, level, make, shown } from "./surprise.js";

const CHUNK = 200; // items
const BLOCK = 2000; // items of one colour, or a tenth as many that have one each

export class Mirror {
  constructor(element) {
    this.element = element;
    this.lines = []; // { count, element, chunks: [{ count, span }] }
    this.splice([], 0, 0, 0);
  }

  // `items` is the whole text after the change: at `start`, `removed` items went and `added` came.
  splice(items, start, removed, added) {
    const [first, before] = locate(this.lines, start);
    const line = this.lines[first];
    const inside = line && start + removed < before + line.count + (first === this.lines.length - 1 ? 1 : 0);
    if (inside && !breaks(items, start, start + added)) this.redrawChunks(line, items, before, start - before, removed, added);
    else this.redrawLines(items, first, before, start + removed, added - removed);
  }

  redrawChunks(line, items, lineStart, start, removed, added) {
    const [first, before] = locate(line.chunks, start);
    let last = first, end = before + (line.chunks[first]?.count ?? 0);
    while (end < start + removed) end += line.chunks[++last].count;
    const fresh = chunksOf(items, lineStart + before, lineStart + end + added - removed);
    const old = line.chunks.splice(first, last - first + 1, ...fresh);
    const next = old.length ? old.at(-1).span.nextSibling : null;
    for (const { span } of old) span.remove();
    for (const { span } of fresh) line.element.insertBefore(span, next);
    line.count += added - removed;
  }

  redrawLines(items, first, before, oldEnd, longer) {
    let last = first, end = before;
    while (last < this.lines.length && (end <= oldEnd || last === first)) end += this.lines[last++].count;
    const isTail = last >= this.lines.length;
    const fresh = linesOf(items, before, isTail ? items.length : end + longer, isTail);
    const old = this.lines.slice(first, last);
    const next = this.lines[last]?.element ?? null;
    this.lines = [...this.lines.slice(0, first), ...fresh, ...this.lines.slice(last)];
    for (const { element } of old) element.remove();
    const together = document.createDocumentFragment();
    for (const { element } of fresh) together.append(element);
    this.element.insertBefore(together, next);
  }

  // Where a character is drawn, in the window's pixels; the one past the end has no width.
  rect(index) {
    const [at, before] = locate(this.lines, index);
    const line = this.lines[at];
    const [chunkAt, chunkBefore] = locate(line.chunks, index - before);
    let left = index - before - chunkBefore;
    for (const run of line.chunks[chunkAt]?.span.children ?? []) {
      const characters = Array.from(run.textContent);
      if (left < characters.length) return rectIn(run, characters, left);
      left -= characters.length;
    }
    const end = document.createRange();
    end.selectNodeContents(line.element);
    const box = line.element.getBoundingClientRect(), last = [...end.getClientRects()].at(-1);
    return last ? new DOMRect(last.right, last.top, 0, last.height) : new DOMRect(box.left, box.top, 0, box.height);
  }
}

function rectIn(run, characters, at) {
  const start = characters.slice(0, at).join("").length, range = document.createRange();
  range.setStart(run.firstChild, start);
  range.setEnd(run.firstChild, start + characters[at].length);
  return [...range.getClientRects()].at(-1) ?? run.getBoundingClientRect();
}

// The part that an item lies in, and how many items are before it. Behind the last item it is the last part.
function locate(parts, index) {
  let before = 0;
  for (let i = 0; i < parts.length - 1; i++) {
    if (index < before + parts[i].count) return [i, before];
    before += parts[i].count;
  }
  return [Math.max(0, parts.length - 1), before];
}

function breaks(items, start, end) {
  for (let i = start; i < end; i++) if (items[i].character === "\n") return true;
  return false;
}

// Only the last line has no line break at its end; it may be empty.
function linesOf(items, start, end, isTail) {
  const lines = [];
  for (let from = start; from < end || (isTail && lines.at(-1)?.open !== true); ) {
    const to = blockEnd(items, from, end), open = to === from || items[to - 1].character !== "\n";
    const element = make("div"), chunks = chunksOf(items, from, to);
    element.append(...chunks.map(({ span }) => span));
    lines.push({ count: to - from, element, chunks, open });
    if (open) break;
    from = to;
  }
  return lines;
}

// The end of as many whole lines as a block holds, and of one at least.
function blockEnd(items, start, end) {
  let to = start, lines = start;
  for (let weight = 0; to < end && (weight < BLOCK || lines === start); to++) {
    weight += items[to].bits === null ? 1 : 10;
    if (items[to].character === "\n") lines = to + 1;
  }
  return to === end ? end : lines;
}

function chunksOf(items, start, end) {
  const chunks = [];
  for (let from = start; from < end; from += CHUNK) {
    const to = Math.min(end, from + CHUNK), span = make("span");
    span.append(...runs(items.slice(from, to)));
    chunks.push({ count: to - from, span });
  }
  return chunks;
}

// Characters of one colour are one element. An accent stays with its letter.
export function runs(items) {
  const all = [];
  let text = "", colour = null;
  const close = () => {
    if (text) all.push(make("span", colour, text));
    text = "";
  };
  for (const { character, bits } of items) {
    const own = level(bits);
    if (character === "\n" && bits !== null) {
      close();
      all.push(make("i", `break by-model ${own}`, "\n"));
      continue;
    }
    if (own !== colour && !(text && JOINS.test(character))) close();
    if (!text) colour = own;
    text += shown(character);
  }
  close();
  return all;
}
