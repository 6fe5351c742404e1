// SIMD: the loop `multiply` of memory.js in WebAssembly, four multiplications in one instruction: several times as fast.
//
//     for (i = 0; i < rows; i += 4)                    four rows of W at once …
//       for (j = 0; j < columns; j += 4)               … and four of their numbers
//         sums[row] += W[row][j … j+3] * x[j … j+3]
//       y[i … i+3] = the four numbers of each sum, added up
//
// A module is a list of bytes, and small enough to be written down here, instruction by instruction: w, x and y are
// addresses in bytes, `step` is how many bytes W's rows lie apart.

"use strict";

function compileMultiply(memory) {
  const names = ["w", "x", "y", "rows", "columns", "step", "i", "j", "at"]; // the first six are arguments
  const sums = ["a", "b", "c", "d"];
  const index = (name) => [...names, ...sums, "v"].indexOf(name);

  const get = (name) => [0x20, index(name)];
  const set = (name) => [0x21, index(name)];
  const number = (value) => [0x41, value]; // of 0 to 63
  const add = [0x6a], times = [0x6c], shiftLeft = [0x74], less = [0x49];
  const block = [0x02, 0x40], loop = [0x03, 0x40], end = [0x0b], again = [0x0c, 0], leaveUnless = [0x45, 0x0d, 1];
  const loadFour = [0xfd, 0x00, 2, 0], storeOne = (offset) => [0x38, 2, offset];
  const timesFour = [0xfd, 0xe6, 0x01], addFour = [0xfd, 0xe4, 0x01], noughts = [0xfd, 0x0c, ...new Array(16).fill(0)];
  const lane = (name, n) => [...get(name), 0xfd, 0x1f, n], plus = [0x92];

  const body = [
    ...number(0), ...set("i"),
    ...block, ...loop,
    ...get("i"), ...get("rows"), ...less, ...leaveUnless,
    ...sums.flatMap((sum) => [...noughts, ...set(sum)]),
    ...number(0), ...set("j"),

    ...block, ...loop,
    ...get("j"), ...get("columns"), ...less, ...leaveUnless,
    ...get("x"), ...get("j"), ...number(2), ...shiftLeft, ...add, ...loadFour, ...set("v"), // v = x[j … j+3]
    ...get("w"), ...get("j"), ...number(2), ...shiftLeft, ...add, ...set("at"), // at = where W[i][j] is
    ...sums.flatMap((sum) => [
      ...get("at"), ...loadFour, ...get("v"), ...timesFour, ...get(sum), ...addFour, ...set(sum),
      ...get("at"), ...get("step"), ...add, ...set("at"),
    ]),
    ...get("j"), ...number(4), ...add, ...set("j"),
    ...again, ...end, ...end,

    ...sums.flatMap((sum, row) => [
      ...get("y"),
      ...lane(sum, 0), ...lane(sum, 1), ...plus, ...lane(sum, 2), ...lane(sum, 3), ...plus, ...plus,
      ...storeOne(4 * row),
    ]),
    ...get("y"), ...number(16), ...add, ...set("y"),
    ...get("w"), ...get("step"), ...number(2), ...shiftLeft, ...add, ...set("w"), // four rows on
    ...get("i"), ...number(4), ...add, ...set("i"),
    ...again, ...end, ...end,
    ...end,
  ];

  const INT = 0x7f, FOUR_FLOATS = 0x7b;
  const sized = (bytes) => [...size(bytes.length), ...bytes];
  const section = (id, ...content) => [id, ...sized(content)];
  const text = (name) => sized([...name].map((letter) => letter.charCodeAt(0)));
  const locals = [2, 3, INT, 5, FOUR_FLOATS]; // i, j, at; a, b, c, d, v
  const module = new WebAssembly.Module(new Uint8Array([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // "\0asm", version 1
    ...section(1, 1, 0x60, 6, INT, INT, INT, INT, INT, INT, 0), // one type: six whole numbers, and nothing comes back
    ...section(2, 1, ...text("js"), ...text("memory"), 0x02, 0x00, 0),
    ...section(3, 1, 0),
    ...section(7, 1, ...text("multiply"), 0x00, 0),
    ...section(10, 1, ...sized([...locals, ...body])),
  ]));
  return new WebAssembly.Instance(module, { js: { memory } }).exports.multiply;
}

// A length as WebAssembly writes it: seven bits in a byte, the lowest first, and 128 more where another follows.
function size(length) {
  return length < 128 ? [length] : [(length % 128) + 128, ...size(Math.floor(length / 128))];
}
