// The maps of all tiles on one canvas: to a browser each canvas is a layer, and a hundred of them take it far longer to
// put together, with every picture, than the maps take to draw.
import { drawMap } from "../colours.js";
import { el } from "../dom.js";

const MARGIN = 0.3; // of the view's height that is drawn above and below it, so that scrolling finds it there

export class Sheet {
  /** `scroller` holds `grid`, whose tiles have places of class `map`. */
  constructor(scroller, grid) {
    this.scroller = scroller;
    this.grid = grid;
    this.canvas = el("canvas.drawn", { "aria-hidden": "true" });
    this.scratch = document.createElement("canvas");
    this.parts = [];
    this.scrolled = 0; // kept here: to ask for it in the middle of changes would lay out the page
    scroller.append(this.canvas);
    scroller.addEventListener("scroll", () => this.roll(), { passive: true });
    const sizes = new ResizeObserver(() => {
      this.boxes = null;
      this.draw();
    });
    sizes.observe(scroller);
    sizes.observe(grid);
  }

  /**
   * Draws maps: of each place within a tile, the maps (C, H, W), one a tile, and their colours; null where it is not
   * shown. `arrangement` differs where places lie elsewhere than before.
   */
  show(parts, arrangement) {
    this.parts = parts;
    if (this.arrangement !== arrangement) this.boxes = null;
    this.arrangement = arrangement;
    this.draw();
  }

  roll() {
    this.scrolled = this.scroller.scrollTop;
    const { top, bottom } = this.view(0);
    if (top < this.top || bottom > this.bottom) this.draw();
  }

  /** From where to where is seen, and so much of its height on either side, in pixels of what is scrolled. */
  view(margin) {
    const more = margin * this.height;
    return { top: Math.max(0, this.scrolled - more), bottom: Math.min(this.length, this.scrolled + this.height + more) };
  }

  /** Where the places of every tile lie. */
  measure() {
    const { left, top } = this.grid.getBoundingClientRect();
    this.height = this.scroller.clientHeight;
    this.length = this.grid.offsetHeight;
    this.width = this.grid.offsetWidth;
    this.scrolled = this.scroller.scrollTop;
    this.boxes = [...this.grid.querySelectorAll(".tile:not([hidden])")].map((tile) => [...tile.querySelectorAll(".map")].map((place) => {
      const box = place.getBoundingClientRect();
      return { left: box.left - left, top: box.top - top, width: box.width, height: box.height };
    }));
  }

  draw() {
    if (!this.parts.length) return;
    if (!this.boxes) this.measure();
    Object.assign(this, this.view(MARGIN));
    const inView = this.boxes.map((places, tile) => ({ tile, places })).filter(({ places }) => places.some((box) => box.top < this.bottom && box.top + box.height > this.top));
    const context = this.clean();
    if (!inView.length) return;
    const [first, last] = [inView[0].tile, inView.at(-1).tile];
    for (const [which, part] of this.parts.entries()) {
      if (!part) continue;
      const [, height, width] = part.maps.shape;
      const size = height * width;
      drawMap(this.scratch, part.maps.values.subarray(first * size, (last + 1) * size), width, height * (last + 1 - first), part.colours);
      for (const { tile, places } of inView) {
        const box = places[which];
        context.drawImage(this.scratch, 0, (tile - first) * height, width, height, ...this.pixels(box));
      }
    }
  }

  /** The canvas where it is to lie, empty. */
  clean() {
    const { canvas } = this;
    const [width, height] = [this.width, this.bottom - this.top].map((length) => Math.max(1, Math.round(length * devicePixelRatio)));
    const context = canvas.getContext("2d");
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      Object.assign(canvas.style, { width: `${width / devicePixelRatio}px`, height: `${height / devicePixelRatio}px` });
    } else context.clearRect(0, 0, width, height);
    const at = `translateY(${this.top}px)`;
    if (this.at !== at) canvas.style.transform = this.at = at;
    context.imageSmoothingEnabled = false;
    return context;
  }

  /** A box in whole pixels of the canvas. */
  pixels({ left, top, width, height }) {
    const [x, y] = [left, top - this.top].map((place) => Math.round(place * devicePixelRatio));
    return [x, y, Math.round((left + width) * devicePixelRatio) - x, Math.round((top - this.top + height) * devicePixelRatio) - y];
  }
}
