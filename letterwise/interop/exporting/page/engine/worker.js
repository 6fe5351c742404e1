// Worker: the model in a thread of its own, so that the page stays awake. It answers messages:
//
//     { load }            the page's numbers    ▶ { ready }
//     { write }           prompt, options       ▶ { written: characters }, …, { done }
//     { more }            so many characters    ▶ the same
//     { stop }                                  ▶ { done }
//     { score }           a text                ▶ { written }, …, { done }
//
// A character is { id, p, likeliest, chances }: its probability to the model (before any filter), and the likeliest characters
// there with theirs, `SHOWN` of them.

"use strict";

const SHOWN = 6;
const AWAKE = 100; // milliseconds of work between two looks at what the page wants. It draws all of its text after each.

let windows, options, random, stopped;

self.onmessage = async ({ data }) => {
  try {
    if (data.load) {
      windows = await buildWindows(data.load.page, data.load.numbers, data.load.options);
      self.postMessage({ ready: true });
    } else if (data.write) {
      windows.begin();
      ({ options } = data.write);
      random = generator(data.write.seed);
      if (data.write.prompt.length) windows.read(data.write.prompt);
      await each(data.write.length, () => choose(windows.logits, options, random));
    } else if (data.more) {
      await each(data.more.length, () => choose(windows.logits, options, random));
    } else if (data.score) {
      windows.begin();
      const { ids, first } = data.score; // the first so many are read, but have no price: nothing comes before them
      if (first) windows.read(ids.slice(0, first));
      await each(ids.length - first, (i) => ids[first + i]);
    } else if (data.stop) {
      stopped = true;
    }
  } catch (error) {
    self.postMessage({ failed: String(error?.message ?? error) });
  }
};

// Up to `length` characters, each as `next` says: noted, read, and handed over in batches.
async function each(length, next) {
  let batch = [], handed = performance.now();
  const hand = () => {
    self.postMessage({ written: batch });
    batch = [];
  };
  stopped = false;
  for (let i = 0; i < length && !stopped; i++) {
    const p = probabilitiesOf(windows.logits), id = next(i), top = likeliest(p, SHOWN);
    if (!(p[id] >= 0)) throw new Error("the model gave no probabilities");
    batch.push({ id, p: p[id], likeliest: top, chances: top.map((c) => p[c]) });
    windows.read([id]);
    if (performance.now() - handed > AWAKE) {
      hand();
      await pause();
      handed = performance.now();
    }
  }
  hand();
  self.postMessage({ done: true, stopped });
}

// Let messages in. (A timer would wait for four milliseconds.)
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
