// What the model saw, and a heat map of where it looked.

import { postImage, route } from "./api.js";

const PIXELATED_BELOW = 200; // smaller pictures are enlarged with their pixels visible
const NO_SUCH_ROUTE = new Set([404, 405, 501]);
const EVEN = 2; // grey levels that are no difference
const [GREY, ALPHA] = [0, 3]; // of the four bytes of a pixel
const NOTHING_TO_SHOW = "No part speaks for or against it: whichever is covered, the answer stays.";
const byId = (id) => document.getElementById(id);

/** The figure beside the answer. Refusals only hide it: the answer stands without. */
export class Looking {
  #request = null; // { model, file, signal } of the answer on the page
  #asked = null; // the label whose heat map was asked for
  #loaded = null; // the label whose heat map is there
  #unexplained = new Set(); // names of models whose service has no heat maps

  constructor() {
    byId("strength").addEventListener("input", () => this.#update());
    byId("explained").addEventListener("change", () => this.#update());
  }

  show(model, file, predictions, signal) {
    this.#request = { model, file, signal };
    this.#asked = this.#loaded = null;
    byId("explained").replaceChildren(...predictions.map(({ label }) => new Option(label)));
    byId("look").hidden = this.#unexplained.has(model.name);
    this.#showPixels();
    this.#update();
  }

  /** While answers follow each other, the figure is one of before. */
  wait() {
    this.#request = null;
    byId("saw").parentElement.classList.add("stale");
    byId("saw-figure").hidden = !byId("saw").src;
    for (const id of ["heat", "legend", "look", "blank"]) byId(id).hidden = true;
  }

  /** Forget what was seen of another picture. */
  clear() {
    this.#request = null;
    URL.revokeObjectURL(byId("saw").src);
    byId("saw").removeAttribute("src");
  }

  async #showPixels() {
    const { model, file, signal } = this.#request;
    const { height, width } = model.image;
    const stack = byId("saw").parentElement;
    stack.classList.add("stale");
    byId("blank").hidden = true;
    byId("saw-size").textContent = `${width} × ${height}`;
    const { png } = await imageFrom(route("preview", model), file, signal);
    if (signal.aborted) return;
    byId("saw-figure").hidden = !png;
    if (!png) return;
    stack.classList.remove("stale");
    stack.classList.toggle("pixelated", Math.max(height, width) <= PIXELATED_BELOW);
    stack.style.setProperty("--ratio", width / height);
    setImage(byId("saw"), png);
    const [darkest, lightest] = await extremes(png, GREY);
    if (!signal.aborted) byId("blank").hidden = lightest - darkest > EVEN;
  }

  #update() {
    if (!this.#request) return;
    const strength = byId("strength").valueAsNumber / 100;
    const label = byId("explained").value;
    const isThere = strength > 0 && this.#loaded === label;
    byId("strength").setAttribute("aria-valuetext", `${byId("strength").value} percent`);
    byId("heat").style.opacity = strength;
    byId("heat").hidden = byId("legend").hidden = !isThere;
    // A heat map costs the service hundreds of predictions: asked for only when it is wanted.
    if (strength > 0 && !byId("look").hidden && this.#asked !== label) this.#loadHeat(label);
  }

  async #loadHeat(label) {
    const { model, file, signal } = this.#request;
    this.#asked = label;
    byId("look-note").textContent = "Looking …";
    const path = `${route("explain", model)}?label=${encodeURIComponent(label)}`;
    const { png, problem } = await imageFrom(path, file, signal);
    const isBlank = png && (await extremes(png, ALPHA))[1] === 0;
    if (signal.aborted || this.#asked !== label) return;
    byId("look-note").textContent = problem?.title ?? (isBlank ? NOTHING_TO_SHOW : "");
    if (png) this.#showHeat(label, png);
    else this.#refuse(model, problem);
  }

  #showHeat(label, png) {
    this.#loaded = label;
    setImage(byId("heat"), png);
    this.#update();
  }

  #refuse(model, { status }) {
    this.#asked = null; // the next move of the slider asks again
    if (!NO_SUCH_ROUTE.has(status)) return;
    this.#unexplained.add(model.name);
    byId("look").hidden = true;
  }
}

/** The PNG that answers, or the problem: a figure less is no reason to take the answer away. */
async function imageFrom(path, file, signal) {
  try {
    const { response } = await postImage(path, file, signal);
    return { png: await response.blob() };
  } catch (problem) {
    return { problem };
  }
}

/** The smallest and the largest value of one channel of a picture. */
async function extremes(png, channel) {
  const bitmap = await createImageBitmap(png);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  let [least, most] = [255, 0];
  for (let i = channel; i < data.length; i += 4) {
    least = Math.min(least, data[i]);
    most = Math.max(most, data[i]);
  }
  return [least, most];
}

export function setImage(image, blob) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
}
