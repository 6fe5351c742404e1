// Stream: what a model writes, as items: characters with the bits that each was a surprise.
//
//   POST /v1/completions ──pieces──▶ { index, items, ended }

import { bitsOf } from "./surprise.js";

export async function* written(api, fields, signal) {
  for await (const { choices } of api.stream("/v1/completions", { unknown: "skip", logprobs: 0, ...fields }, { signal })) {
    for (const { index, text, logprobs, ended, finish_reason: reason } of choices) {
      yield { index, items: items(text, logprobs), ended: ended ?? reason };
    }
  }
}

// A token is a character; in a model of bytes several may spell one, which then costs what they cost together.
function items(text, logprobs) {
  const characters = Array.from(text), nats = logprobs?.token_logprobs ?? [];
  if (nats.length === characters.length) return characters.map((character, i) => ({ character, bits: bitsOf(nats[i]) }));
  const { tokens = [] } = logprobs ?? {}, together = characters.map((character) => ({ character, bits: 0 }));
  let at = 0, spelled = "";
  tokens.forEach((token, i) => {
    if (together.length === 0) return;
    together[Math.min(at, together.length - 1)].bits += bitsOf(nats[i]);
    spelled += token;
    while (at < together.length - 1 && spelled.length >= together[at].character.length) spelled = spelled.slice(together[at++].character.length);
  });
  return together;
}

// How a text ended, for a person.
export function endedBecause(ended) {
  return { stop: "It came to a stop text. ", line: "The line ended. ", match: "The pattern is complete. ", time: "The time was over. " }[ended] ?? "";
}
