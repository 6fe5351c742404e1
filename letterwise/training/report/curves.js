// Curves: how runs learned, drawn from the rows of their metrics.jsonl. It needs no other file, and asks no network for anything.
//
//   runs: [{name, rows, state, baselines}] ──panelsOf──▶ curves in numbers ──drawCurves──▶ panels in an element
//
// name       what the run is called; shown as text, whatever it holds
// rows       those of metrics.jsonl, in their order; a row of a kind that is not known here is passed over
// state      "training" while it learns; anything else is over
// baselines  optional, {name: bits per character}: lines across the loss, where all runs have the same
//
// `drawCurves` may be called again at any time, with more rows or other runs: what the reader chose (axis, cursor) stays.

const UNITS = { chars: "characters learned from", step: "steps", seconds: "minutes:seconds" };
const AXES = { chars: "characters learned from", step: "steps", seconds: "time" };
const HUES = [0, 2, 3, 4, 5, 6, 7, 1]; // colours of several runs, before they repeat, then dashed
const EARLY = 0.05; // of the run: before that, the loss falls from so high that all the rest would look flat
const FLAT = 2.5; // times as high a drawing is not yet that
const LEFT = 46, RIGHT = 50, TOP = 10, BELOW = 40, RING = 8; // pixels around a drawing, at least; how far a ring goes
const LETTER = 7.2; // pixels, of a figure at an axis
const MEANING = {
  loss: "How surprised it is by each character: lower is better. Validation is text that it does not learn from. Nats and bits are two units of the same thing.",
  "learning rate": "How large the steps are in which it learns.",
  "characters per second": "How fast it goes through the text.",
  "gradient norm": "How large a change the text asks for at each step. Sudden peaks are a sign of trouble.",
};
const KINDS = { validation: "val_nats_per_char", subset: "val_nats_per_char", old: "old_val_nats_per_char" };
const VALIDATION = 0, TRAINING = 1, RATE = 2, SPEED = 3, OLD = 4, NORM = 5; // colours, where there is one run
const DASHES = ["2 4", "8 4", "8 3 2 3", "14 4"]; // of baselines

const STYLE = `
.curves { --curves-ink: currentColor; --curves-paper: light-dark(#fff, #121212); container-type: inline-size;
  font: 0.85rem/1.4 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.curves .hue0 { --hue: light-dark(#c2334a, #f0758a); } .curves .hue1 { --hue: light-dark(#6b7280, #a3a9b4); }
.curves .hue2 { --hue: light-dark(#1f6fb2, #6fb3ea); } .curves .hue3 { --hue: light-dark(#1b7f5c, #5cc79f); }
.curves .hue4 { --hue: light-dark(#b25b00, #f0a04b); } .curves .hue5 { --hue: light-dark(#7a3fb0, #c39af0); }
.curves .hue6 { --hue: light-dark(#0b7a86, #58c4d0); } .curves .hue7 { --hue: light-dark(#8c6d00, #d6b84a); }
.curves figure { margin: 0 0 0.9rem; }
.curves figcaption b { font-weight: 600; }
.curves .readout { display: flex; flex-wrap: wrap; align-content: start; gap: 0 1rem; min-height: 1.4em; overflow-wrap: anywhere; }
.curves .readout i { color: var(--hue); font-style: normal; }
.curves .loss .readout { min-height: 2.8em; }
@container (max-width: 34rem) { .curves .loss .readout { min-height: 5.6em; } }
.curves svg { display: block; width: 100%; overflow: hidden; touch-action: pan-y; }
.curves text { font-size: 12px; fill: currentColor; opacity: 0.75; }
.curves .grid { stroke: currentColor; opacity: 0.15; }
.curves .cursor { stroke: currentColor; opacity: 0.5; }
.curves .across { stroke: currentColor; opacity: 0.6; }
.curves path { fill: none; stroke: var(--hue); stroke-width: 1.75; stroke-linejoin: round; }
.curves path.raw { stroke-width: 1; opacity: 0.35; }
.curves path.apart { stroke-width: 1; opacity: 0.6; stroke-dasharray: 1 3; }
.curves path.training { opacity: 0.75; stroke-width: 1.25; }
.curves circle { fill: var(--hue); }
.curves circle.subset { fill: var(--curves-paper); stroke: var(--hue); opacity: 0.75; }
.curves circle.best { fill: none; stroke: var(--hue); stroke-width: 2; }
.curves circle.raw { opacity: 0.35; }
.curves .meaning { margin: 0; opacity: 0.8; }
.curves .legend { display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; margin: 0.2rem 0 0; padding: 0; list-style: none; }
.curves .legend li { overflow-wrap: anywhere; }
.curves .legend svg { display: inline-block; width: 26px; height: 10px; margin-right: 0.4em; }
.curves .choices { display: flex; flex-wrap: wrap; gap: 0.3rem 1rem; align-items: center; margin-bottom: 0.5rem; }
.curves .choices[hidden] { display: none; }
.curves .choices label { display: flex; flex-wrap: wrap; gap: 0.4rem; align-items: center; }
.curves .choices input { width: min(14rem, 60vw); }
`;

