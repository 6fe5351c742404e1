// Write: a text that one goes on from. (This view is on its way.)

import { legend } from "./surprise.js";

export function mount(element) {
  element.append(legend());
  return { show() {}, hide() {} };
}
