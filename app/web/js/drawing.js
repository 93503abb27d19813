// A pad to draw on, with pointer or keyboard; it hands over a PNG while and after every stroke.

export const DRAWN = "drawing.png";
const INK = "#fff";
const PAPER = "#000"; // bright ink on black, as the models for small drawings are trained
const PEN = 22; // pixels of 280: about the 2 of 28 that handwriting has in MNIST
const STEP = 8;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  #canvas;
  #context;
  #strokes = [];
  #onDrawn;
  #onDrawing;
  #isCopying = false;
  #keyboard = { x: 140, y: 70, down: false, shown: false };

  /** `onDrawn` gets a PNG File after each change, or null when the pad is empty; `onDrawing` gets
   *  one of a stroke that goes on. */
  constructor(canvas, onDrawn, onDrawing) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#onDrawn = onDrawn;
    this.#onDrawing = onDrawing;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#extend(event));
    canvas.addEventListener("pointerup", (event) => this.#end(event));
    canvas.addEventListener("pointercancel", (event) => this.#end(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#showPen(canvas.matches(":focus-visible")));
    canvas.addEventListener("blur", () => this.#showPen(false));
    this.#paint();
  }

  get isEmpty() {
    return this.#strokes.length === 0;
  }

  undo() {
    this.#strokes.pop();
    this.#changed();
  }

  clear() {
    this.#strokes = [];
    this.#changed();
  }

  #begin(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    this.#canvas.focus({ preventScroll: true });
    this.#keyboard.shown = false;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#strokes.push([this.#at(event)]);
    this.#paint();
  }

  #extend(event) {
    if (!this.#canvas.hasPointerCapture(event.pointerId)) return;
    const moves = event.getCoalescedEvents?.() ?? [];
    this.#strokes.at(-1)?.push(...(moves.length ? moves : [event]).map((move) => this.#at(move)));
    this.#paint();
    this.#copy(event.pointerId);
  }

  #end(event) {
    if (!this.#canvas.hasPointerCapture(event.pointerId)) return;
    this.#canvas.releasePointerCapture(event.pointerId);
    this.#changed();
  }

  /** Hand over what is there so far, unless the stroke ends meanwhile. */
  #copy(pointerId) {
    if (this.#isCopying) return;
    this.#isCopying = true;
    this.#canvas.toBlob((png) => {
      this.#isCopying = false;
      if (this.#canvas.hasPointerCapture(pointerId)) this.#onDrawing(fileOf(png));
    }, "image/png");
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  #key(event) {
    const pen = this.#keyboard;
    if (event.key === " ") this.#lowerOrLift();
    else if (event.key in ARROWS) this.#movePen(...ARROWS[event.key]);
    else if (event.key === "Backspace") this.undo();
    else return;
    event.preventDefault();
    pen.shown = true;
    this.#paint();
  }

  #lowerOrLift() {
    const pen = this.#keyboard;
    pen.down = !pen.down;
    if (pen.down) this.#strokes.push([[pen.x, pen.y]]);
    else this.#changed();
  }

  #movePen(dx, dy) {
    const pen = this.#keyboard;
    const inside = (value) => Math.min(this.#canvas.width - PEN / 2, Math.max(PEN / 2, value));
    pen.x = inside(pen.x + dx * STEP);
    pen.y = inside(pen.y + dy * STEP);
    if (pen.down) this.#strokes.at(-1)?.push([pen.x, pen.y]);
  }

  #showPen(shown) {
    if (!shown && this.#keyboard.down) this.#lowerOrLift();
    this.#keyboard.shown = shown;
    this.#paint();
  }

  #changed() {
    this.#keyboard.down &&= !this.isEmpty;
    this.#paint({ withPen: false });
    if (this.isEmpty) this.#onDrawn(null);
    else this.#canvas.toBlob((png) => this.#onDrawn(fileOf(png)), "image/png");
    this.#paint();
  }

  #paint({ withPen = this.#keyboard.shown } = {}) {
    const { width, height } = this.#canvas;
    Object.assign(this.#context, { fillStyle: PAPER, strokeStyle: INK, lineWidth: PEN });
    Object.assign(this.#context, { lineCap: "round", lineJoin: "round" });
    this.#context.fillRect(0, 0, width, height);
    for (const [first, ...rest] of this.#strokes) {
      this.#context.beginPath();
      this.#context.moveTo(...first);
      this.#context.lineTo(first[0] + 0.1, first[1]); // a tap is a dot, which needs a length
      for (const point of rest) this.#context.lineTo(...point);
      this.#context.stroke();
    }
    if (withPen) this.#paintPen();
  }

  #paintPen() {
    const { x, y, down } = this.#keyboard;
    Object.assign(this.#context, { strokeStyle: "#f5b", lineWidth: down ? 5 : 2 });
    this.#context.beginPath();
    this.#context.arc(x, y, PEN / 2, 0, 2 * Math.PI);
    this.#context.stroke();
  }
}

const fileOf = (png) => new File([png], DRAWN, { type: "image/png" });