let styled = false;
const views = new WeakMap(); // element → its View

/** Draw runs into an element, or draw them anew. `options.axis`: "chars" (else), "step" or "seconds", until the reader chooses. */
export function drawCurves(element, runs, options = {}) {
  if (!styled) {
    const sheet = new CSSStyleSheet(); // which a Content-Security-Policy lets pass
    sheet.replaceSync(STYLE);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    styled = true;
  }
  if (!views.has(element)) views.set(element, new View(element, options.axis));
  views.get(element).show(runs);
}

/** Rows, from the short form in which a page holds them: [{keys, rows: [values, in the order of keys]}]. */
export function unpacked(packed) {
  return packed.flatMap(({ keys, rows }) => rows.map((values) => Object.fromEntries(keys.map((key, i) => [key, values[i]]))));
}

/** What is to be drawn, in numbers: [{title, unit, curves: [{name, kind, hue, dashed, points: [{x, y, row}]}], low, high, …}]. */
export function panelsOf(runs, axis = "chars") {
  const one = runs.length === 1;
  const loss = [], rate = [], speed = [], norm = [];
  runs.forEach((run, i) => {
    const look = (hue) => ({ hue: one ? hue : HUES[i % HUES.length], dashed: !one && Math.floor(i / HUES.length) % 2 === 1 });
    const of = (kind) => run.rows.filter((row) => (row.kind ?? null) === kind);
    const training = of("training"), validations = of(null);
    const steps = training.length ? training : validations.filter((row) => row.step > 0); // an older run has no others
    const add = (panel, name, kind, hue, rows, key) => {
      const points = pointsOf(rows, axis, key);
      if (points.length) panel.push({ name: one ? name : `${run.name}: ${name}`, run: i, kind, ...look(hue), points, goesOn: run.state === "training" });
    };
    if (one) add(loss, "training, each step", "raw", TRAINING, training, "loss");
    const smoothed = training.length > 0;
    add(loss, one && smoothed ? "training, smoothed" : "training", "training", TRAINING, steps, smoothed ? "smoothed_loss" : "train_nats_per_char");
    add(loss, "validation on a part of its text", "subset", VALIDATION, of("subset"), KINDS.subset);
    const { kind } = loss.at(-1) ?? {};
    add(loss, "validation", "validation", VALIDATION, validations, KINDS.validation);
    if (kind === "subset" && loss.at(-1).kind !== kind) loss.at(-1).apart = true; // the part has more points, and the line
    if (one) add(loss, "the base model's own text", "old", OLD, validations, KINDS.old);
    add(rate, "learning rate", "line", RATE, steps, "learning_rate");
    add(speed, "speed", "line", SPEED, steps, "chars_per_second");
    add(norm, "gradient norm", "line", NORM, training, "gradient_norm");
  });
  const shared = ([name, bits]) => drawable(bits) && runs.every((run) => run.baselines?.[name] === bits);
  const baselines = Object.entries(runs[0]?.baselines ?? {}).filter(shared);
  const lines = baselines.map(([name, bits]) => ({ name, y: bits * Math.LN2, words: `${bits.toFixed(2)} bits` }));
  const end = Math.max(0, ...ends([loss, rate, speed, norm].flat().flatMap((curve) => curve.points.map((point) => point.x))));
  return [
    ["loss", "nats per character", loss, { lines, bits: true, height: 260, end }],
    ["learning rate", "", rate, { fromZero: true, end }],
    ["characters per second", "", speed, { fromZero: true, end }],
    ["gradient norm", "", norm, { fromZero: true, end }],
  ].filter(([, , curves]) => curves.length).map((parts) => panel(...parts));
}

