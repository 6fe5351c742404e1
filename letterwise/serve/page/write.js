// Write: a text that a person and a model write together.
//
//   keys ─────────────┐                                    ┌─▶ coloured text (write_text, write_mirror)
//   "Go on" ──stream──┼──▶ items ──each change kept──▶ undo┼─▶ what comes here? (write_next) ──a branch──▶ stream
//   "Three ways" ─────┘    (write_stream, write_three)     └─▶ link, files (write_share), the browser's own memory
//
// There is one writer at a time: whoever types stops the model.

import { amount, legend } from "./surprise.js";
import { Drawers } from "./write_drawers.js";
import { History } from "./write_history.js";
import { keep, kept } from "./write_memory.js";
import { Next } from "./write_next.js";
import { Settings } from "./write_settings.js";
import { asJson, copy, isLink, linkTo, readLink, save } from "./write_share.js";
import { endedBecause, written } from "./write_stream.js";
import { Sheet } from "./write_text.js";
import { Three } from "./write_three.js";
import { howMany, inShort, mostIn, notAsMeant, onThePage, tooLong, unknownTo } from "./write_words.js";

const REST_MS = 500;
const SPEED_MS = 150; // between two words on how far it is

export function mount(element, app) {
  element.append(document.getElementById("write-template").content.cloneNode(true));
  const view = new Write(element, app);
  return { show: () => view.show(), hide: () => view.keep() };
}

class Write {
  constructor(element, app) {
    Object.assign(this, { element, app, history: new History(), controller: null, mostRead: Infinity });
    this.settingsWith = new WeakMap(); // of states of the text between which a link changed the settings
    this.part = (selector) => element.querySelector(selector);
    this.sheet = new Sheet({
      area: this.part("textarea"),
      mirror: this.part(".mirror"),
      mark: this.part(".mark"),
      edited: (before) => this.edited(before),
      moved: (index, pointed) => this.moved(index, pointed),
    });
    this.drawers = new Drawers(element, { closed: () => this.sheet.markAt(null) });
    this.settings = new Settings(this.part("form"), { refused: (...asked) => this.refused(...asked), changed: () => this.settingsChanged() });
    this.next = new Next(this.part(".write-next"), {
      app,
      sheet: this.sheet,
      settings: () => this.settings.drawing(),
      branch: (index, item) => this.branch(index, item),
      failed: (error) => this.learnMost(error),
    });
    this.three = new Three(this.part(".write-three"), { app, chosen: (items) => this.chosen(items) });
    this.part(".write-legend").append(legend());
    this.listen();
    this.remember();
    app.onModel(() => this.modelChanged());
    this.modelChanged();
    this.changed();
    this.say("");
  }

