// Drawers: on a narrow window the panels beside the text come from below, one at a time.

const NARROW = window.matchMedia("(max-width: 64rem)"); // as in style.css

export class Drawers {
  // `closed` is called when one of a narrow window has gone.
  constructor(element, { closed }) {
    Object.assign(this, { element, closed, button: element.querySelector("[data-do=settings]") });
  }

  get narrow() {
    return NARROW.matches;
  }

  toggle(drawer) {
    const open = !drawer.classList.contains("open");
    this.close(false);
    drawer.classList.toggle("open", open);
    const named = open && drawer.id === this.button.getAttribute("aria-controls");
    this.button.setAttribute("aria-expanded", String(named));
    if (named) drawer.querySelector("[data-close]").focus();
  }

  // `focus`: the keyboard goes to where it was before.
  close(focus) {
    const open = this.element.querySelector(".drawer.open");
    open?.classList.remove("open");
    this.button.setAttribute("aria-expanded", "false");
    if (open && focus) (open.id === "write-settings" ? this.button : this.element.querySelector("textarea")).focus();
    if (this.narrow && open) this.closed();
  }
}
