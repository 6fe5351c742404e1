// Share: a text and its settings as a link, and as files.
//
//   { text, settings } ──JSON──deflate──base64url──▶ #write?s=…     the part behind # never leaves the browser
//
// What comes out of a link is a text and values for fields that are there, whoever made the link.

const MARK = "#write?s=";
const MOST = 200_000; // characters of a text out of a link

export async function linkTo(state) {
  const bytes = await through(new CompressionStream("deflate-raw"), new TextEncoder().encode(JSON.stringify(state)));
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const base64 = btoa(letters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `${location.origin}${location.pathname}${MARK}${base64}`;
}

export const isLink = (hash) => hash.startsWith(MARK);

// What a link holds: { text, settings, model }, or null where there is nothing that can be read.
export async function readLink(hash) {
  try {
    const letters = atob(hash.slice(MARK.length).replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = await through(new DecompressionStream("deflate-raw"), Uint8Array.from(letters, (letter) => letter.charCodeAt(0)));
    const { text, settings, model } = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof text !== "string") return null;
    return { text: Array.from(text).slice(0, MOST).join("").toWellFormed(), settings: Object(settings), model: String(model ?? "") };
  } catch {
    return null;
  }
}

// Bytes through a stream, and no more than a text can have: a small link may unpack to gigabytes.
async function through(stream, bytes) {
  const source = new Blob([bytes]).stream().pipeThrough(stream).getReader(), parts = [];
  for (let size = 0; ; ) {
    const { done, value } = await source.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    if ((size += value.length) > 8 * MOST) throw new RangeError("too long");
  }
}

// The text as JSON, with who wrote each character.
export function asJson(items, state) {
  const characters = items.map(({ character, bits }) => ({ character, by: bits === null ? "person" : "model", bits }));
  return JSON.stringify({ ...state, characters }, null, 1);
}

export function save(name, type, contents) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([contents], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// To the clipboard, also on a page that has come over plain HTTP from another machine.
export async function copy(text, area) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const holder = document.createElement("textarea");
  holder.value = text;
  document.body.append(holder);
  holder.select();
  document.execCommand("copy");
  holder.remove();
  area.focus();
}
