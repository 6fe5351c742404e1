// Page: what a person asks of the model, and what they see of it. The model itself runs in a thread of its own.

"use strict";

const element = (id) => document.getElementById(id);
const amount = (value) => Math.round(value).toLocaleString("en");

// The value of a number field.
const number = (id) => Number(element(id).value);

// The seed that is asked for, or else the one that was drawn.
const seed = () => Number(element("seed").value || element("seed").placeholder);

const page = JSON.parse(element("page").textContent);
const alphabet = new Alphabet(page.vocabulary);
const text = new ColouredText(element("text"), alphabet, showDetails);
const MOST_READ = 50_000; // characters of a text that is read: a browser draws each of them
const score = () => element("ask").elements.mode.value === "score";

let worker;
let awake = false; // has the worker said that it is ready?
let busy = true; // does it compute?
let started, shown; // when it was asked, and how many characters have come since
let queue = []; // characters of a text that is being read, which are not yet shown
let remark = ""; // what there is to say of the text that was given

start();

function start() {
  document.title = `Letter by letter, after ${page.title}`;
  element("title").textContent = page.title;
  for (const [label, value] of page.facts) {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = label;
    dd.textContent = value;
    element("facts").append(dt, dd);
  }
  changeMode();
  element("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!busy) score() ? read() : write();
  });
  element("ask").elements.mode.forEach((radio) => radio.addEventListener("change", changeMode));
  element("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element("ask").requestSubmit();
  });
  element("stop").addEventListener("click", () => worker.postMessage({ stop: true }));
  element("more").addEventListener("click", () => {
    if (element("ask").reportValidity()) ask({ more: { length: number("length") } });
  });
  element("options").addEventListener("invalid", () => (element("options").open = true), true); // so that it can be seen
  element("copy").addEventListener("click", copy);
  document.addEventListener("click", ({ target }) => {
    if (!element("sheet").contains(target) && !element("details").contains(target)) text.choose(null);
  });
  element("colours").addEventListener("change", ({ target }) => element("text").classList.toggle("plain", !target.checked));
  try {
    worker = new Worker(URL.createObjectURL(new Blob([element("worker").textContent], { type: "text/javascript" })));
    worker.onmessage = ({ data }) => heard(data);
    worker.onerror = (event) => fail(event.message);
    worker.postMessage({ load: { page, numbers: element("numbers").textContent } });
    element("numbers").remove();
  } catch (error) {
    fail(error.message);
  }
}

function changeMode() {
  element("prompt-label").textContent = score() ? "A text to read" : "How the text begins";
  element("prompt").placeholder = score()
    ? "Paste a text, and see what surprises the model."
    : "How should it begin? It may stay empty.";
  element("prompt").rows = score() ? 6 : 2;
  element("go").textContent = score() ? "Read" : "Write";
  element("options").hidden = element("filters").disabled = score();
  element("more").disabled = true;
}

function write() {
  const prompt = alphabet.encode(element("prompt").value);
  if (element("seed").value === "") element("seed").placeholder = String(Math.floor(Math.random() * 2 ** 32));
  begin(prompt);
  for (const { text: character, ids } of prompt) text.given(character, ids.length ? "given" : "unknown");
  let ids = prompt.flatMap((character) => character.ids);
  if (ids.length === 0 && alphabet.lineBreak !== undefined) ids = [alphabet.lineBreak]; // as `letterwise generate` does
  const options = { greedy: element("greedy").checked };
  for (const name of ["temperature", "top_k", "top_p", "min_p"]) options[name] = number(name);
  ask({ write: { prompt: ids, length: number("length"), seed: seed(), options } });
}

// What does each character of a text cost? Nothing comes before the first one, unless the model goes by lines.
function read() {
  const all = alphabet.encode(element("prompt").value), characters = all.slice(0, MOST_READ);
  const first = page.line_break === null && characters.find(({ ids }) => ids.length);
  begin(characters);
  if (all.length > MOST_READ) remark += `Only the first ${amount(MOST_READ)} characters are read. `;
  const ids = characters.flatMap((character) => character.ids);
  queue = characters.map((character) => ({ ...character, left: character.ids.length }));
  showUnpriced(first ? 1 : 0);
  ask({ score: { ids, first: first ? first.ids.length : 0 } });
}

// Show what stands before the next character with a price: so many that have none, and those that the model does not know.
function showUnpriced(unpriced = 0) {
  while (queue.length && (unpriced > 0 || queue[0].left === 0)) {
    const { text: character, left } = queue.shift();
    if (left) unpriced--;
    text.given(character, left ? "given" : "unknown");
  }
}

function begin(characters) {
  text.clear();
  queue = [];
  const strange = [...new Set(characters.filter(({ ids }) => ids.length === 0).map((character) => named(character.text)))];
  const some = strange.slice(0, 12).join(" ") + (strange.length > 12 ? " …" : "");
  remark = strange.length ? `Not in its alphabet, and left out: ${some}. ` : "";
  element("sheet").hidden = false;
}

function ask(message) {
  setBusy(true);
  element("status").textContent = "";
  started = performance.now();
  shown = 0;
  worker.postMessage(message);
}

// What the worker says.
function heard({ ready, written = [], done, stopped, failed }) {
  if (failed) return fail(failed);
  for (const step of written) {
    text.append(step);
    if (queue.length && --queue[0].left === 0) queue.shift();
    showUnpriced();
  }
  shown += written.length;
  if (shown) element("speed").textContent = `${amount((1000 * shown) / (performance.now() - started))} characters/s`;
  if (ready || done) setBusy(false);
  if (ready) {
    awake = true;
    element("status").textContent = "";
  }
  if (done) element("status").textContent = remark + summary(stopped);
}

function summary(stopped) {
  if (!text.priced) return "There is nothing to predict.";
  const kind = alphabet.bytes ? "byte" : "character";
  const average = `${amount(text.priced)} ${kind}s, ${(text.bits / text.priced).toFixed(3)} bits each`;
  if (score()) return `${average}${stopped ? ", stopped" : ""}.`;
  return `${average}.${element("greedy").checked ? "" : ` Seed ${seed()}.`}`;
}

function setBusy(now) {
  busy = now;
  element("stop").disabled = !now;
  element("go").disabled = now;
  element("copy").disabled = now || !text.items.length;
  element("more").disabled = now || !text.items.length || score();
  for (const radio of element("ask").elements.mode) radio.disabled = now;
  element("text").setAttribute("aria-busy", String(now));
}

function fail(message) {
  setBusy(true);
  element("stop").disabled = true;
  element("status").textContent = awake
    ? `It cannot go on: ${message}.`
    : `This browser could not run the model (${message}). A current Firefox, Chrome or Safari can.`;
}

async function copy() {
  try {
    await navigator.clipboard.writeText(text.text);
    element("status").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(element("text"));
    element("status").textContent = "The text is selected: copy it with your keyboard.";
  }
}