  listen() {
    const actions = {
      write: () => (this.controller ? this.stop() : this.goOn()),
      three: () => this.growThree(),
      undo: () => this.travel("undo"),
      redo: () => this.travel("redo"),
      copy: () => this.copyText(),
      share: () => this.share(),
      "save-text": () => save("letterwise.txt", "text/plain;charset=utf-8", this.sheet.text),
      "save-json": () => save("letterwise.json", "application/json", asJson(this.sheet.items, this.state())),
      defaults: () => this.loadSettings(this.settings.first),
      settings: () => this.drawers.toggle(this.part("#write-settings")),
    };
    this.element.addEventListener("click", ({ target }) => {
      actions[target.closest("[data-do]")?.dataset.do]?.();
      if (target.closest("[data-close]")) this.drawers.close(true);
      const menu = this.part(".menu");
      if (!menu.contains(target) || target.closest("button")) menu.open = false;
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.sheet.area.addEventListener("beforeinput", (event) => {
      const name = { historyUndo: "undo", historyRedo: "redo" }[event.inputType];
      if (name) event.preventDefault();
      if (name) this.travel(name);
    });
    this.part("#write-colours").addEventListener("change", ({ target }) => this.element.classList.toggle("plain", !target.checked));
    window.addEventListener("pagehide", () => this.keep());
  }

  key(event) {
    const command = event.ctrlKey || event.metaKey, own = event.target.closest("form") === null;
    if (command && event.key === "Enter") this.goOn();
    else if (event.key === "Escape") this.escape();
    else if (command && own && !event.altKey && event.key.toLowerCase() === "z") this.travel(event.shiftKey ? "redo" : "undo");
    else if (command && own && event.key.toLowerCase() === "y") this.travel("redo");
    else return;
    event.preventDefault();
  }

  escape() {
    this.part(".menu").open = false;
    if (this.controller) this.stop();
    else this.drawers.close(true);
  }

  async show() {
    if (!isLink(location.hash)) return;
    const shared = await readLink(location.hash), mine = this.sheet.items.length > 0;
    history.replaceState(null, "", "#write");
    if (!shared) return this.complain("This link is damaged or cut; ask for it again.");
    this.replaceAll(shared.text, shared.settings);
    this.app.toast(`This text came with the link${mine ? ", and so did its settings. Undo brings back yours" : ""}.`);
  }

  // A text and settings from elsewhere: yours stay behind "Undo".
  replaceAll(text, settings) {
    this.stop();
    this.history.keep(this.sheet.items);
    this.settingsWith.set(this.sheet.items, this.settings.dump());
    this.sheet.set(Array.from(text, (character) => ({ character, bits: null })));
    this.settingsWith.set(this.sheet.items, settings);
    this.changed();
    this.say("");
    this.loadSettings(settings);
  }

  modelChanged() {
    const facts = this.app.facts();
    this.part("[data-do=write]").disabled = this.part("[data-do=three]").disabled = !facts;
    if (!facts) return;
    this.part(".write-facts").textContent = inShort(facts);
    this.next.again();
    this.showStrange();
  }

  // What is asked for: the text so far, and how to go on.
  request(length) {
    return { model: this.app.model(), prompt: this.sheet.text, max_tokens: length, seed: this.settings.seed(), ...this.settings.values() };
  }

  // Is there something that nobody need ask the server about?
  impossible() {
    const sentence = this.settings.checkNumbers() ?? tooLong(this.sheet.items.length, this.mostRead);
    this.complain(sentence);
    return sentence !== "";
  }

  goOn() {
    this.stop();
    if (this.impossible()) return;
    this.history.keep(this.sheet.items);
    return this.grow(this.settings.length);
  }

  // Put another character at a place, or none, and let the rest grow anew.
  branch(index, item) {
    this.stop();
    if (this.impossible()) return;
    const rest = this.sheet.items.length - index - (item ? 1 : 0);
    this.history.keep(this.sheet.items);
    this.sheet.replace(index, this.sheet.items.length, item ? [item] : []);
    this.drawers.close(false);
    return this.grow(rest > 0 ? rest : this.settings.length);
  }

  async grow(length) {
    if (!this.app.model()) return;
    const { signal } = (this.controller = new AbortController());
    const started = performance.now(), from = this.sheet.items.length;
    let ended = null, said = 0;
    this.three.close();
    this.busy(true);
    try {
      for await (const piece of written(this.app.api, this.request(length), signal)) {
        if (signal.aborted) return;
        this.sheet.append(piece.items);
        ended = piece.ended ?? ended;
        if (performance.now() < said + SPEED_MS) continue;
        this.showSpeed(from, length, started);
        said = performance.now();
      }
      this.sheet.flush();
      this.done(from, ended);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
    } finally {
      if (this.controller?.signal === signal) this.rest();
    }
  }

  showSpeed(from, length, started) {
    const count = this.sheet.items.length + this.sheet.pending.length - from, seconds = (performance.now() - started) / 1000;
    this.part(".write-speed").textContent = `${amount(count)} of ${amount(length)}${seconds > 0.5 ? ` · ${amount(count / seconds)} a second` : ""}`;
  }

  done(from, ended) {
    const fresh = this.sheet.items.slice(from), bits = fresh.reduce((sum, item) => sum + item.bits, 0);
    const sentence = fresh.length
      ? `${endedBecause(ended)}${howMany(fresh.length)} · ${(bits / fresh.length).toFixed(2)} bits each · seed ${this.settings.lastSeed}`
      : `Nothing was written. ${endedBecause(ended)}`;
    this.say(sentence, fresh.length ? `Written: ${sentence}` : sentence);
  }

  // A word on what has just happened, or none, and then how long the text is; `aloud` for those who hear the page.
  say(sentence, aloud = sentence) {
    this.part(".write-speed").textContent = sentence || howMany(this.sheet.items.length);
    this.part(".write-status").textContent = aloud;
    if (sentence === "") this.complain("");
  }

  complain(sentence) {
    this.part(".write-error").textContent = sentence;
  }

  fail(error) {
    const sentence = onThePage(error.message);
    this.sheet.flush();
    this.say("");
    this.complain(sentence);
    this.learnMost(error);
    if (error.param) this.settings.blame(error.param, sentence);
  }

  // How much the server reads, out of what it refused.
  learnMost(error) {
    this.mostRead = Math.min(this.mostRead, mostIn(error.message));
    const sentence = tooLong(this.sheet.items.length, this.mostRead);
    if (sentence) this.complain(sentence);
  }

  // The model stops; what it wrote so far stays.
  stop() {
    if (!this.controller) return;
    this.controller.abort();
    this.sheet.flush();
    this.say("Stopped.");
    this.rest();
  }

  rest() {
    this.controller = null;
    this.busy(false);
    this.sheet.goTo(this.sheet.items.length);
    this.changed();
  }

  busy(is) {
    const button = this.part("[data-do=write]");
    button.textContent = is ? "Stop" : "Go on";
    this.element.classList.toggle("writing", is);
    if (is) this.say("");
    if (is) this.next.look(null);
  }

  async growThree() {
    this.stop();
    if (this.impossible()) return;
    this.say("");
    try {
      await this.three.grow(this.request(this.settings.length));
    } catch (error) {
      if (error.name !== "AbortError") this.fail(error);
    }
  }

  chosen(items) {
    const from = this.sheet.items.length;
    this.history.keep(this.sheet.items);
    this.sheet.append(items);
    this.sheet.flush();
    this.changed();
    this.say("");
    this.sheet.area.focus({ preventScroll: true });
    this.sheet.goTo(this.sheet.items.length);
    this.sheet.reveal(from);
  }

  edited(before) {
    if (this.controller) {
      this.sheet.forget();
      this.controller.abort();
      this.controller = null;
      this.busy(false);
    }
    this.three.close();
    this.history.keepTyping(before, performance.now());
    this.changed();
    this.say("");
    this.complain(tooLong(this.sheet.items.length, this.mostRead));
  }

  moved(index, pointed) {
    if (this.controller) return;
    if (this.drawers.narrow && !this.part(".write-next").classList.contains("open")) {
      const byModel = pointed && this.sheet.items[index]?.bits !== null;
      if (!byModel) return;
      this.drawers.toggle(this.part(".write-next"));
      this.part(".write-next").focus({ preventScroll: true }); // and a keyboard on the screen goes away
      this.next.look(index);
      this.sheet.showMark();
      return;
    }
    if (pointed) this.part(".write-side").scrollTop = 0; // where the answer stands
    this.next.look(index);
  }

  travel(way) {
    this.stop();
    const items = this.history[way](this.sheet.items);
    if (!items) return;
    this.sheet.set(items);
    if (this.settingsWith.has(items)) this.loadSettings(this.settingsWith.get(items));
    this.changed();
    this.say("");
    this.next.look(null);
  }

  changed() {
    for (const [name, states] of [["undo", this.history.past], ["redo", this.history.future]]) this.part(`[data-do=${name}]`).disabled = states.length === 0;
    for (const name of ["copy", "share", "save-text", "save-json"]) this.part(`[data-do=${name}]`).disabled = this.sheet.items.length === 0;
    this.later();
  }

  // Which characters of the text has the model never seen?
  showStrange() {
    const strange = unknownTo(this.app.facts(), this.sheet.items.map(({ character }) => character));
    this.part(".write-note").textContent = strange && `Not in this model's alphabet, and passed over: ${strange}`;
  }

  // What goes over the whole text has time until the keys rest.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.keep();
      this.showStrange();
    }, REST_MS);
  }

  loadSettings(values) {
    this.settings.load(values);
    this.settingsChanged();
  }

  settingsChanged() {
    this.complain("");
    this.next.again();
    this.later();
  }

  // Would the server write with these fields? Its first character is enough.
  async refused(fields, signal) {
    try {
      const request = { model: this.app.model(), prompt: "", max_tokens: this.settings.length, ...fields };
      for await (const piece of written(this.app.api, request, signal)) if (piece) break;
    } catch (error) {
      if (error.status === 400 || error.status === 422) return onThePage(error.message);
    }
    return notAsMeant(fields, this.app.facts());
  }

  async copyText() {
    await copy(this.sheet.text, this.sheet.area);
    this.app.toast("The text is copied.");
  }

  async share() {
    await copy(await linkTo(this.state()), this.sheet.area);
    this.app.toast("A link is copied. It holds the text and the settings, and the server never sees them.");
  }

  state() {
    return { model: this.app.model(), seed: this.settings.lastSeed, settings: this.settings.dump(), text: this.sheet.text };
  }

  // The browser remembers the text and the settings until the next time.
  keep() {
    this.app.text = this.sheet.text;
    keep(this.sheet.items, this.settings.dump());
  }

  remember() {
    const { items, settings } = kept();
    this.settings.load(settings);
    this.sheet.set(items);
    this.app.text = this.sheet.text;
  }
}