// So that differences stay finite.
const drawable = (value) => typeof value === "number" && Math.abs(value) < 1e100;

function pointsOf(rows, axis, key) {
  const points = [];
  for (const row of rows) {
    const x = row[axis], y = row[key];
    if (!drawable(x) || x < 0) continue;
    if (drawable(y)) points.push({ x, y, row });
    else if (points.length && points.at(-1).y !== null) points.push({ x, y: null, row }); // a gap
  }
  return points.some((point) => point.y !== null) ? points : [];
}

function panel(title, unit, curves, { lines = [], bits = false, fromZero = false, height = 110, end }) {
  const known = curves.map((curve) => curve.points.filter((point) => point.y !== null)), shown = known.flat();
  const late = known.flatMap((points) => points.filter((point, i) => point.x >= EARLY * end || i === points.length - 1));
  let [low, top] = ends(shown.map((point) => point.y)), [, high] = ends(late.map((point) => point.y));
  if (top - low < FLAT * (high - low)) high = top;
  const margin = 0.3 * (high - low); // a line farther away would flatten the curves
  const near = lines.filter(({ y }) => y >= low - margin && y <= high + margin);
  for (const { y } of near) [low, high] = [Math.min(low, y), Math.max(high, y)];
  if (fromZero) low = Math.min(0, low);
  [low, high] = apart(low, high);
  const rows = ticks(low, high, Math.max(2, Math.floor(height / 40)), true);
  return { title, unit, curves, lines: near, far: lines.filter((line) => !near.includes(line)), bits, height, end: end || 1,
    rows, low: rows[0], high: rows.at(-1), cut: top > rows.at(-1) };
}

// The least and the greatest of many numbers.
function ends(numbers) {
  return numbers.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

// A range that can be divided.
function apart(low, high) {
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (high - low > 1e-3 * size) return [low, high];
  const margin = 0.1 * size || 1;
  return [low ? low - margin : 0, high + margin];
}

/** Multiples of 1, 2 or 5 × 10ⁿ within a range, or, `outward`, just around it; `most` steps at most. */
export function ticks(low, high, most, outward = false) {
  for (let power = Math.floor(Math.log10((high - low) / most)); ; power++) {
    for (const factor of [1, 2, 5]) {
      const step = factor * 10 ** power, slack = 1e-9;
      const [up, down] = outward ? [Math.floor, Math.ceil] : [Math.ceil, Math.floor];
      const sign = outward ? 1 : -1;
      const first = up(low / step + sign * slack), last = down(high / step - sign * slack);
      if (last - first <= most) return Array.from({ length: last - first + 1 }, (_, i) => Number(`${(first + i) * factor}e${power}`));
    }
  }
}

/** A number in few letters: 20k, 1.5M, 6e-4. */
export const short = (value) => rounded(value, 3);

function rounded(value, digits) {
  const size = Math.abs(value);
  for (const [unit, name] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit && size < 1e12) return `${Number((value / unit).toPrecision(digits))}${name}`;
  }
  if (size === 0 || (size >= 0.01 && size < 1e12)) return `${Number(value.toPrecision(digits))}`;
  return value.toExponential(digits - 1).replace(/\.?0+e/, "e").replace("e+", "e");
}

