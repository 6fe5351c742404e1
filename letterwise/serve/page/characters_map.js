// Map of the characters: the two directions in which a model's embeddings differ most, and where each character lies.
//
//   points (x, y) ──scaled, labels pushed apart──▶ <svg>        a character ──▶ its nearest neighbours, joined to it
//
// The picture is drawn anew for each width, so that its letters have the size of the page's letters.

import { announcer, h } from "./elements.js";
import { glyph, quoted } from "./spelling.js";
import { percent } from "./surprise.js";

const MOST = 600; // characters that are drawn: more would be a cloud
const NEAREST = 4;
const LITTLE = 0.25; // of all variance: a smaller share is said to be little
const EDGE = 22; // pixels between the outermost characters and the frame
const ROOM = 15; // pixels between two labels
const KINDS = { vowel: "vowels", consonant: "other small letters", capital: "capitals", digit: "digits", other: "signs and spaces" };

export class CharactersMap {
  constructor(element) {
    this.svg = h("svg", { tabindex: "0", role: "img" });
    this.words = h("p", { class: "look-nearest" });
    this.note = h("p", { class: "hint" });
    this.spoken = h("p", { class: "unseen", role: "status" });
    this.announce = announcer(this.spoken);
    const key = Object.entries(KINDS).map(([kind, words]) => h("span", { class: `kind-${kind}` }, words));
    element.append(this.svg, h("div", { class: "look-key hint" }, ...key), this.words, this.note, this.spoken);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("click", (event) => this.point(event));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.answer && this.draw()).observe(element);
  }

  show(answer) {
    this.answer = answer;
    this.chosen = Math.max(0, answer.points.slice(0, MOST).findIndex(({ character }) => character === "e"));
    const [across, down] = answer.explained, all = answer.points.length;
    this.note.textContent = `Two directions out of many: they hold ${percent(across + down)} of how the characters differ.`
      + (across + down < LITTLE ? " That is little: what is close here may be far apart, above all where training was short." : "")
      + (all > MOST ? ` ${MOST} of ${all} characters are drawn.` : "");
    this.draw();
  }

  draw() {
    const width = this.svg.parentElement.clientWidth, height = Math.max(300, Math.min(560, 0.6 * width));
    if (!width) return;
    this.places = spread(this.answer.points.slice(0, MOST), width, height);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("aria-label", `Map of ${this.places.length} characters. Arrow keys go from one to the next.`);
    this.lines = h("g", { class: "look-lines" });
    this.labels = this.places.map(({ character, x, y }) =>
      h("text", { x, y, dy: "0.35em", class: `kind-${kind(character)}` }, glyph(character)));
    this.svg.replaceChildren(this.lines, ...this.labels);
    if (this.places.length) this.choose(this.chosen);
  }

  choose(at) {
    this.labels[this.chosen]?.classList.remove("chosen");
    this.chosen = at;
    this.labels[at].classList.add("chosen");
    const here = this.places[at];
    const near = this.nearest(at).map((i) => this.places[i]);
    this.lines.replaceChildren(...near.map((there) => h("line", { x1: here.x, y1: here.y, x2: there.x, y2: there.y })));
    this.words.textContent = near.length ? `${quoted(here.character)} lies nearest to ${near.map((there) => quoted(there.character)).join(", ")}.` : "";
  }

  // By where they really lie, not by where there was room for their labels.
  nearest(at) {
    const { points } = this.answer, far = (i) => Math.hypot(points[i].x - points[at].x, points[i].y - points[at].y);
    return [...this.places.keys()].filter((i) => i !== at).sort((a, b) => far(a) - far(b)).slice(0, NEAREST);
  }

  point({ clientX, clientY }) {
    const { left, top } = this.svg.getBoundingClientRect(), x = clientX - left, y = clientY - top;
    const far = (place) => Math.hypot(place.x - x, place.y - y);
    const at = this.places.reduce((best, place, i) => (far(place) < far(this.places[best]) ? i : best), 0);
    if (far(this.places[at]) < 24 && at !== this.chosen) this.choose(at);
  }

  // The next character in that direction: near, and not too far to the side.
  key(event) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const here = this.places[this.chosen], cost = (place) => {
      const x = place.x - here.x, y = place.y - here.y, ahead = x * step[0] + y * step[1], aside = Math.abs(x * step[1] + y * step[0]);
      return ahead > 0 ? ahead + 2 * aside : Infinity;
    };
    const at = this.places.reduce((best, place, i) => (cost(place) < cost(this.places[best]) ? i : best), this.chosen);
    if (cost(this.places[at]) === Infinity) return;
    this.choose(at);
    this.announce(this.words.textContent);
  }
}

function kind(character) {
  if (/^[aeiouyàâäæéèêëíîïóôöœúùûüå]$/.test(character)) return "vowel";
  if (/^\p{Lu}$/u.test(character)) return "capital";
  if (/^\p{L}$/u.test(character)) return "consonant";
  return /^\p{N}$/u.test(character) ? "digit" : "other";
}

// Places in a picture of this size; labels that would lie upon each other are pushed apart, a little in each round.
function spread(points, width, height) {
  const scale = (name, size) => {
    const all = points.map((point) => point[name]), low = Math.min(...all), high = Math.max(...all);
    return (value) => EDGE + ((value - low) / (high - low || 1)) * (size - 2 * EDGE);
  };
  const x = scale("x", width), y = scale("y", height);
  const places = points.map((point) => ({ character: point.character, x: x(point.x), y: height - y(point.y) }));
  const rounds = places.length > 200 ? 4 : 40;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < places.length; i++) {
      for (let j = 0; j < i; j++) {
        const a = places[i], b = places[j], dx = a.x - b.x || 0.01, dy = a.y - b.y || 0.01, far = Math.hypot(dx, dy);
        if (far >= ROOM) continue;
        const push = (ROOM - far) / far / 4;
        a.x += dx * push, a.y += dy * push, b.x -= dx * push, b.y -= dy * push;
      }
    }
  }
  for (const place of places) {
    place.x = Math.max(EDGE / 2, Math.min(width - EDGE / 2, place.x));
    place.y = Math.max(EDGE / 2, Math.min(height - EDGE / 2, place.y));
  }
  return places;
}
