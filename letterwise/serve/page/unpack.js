// Unpack: a long answer is parsed in a thread of its own, so that the page goes on answering its keys.
//
//   JSON of /api/score, the text ──▶ rows to draw · bits, ranks, probabilities, alternatives as flat arrays
//   JSON of /api/attention ────────▶ weights (layers · heads · T · T) as one flat array
//
// This is the thread; `unpacked` in unpacked.js is how it is asked. Twenty megabytes of JSON take it 200 ms.

const ROW = 500; // characters: a longer line is drawn as several rows, since a browser lays out a row as a whole

onmessage = ({ data: { id, kind, bytes, text } }) => {
  try {
    const answer = JSON.parse(new TextDecoder().decode(bytes));
    const [content, arrays] = kind === "score" ? score(answer, text) : attention(answer);
    postMessage({ id, content }, arrays.map((array) => array.buffer));
  } catch (error) {
    postMessage({ id, failed: error.message });
  }
};

function score(answer, text) {
  const n = answer.bits.length, known = answer.alternatives.reduce((most, some) => Math.max(most, some?.length ?? 0), 0);
  const bits = Float64Array.from(answer.bits, (value) => value ?? NaN);
  const probabilities = Float64Array.from(answer.probabilities, (value) => value ?? NaN);
  const ranks = Int32Array.from(answer.ranks, (value) => value ?? 0);
  const spelled = new Map(), likeliest = new Int32Array(n * known).fill(-1), chances = new Float64Array(n * known);
  for (let i = 0; i < n; i++) {
    answer.alternatives[i]?.forEach(([character, chance], k) => {
      if (!spelled.has(character)) spelled.set(character, spelled.size);
      likeliest[i * known + k] = spelled.get(character);
      chances[i * known + k] = chance;
    });
  }
  const characters = Array.from(text);
  const rows = answer.lines.flatMap((line) => rowsOf(line, characters));
  const summary = { ...answer, bits: undefined, ranks: undefined, probabilities: undefined, alternatives: undefined };
  const content = { summary, rows, bits, probabilities, ranks, known, likeliest, chances, spelled: [...spelled.keys()] };
  return [content, [bits, probabilities, ranks, likeliest, chances]];
}

// A line as rows, a long one cut at spaces; `first` is where a line begins, which has its number and its total.
function rowsOf(line, characters) {
  const rows = [], end = line.start + line.chars;
  for (let start = line.start; start < end; ) {
    let stop = Math.min(end, start + ROW);
    if (stop < end) while (stop > start + ROW / 2 && characters[stop - 1] !== " ") stop--;
    rows.push({ line, start, chars: stop - start, text: characters.slice(start, stop).join(""), first: start === line.start });
    start = stop;
  }
  return rows;
}

function attention(answer) {
  const T = answer.characters.length, weights = new Float64Array(answer.layers * answer.heads * T * T);
  answer.weights.flat().forEach((head, h) => head.forEach((row, t) => weights.set(row, (h * T + t) * T)));
  return [{ ...answer, weights }, [weights]];
}