/** Seconds as 1:05 or 1:00:05. */
export function duration(seconds) {
  const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(s / 60);
  return minutes < 60 ? `${minutes}:${two(s % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`;
}

/** Numbers at equal distances, with as many digits as tell them apart. */
export function labels(values) {
  const size = (value) => Math.floor(Math.log10(Math.abs(value)) + 1e-9);
  const digits = size(Math.max(...values.map(Math.abs))) - size(values[1] - values[0]) + 1;
  return values.map((value) => rounded(value, Math.max(3, digits)));
}

const place = (value, axis) => (axis === "seconds" ? duration(value) : short(value));

/** What the curves of a panel say at a place, by their points nearest to it: [{hue, words}]. Of several runs, the validation alone. */
export function saidAt(panel, x) {
  const several = new Set(panel.curves.map((curve) => curve.run)).size > 1;
  const main = panel.curves.some((curve) => curve.kind === "validation") ? ["validation"] : ["training", "line"];
  return panel.curves.filter((curve) => (several ? main.includes(curve.kind) : curve.kind !== "raw")).map((curve) => {
    const { y, row } = nearest(curve, x);
    const value = panel.bits ? `${y.toFixed(4)} = ${(y / Math.LN2).toFixed(4)} bits` : short(y);
    return { hue: curve.hue, words: `${curve.name} ${value} at step ${row.step.toLocaleString("en")}` };
  });
}

function nearest(curve, x) {
  let near = null;
  for (const point of curve.points) {
    if (point.y !== null && (near === null || Math.abs(point.x - x) < Math.abs(near.x - x))) near = point;
  }
  return near;
}

class View {
  constructor(element, axis = "chars") {
    this.element = element;
    this.axis = axis in AXES ? axis : "chars";
    this.cursor = null; // 0 … 1 along the axis, once the reader points somewhere
    this.runs = [];
    this.width = 0;
    element.classList.add("curves");
    this.select = made("select", {}, ...Object.entries(AXES).map(([value, words]) => made("option", { value }, words)));
    this.select.value = this.axis;
    this.select.addEventListener("change", () => { this.axis = this.select.value; this.draw(); });
    this.range = made("input", { type: "range", min: 0, max: 1, step: 0.005, value: 1 });
    this.at = made("output");
    this.range.addEventListener("input", () => this.point(Number(this.range.value)));
    const choices = made("div", { class: "choices" }, made("label", {}, "over", this.select), made("label", {}, "look at", this.range, this.at));
    this.panels = made("div");
    element.replaceChildren(choices, this.panels);
    new ResizeObserver(() => { if (element.clientWidth !== this.width) this.draw(); }).observe(element);
  }

  show(runs) {
    this.runs = runs;
    this.draw();
  }

  draw() {
    this.width = this.element.clientWidth;
    this.shown = panelsOf(this.runs, this.axis).map((panel) => ({ ...panel, ...labelled(panel) }));
    const room = (of) => 16 + LETTER * Math.max(0, ...this.shown.flatMap(of).map((words) => words.length));
    this.left = Math.max(LEFT, room((panel) => panel.labels));
    this.right = Math.max(RIGHT, room((panel) => panel.bitLabels));
    this.figures = this.shown.map((panel) => this.figure(panel));
    this.panels.replaceChildren(...(this.figures.length ? this.figures : [made("p", {}, "Nothing has been measured yet.")]));
    this.element.firstChild.hidden = !this.figures.length;
    this.say(this.cursor ?? 1);
  }

  // Where a value stands, in pixels.
  scales(panel) {
    const { left, right } = this, width = Math.max(60, (this.width || 600) - left - right);
    return {
      width,
      left,
      x: (value) => left + (value / panel.end) * width,
      y: (value) => TOP + panel.height - ((value - panel.low) / (panel.high - panel.low)) * panel.height,
    };
  }

