// Parts: where a model's parameters are, what each part does, and the file that does it.
//
//   /api/inspect ──▶ figures · a table with a bar for each part

import { h } from "./elements.js";
import { short } from "./spelling.js";
import { amount, percent } from "./surprise.js";

export class Parts {
  constructor(element) {
    this.element = element;
  }

  show({ params, flops_per_char: work, cache_bytes: cache, parts, files }) {
    const facts = [[amount(params), "parameters"], [short(work), "additions and multiplications to guess one character"],
      ...(cache ? [[`${short(cache)}B`, "of memory for all the characters that it sees at once"]] : [])];
    const rows = parts.map(({ name, params: count, file, says }) => {
      const bar = h("span", { class: "bar look-part", "aria-hidden": "true" });
      bar.style.setProperty("--share", `${(100 * count) / (params || 1)}%`);
      const source = files.includes(file) ? h("a", { href: `/source/${file}`, target: "_blank", rel: "noopener" }, h("code", {}, file))
        : h("code", {}, file);
      return h("tr", {}, h("th", { scope: "row" }, name === "prior" ? "prior (counting)" : name, bar), h("td", {}, amount(count)), h("td", {}, percent(count / (params || 1))),
        h("td", { class: "look-says" }, says, " ", source));
    });
    this.element.replaceChildren(
      h("p", { class: "look-summary" }, ...facts.map(([figure, words]) => h("span", {}, h("b", {}, figure), ` ${words}`))),
      h("table", { class: "table" }, h("caption", { class: "unseen" }, "Parameters of each part"),
        h("thead", {}, h("tr", {}, ...["part", "parameters", "share"].map((name) => h("th", { scope: "col" }, name)),
          h("th", { scope: "col", class: "look-says" }, "what it does"))),
        h("tbody", {}, ...rows)));
  }
}
