// Elements: a piece of the page in one expression, and work that is done a little in each frame.
//
//   h("p", { class: "note" }, "so many ", h("b", {}, "bits")) ──▶ <p class="note">so many <b>bits</b></p>
//
// A child that is a string becomes a text node: nothing that a model wrote can be more than text.

const SVG = new Set(["svg", "g", "circle", "line", "path", "rect", "text", "title"]);
const FRAME_MS = 8; // of work in a frame: well below the 50 ms that a person notices

export function h(name, attributes = {}, ...children) {
  const element = SVG.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Calls `each(item)` for all items, as many in a frame as there is time for. `signal` stops it. Resolves to whether it got done.
export async function inFrames(items, each, signal) {
  let started = performance.now();
  for (const item of items) {
    if (signal?.aborted) return false;
    each(item);
    if (performance.now() - started > FRAME_MS) {
      await new Promise((resolve) => setTimeout(resolve, 4)); // not a frame's callback: a hidden page has none
      started = performance.now();
    }
  }
  return !signal?.aborted;
}

// Which of `length` things do the arrow keys go to, in rows of `columns`? null where the key is none of theirs.
export function moved(key, at, length, columns = 1) {
  const last = length - 1, column = at % columns;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: at - column,
    End: Math.min(last, at - column + columns - 1) }[key];
  return to === undefined ? null : to < 0 || to > last ? at : to;
}

// Calls back when the page's colours change, by the system or by a person.
export function onColours(callback) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", callback);
  new MutationObserver(callback).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}

// Says it to a screen reader, once the keys have come to rest.
export function announcer(element) {
  let timer;
  return (sentence) => {
    clearTimeout(timer);
    timer = setTimeout(() => (element.textContent = sentence), 250);
  };
}