  figure(panel) {
    const { width, left, x, y } = this.scales(panel), across = { x1: left, x2: left + width };
    const height = TOP + panel.height + BELOW;
    const drawing = svg("svg", { viewBox: `0 0 ${left + width + this.right} ${height}`, height, role: "img", "aria-label": summary(panel) });
    panel.rows.forEach((value, i) => {
      drawing.append(svg("line", { class: "grid", ...across, y1: y(value), y2: y(value) }));
      drawing.append(svg("text", { x: left - 10, y: y(value) + 4, "text-anchor": "end" }, panel.labels[i]));
      if (panel.bits) drawing.append(svg("text", { x: left + width + 10, y: y(value) + 4 }, panel.bitLabels[i]));
    });
    for (const value of ticks(0, panel.end, width < 400 ? 3 : 6)) {
      drawing.append(svg("text", { x: x(value), y: height - 22, "text-anchor": "middle" }, place(value, this.axis)));
    }
    drawing.append(svg("text", { x: left + width, y: height - 4, "text-anchor": "end" }, `${UNITS[this.axis]} →`));
    const box = [left - RING, TOP - RING, width + 2 * RING, panel.height + 2 * RING];
    const inner = svg("svg", { x: box[0], y: box[1], width: box[2], height: box[3], viewBox: box.join(" ") }); // what is above is cut off
    panel.lines.forEach((line, i) => inner.append(svg("line", { class: "across", ...across, y1: y(line.y), y2: y(line.y),
      "stroke-dasharray": DASHES[i % DASHES.length] })));
    for (const curve of panel.curves) inner.append(...drawn(curve, x, y));
    inner.append(svg("line", { class: "cursor", x1: -9, x2: -9, y1: TOP, y2: TOP + panel.height }));
    drawing.append(inner);
    const move = (event) => {
      const box = drawing.getBoundingClientRect();
      this.point(Math.min(1, Math.max(0, (event.clientX - box.left - left) / width)));
    };
    drawing.addEventListener("pointermove", move);
    drawing.addEventListener("pointerdown", move);
    const title = panel.unit ? `${panel.title}, ${panel.unit}${panel.bits ? " (right: bits)" : ""}` : panel.title;
    const meaning = MEANING[panel.title] + (panel.cut ? " The first steps are above what is drawn." : "");
    const caption = made("figcaption", {}, made("b", {}, title), made("p", { class: "meaning" }, meaning), made("span", { class: "readout" }));
    return made("figure", { class: panel.title }, caption, drawing, ...(panel.bits ? [this.legend(panel)] : []));
  }

  // What the lines are. Of several runs, each once: its validation is the thick line, its training the thin one.
  legend(panel) {
    const sample = (attributes, ...hue) => svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true", class: hue.join(" ") },
      svg("path", { d: "M0 5H26", ...attributes }));
    const several = this.runs.length > 1;
    const entries = several
      ? this.runs.map((run, i) => [sample(i >= HUES.length ? { "stroke-dasharray": "6 4" } : {}, `hue${HUES[i % HUES.length]}`), run.name + stateWords(run)])
      : panel.curves.map((curve) => [sample({ class: curve.kind }, `hue${curve.hue}`), curve.name + bestWords(curve)]);
    panel.lines.forEach((line, i) => entries.push([svg("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" },
      svg("line", { class: "across", x1: 0, x2: 26, y1: 5, y2: 5, "stroke-dasharray": DASHES[i % DASHES.length] })), `${line.name}: ${line.words}`]));
    for (const line of panel.far) entries.push([`${line.name}: ${line.words} (too far away to be drawn)`]);
    if (several) entries.push(["thick: validation, small points on a part of its text; thin: training, smoothed; ring: the best"]);
    return made("ul", { class: "legend" }, ...entries.map((parts) => made("li", {}, ...parts)));
  }

  // The reader points at a place, 0 … 1 along the axis.
  point(share) {
    this.cursor = share;
    this.range.value = share;
    this.say(share);
  }

  // What stands there; until somebody points, at the end.
  say(share) {
    const words = this.shown.map((panel, i) => {
      const { x } = this.scales(panel), at = share * panel.end;
      const cursor = this.figures[i].querySelector(".cursor");
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, this.cursor === null ? -9 : x(at));
      const said = saidAt(panel, at);
      const entries = said.map(({ hue, words }) => made("span", {}, made("i", { class: `hue${hue}` }, "● "), words));
      this.figures[i].querySelector(".readout").replaceChildren(...entries);
      return said.map(({ words }) => words).join(", ");
    });
    this.range.setAttribute("aria-valuetext", words.join("; "));
    const end = Math.max(0, ...this.shown.map((panel) => panel.end)), of = { chars: "characters", step: "steps", seconds: "" }[this.axis];
    this.at.textContent = this.shown.length ? `${place(share * end, this.axis)} ${of}` : "";
  }
}

