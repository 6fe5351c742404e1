// Memory: the browser keeps the text and the settings until the next time. Nothing of it leaves the browser.

const NAME = "letterwise text"; // in localStorage
const MOST = 100_000; // characters

export function keep(items, settings) {
  const short = items.slice(-MOST).map(({ character, bits }) => [character, bits && Number(bits.toFixed(2))]);
  try {
    localStorage.setItem(NAME, JSON.stringify({ items: short, settings }));
  } catch {
    // A full or forbidden store loses nothing that is on the page.
  }
}

// What was kept: { items, settings }, without a text where there is nothing that can be read.
export function kept() {
  try {
    const { items = [], settings } = JSON.parse(localStorage.getItem(NAME) ?? "{}");
    return { items: items.map(([character, bits]) => ({ character: String(character), bits: typeof bits === "number" ? bits : null })), settings };
  } catch {
    localStorage.removeItem(NAME);
    return { items: [] };
  }
}
