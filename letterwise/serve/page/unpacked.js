// Unpacked: asks the thread of unpack.js, and waits.
//
//   "score" or "attention", a request ──▶ what the thread made of the answer

let worker, asked = 0;
const waiting = new Map();

export async function unpacked(api, kind, body, signal) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
  const bytes = await (await api.fetch(`/api/${kind}`, options)).arrayBuffer();
  worker ??= start();
  return new Promise((resolve, reject) => {
    waiting.set(++asked, { resolve, reject });
    worker.postMessage({ id: asked, kind, bytes, text: body.text }, [bytes]);
  });
}

function start() {
  const thread = new Worker(new URL("unpack.js", import.meta.url), { type: "module" });
  thread.onmessage = ({ data: { id, content, failed } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    failed === undefined ? resolve(content) : reject(new Error(failed));
  };
  thread.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message ?? "the page's own thread did not start"));
    waiting.clear();
    worker = undefined;
  };
  return thread;
}
