// Api: what the page asks of the server, and what it says when an answer does not come.
//
//   get(path)  post(path, body) ──▶ JSON          stream(path, body) ──▶ one piece of JSON after another
//
// Whatever goes wrong becomes a Failure with a sentence for a person; a request that was aborted throws AbortError.

const KEY = "letterwise key"; // where sessionStorage keeps it

export class Failure extends Error {
  constructor(sentence, { status = 0, param = null, code = null } = {}) {
    super(sentence);
    Object.assign(this, { status, param, code });
  }
}

export class Api {
  // `askForKey` asks a person, and answers with the key, or with null.
  constructor(askForKey) {
    this.askForKey = askForKey;
  }

  async get(path, { signal } = {}) {
    return json(await this.fetch(path, { signal }));
  }

  async post(path, body, { signal } = {}) {
    return json(await this.fetch(path, posted(body, signal)));
  }

  // A file's text, as /source/ serves it.
  async text(path, { signal } = {}) {
    return (await this.fetch(path, { signal })).text();
  }

  // The pieces of a text that is being written (server-sent events). Aborting the signal cancels the work on the server.
  async *stream(path, body, { signal } = {}) {
    const response = await this.fetch(path, posted({ ...body, stream: true }, signal));
    let rest = "";
    for await (const part of readable(response.body.pipeThrough(new TextDecoderStream()))) {
      const lines = (rest + part).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        const piece = JSON.parse(data);
        if (piece.error) throw new Failure(piece.error.message, piece.error);
        yield piece;
      }
    }
    throw new Failure("The connection was lost before the text was done.");
  }

  async fetch(path, options) {
    for (let asked = false; ; asked = true) {
      const response = await this.send(path, options);
      if (response.ok) return response;
      if (response.status !== 401 || asked) throw await failure(response);
      const key = await this.askForKey();
      if (!key) throw new Failure("This server asks for a key.", { status: 401 });
      sessionStorage.setItem(KEY, key);
    }
  }

  async send(path, options) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    try {
      return await fetch(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failure("The server does not answer. Is letterwise serve still running?");
    }
  }
}

function posted(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server's answer was cut off.");
  }
}

// The chunks of a stream, also in browsers whose streams are not iterable. Leaving the loop lets go of the connection.
async function* readable(stream) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The connection was lost before the text was done.");
  } finally {
    reader.cancel().catch(() => {});
  }
}

// What the server said of a request that it did not do: its own sentence, and for how long to wait.
async function failure(response) {
  const { error } = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After"));
  let sentence = error?.message ?? `The server answered with status ${response.status}.`;
  if (response.status === 429) sentence = `Many are writing just now. ${sentence}`;
  if (response.status === 503 && !error) sentence = "The server is starting or stopping.";
  if (seconds > 0) sentence += ` Try again in ${seconds} second${seconds === 1 ? "" : "s"}.`;
  return new Failure(sentence, { ...error, status: response.status });
}