// A curve's line, broken at its gaps, and the points of validations.
function drawn(curve, x, y) {
  let path = "", pen = "M";
  for (const point of curve.points) {
    if (point.y !== null) path += `${pen}${x(point.x).toFixed(1)} ${y(point.y).toFixed(1)}`;
    pen = point.y === null ? "M" : "L";
  }
  const found = [svg("path", { class: `${curve.kind}${curve.apart ? " apart" : ""} hue${curve.hue}`, d: path, ...(curve.dashed ? { "stroke-dasharray": "6 4" } : {}) })];
  const isolated = (point, i) => [curve.points[i - 1], curve.points[i + 1]].every((next) => (next?.y ?? null) === null);
  const marked = curve.kind === "validation" || curve.kind === "subset";
  const known = curve.points.filter((point, i) => point.y !== null && (marked || isolated(point, i)));
  const size = known.length > 60 ? 1.5 : curve.kind === "subset" ? 2 : 3;
  for (const point of known) found.push(svg("circle", { class: `${curve.kind} hue${curve.hue}`, cx: x(point.x), cy: y(point.y), r: size }));
  const best = bestOf(curve);
  if (best) found.push(svg("circle", { class: `best hue${curve.hue}`, cx: x(best.x), cy: y(best.y), r: 7 }));
  return found;
}

// The validation whose weights the model file holds.
const bestOf = (curve) => (curve.kind === "validation" ? curve.points.findLast((point) => point.row.best && point.y !== null) : null);

function bestWords(curve) {
  const best = bestOf(curve);
  const which = curve.goesOn ? `best full check so far, step ${best?.row.step.toLocaleString("en")}` : "the best";
  return best ? ` (ring: ${which}, ${best.y.toFixed(4)} nats = ${(best.y / Math.LN2).toFixed(4)} bits)` : "";
}

const stateWords = (run) => (run.state === "training" ? " (training now)" : "");

// What stands at the rows of a panel, to its left and right.
const labelled = ({ rows, bits }) => ({ labels: labels(rows), bitLabels: bits ? bitLabels(rows) : [] });

function bitLabels(rows) {
  const digits = Math.max(2, 1 - Math.floor(Math.log10(rows[1] - rows[0])));
  return rows.map((value) => (value / Math.LN2).toFixed(digits));
}

// A panel in a sentence, for who does not see it.
function summary(panel) {
  const said = panel.curves.filter((curve) => curve.kind !== "raw").map((curve) => {
    const known = curve.points.filter((point) => point.y !== null);
    return `${curve.name} from ${short(known[0].y)} to ${short(known.at(-1).y)}`;
  });
  return `${panel.title}: ${said.join("; ")}`;
}

const made = (tag, attributes = {}, ...children) => built(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => built(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

// Text becomes text nodes: nothing in it is read as HTML.
function built(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
