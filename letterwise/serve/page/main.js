// Main: the shell around the four views: which one is shown, which model is asked, and what is said when there is none.
//
//   #write  #read  #inside  #runs ──▶ import("./write.js") … mount(element, app) ──▶ { show(), hide() }
//
// A view gets `app`:
//   api              what asks the server (api.js)
//   model()          the id of the chosen model, or null          onModel(callback)   called whenever it changes
//   facts()          what /v1/models says of it, or null          toast(sentence)     a word that passes
//   text             the text that Write holds, for the other views to begin with

import { Api } from "./api.js";

const VIEWS = { write: "Write", read: "Read", inside: "Look inside", runs: "Runs" };
const THEMES = { auto: ["◐", "as the system has them"], light: ["☀", "light"], dark: ["☾", "dark"] };
const WAIT_MS = 4000; // between two looks for a first model

const element = (id) => document.getElementById(id);
const mounted = {};
const listeners = [];
let models = [];
let current = null;

const app = {
  api: new Api(askForKey),
  text: "",
  model: () => element("model").value || null,
  facts: () => models.find(({ id }) => id === app.model())?.letterwise ?? null,
  onModel: (callback) => listeners.push(callback),
  toast,
};

start();

function start() {
  element("model").addEventListener("change", modelChanged);
  element("theme").addEventListener("click", nextTheme);
  element("copy-command").addEventListener("click", copyCommand);
  showTheme();
  window.addEventListener("hashchange", route);
  document.addEventListener("visibilitychange", () => document.hidden || lookForModels());
  route();
  lookForModels();
}

// Which view does the fragment name? What follows the name belongs to the view.
function asked() {
  const [, name] = location.hash.match(/^#([a-z]+)/) ?? [];
  return name in VIEWS ? name : "write";
}

async function route() {
  if (location.hash === "#main") return; // the link that skips to the content
  const name = asked();
  if (current && current !== name) mounted[current]?.hide();
  current = name;
  document.title = `${VIEWS[name]} · Letterwise`;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  arrange();
  try {
    const view = await import(`./${name}.js`);
    mounted[name] ??= view.mount(element(`view-${name}`), app);
    if (current === name) mounted[name].show();
  } catch (error) {
    console.error(error);
    element(`view-${name}`).textContent = "This view could not be opened.";
  }
}

// Only Runs has something to show where there is no model.
function arrange() {
  const empty = models.length === 0 && element("model").dataset.known === "yes";
  element("empty").hidden = !empty || current === "runs";
  for (const name of Object.keys(VIEWS)) element(`view-${name}`).hidden = name !== current || (empty && name !== "runs");
}

let looking; // the timer of the next look
async function lookForModels() {
  try {
    models = (await app.api.get("/v1/models")).data;
    element("model").dataset.known = "yes";
    trouble("");
  } catch (error) {
    trouble(error.message);
  }
  fillPicker();
  if (models.length === 0) await tellOfTraining();
  arrange();
  clearTimeout(looking);
  if (models.length === 0 && !document.hidden) looking = setTimeout(lookForModels, WAIT_MS);
}

// Before the first model: is one on its way?
async function tellOfTraining() {
  const { runs } = await app.api.get("/api/runs").catch(() => ({ runs: [] }));
  const training = runs.filter(({ state }) => state === "training").map(({ name }) => name);
  const title = element("empty-title"), words = `A run is training: ${training.join(", ")}. Its model is ready after its first check.`;
  title.textContent = training.length ? words : "There is no model yet";
}

function fillPicker() {
  const picker = element("model"), before = picker.value;
  const ids = models.map(({ id }) => id);
  picker.parentElement.hidden = ids.length === 0;
  if (ids.join("\n") === [...picker.options].map(({ value }) => value).join("\n")) return;
  picker.replaceChildren(...ids.map((id) => new Option(id, id)));
  if (ids.includes(before)) picker.value = before;
  picker.disabled = ids.length === 0;
  if (picker.value !== before) modelChanged();
}

function modelChanged() {
  for (const callback of listeners) callback(app.model());
}

function trouble(sentence) {
  element("trouble").textContent = sentence;
  element("trouble").hidden = sentence === "";
}

let passing; // the timer that takes the word away again
function toast(sentence) {
  element("toast").textContent = sentence;
  clearTimeout(passing);
  passing = setTimeout(() => (element("toast").textContent = ""), 5000);
}

function nextTheme() {
  const names = Object.keys(THEMES), root = document.documentElement;
  root.dataset.theme = names[(names.indexOf(root.dataset.theme) + 1) % names.length];
  localStorage.setItem("letterwise theme", root.dataset.theme);
  showTheme();
}

function showTheme() {
  const [sign, words] = THEMES[document.documentElement.dataset.theme] ?? THEMES.auto;
  element("theme").firstElementChild.textContent = sign;
  element("theme").setAttribute("aria-label", `Colours: ${words}`);
  element("theme").title = `Colours: ${words}`;
}

async function copyCommand() {
  await navigator.clipboard.writeText("letterwise train --input_file your.txt");
  toast("Copied.");
}

// Ask a person for the server's key. Several requests that want it at once wait for one answer.
let asking = null;
function askForKey() {
  asking ??= new Promise((resolve) => {
    const dialog = element("key"), form = dialog.querySelector("form");
    const answer = (key) => {
      dialog.onclose = null;
      dialog.close();
      asking = null;
      resolve(key);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      answer(element("key-field").value);
    };
    element("key-cancel").onclick = () => answer(null);
    dialog.onclose = () => answer(null);
    element("key-field").value = "";
    dialog.showModal();
  });
  return asking;
}
