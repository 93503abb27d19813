// What the model saw, and a heat map of where it looked.

import { postImage, route } from "./api.js";

const PIXELATED_BELOW = 200; // smaller pictures are enlarged with their pixels visible
const NO_SUCH_ROUTE = new Set([404, 405, 501]);
const byId = (id) => document.getElementById(id);

/** The figure beside the answer. Refusals only hide it: the answer stands without. */
export class Looking {
  #request = null; // { model, file, signal } of the answer on the page
  #explained = null; // the label whose heat map is loaded or on its way
  #withoutHeat = new Set(); // names of models whose service does not explain

  constructor() {
    byId("strength").addEventListener("input", () => this.#update());
    byId("explained").addEventListener("change", () => this.#update());
  }

  async show(model, file, predictions, signal) {
    this.#request = { model, file, signal };
    this.#explained = null;
    byId("heat").hidden = true;
    byId("explained").replaceChildren(...predictions.map(({ label }) => new Option(label)));
    byId("saw").parentElement.classList.add("stale");
    await Promise.all([this.#showPixels(), this.#showHeat()]);
  }

  async #showPixels() {
    const { model, file, signal } = this.#request;
    const { height, width } = model.image;
    byId("saw-size").textContent = `${width} × ${height}`;
    const { png } = await imageFrom(route("preview", model), file, signal);
    if (signal.aborted) return;
    byId("saw-figure").hidden = !png;
    if (!png) return;
    const stack = byId("saw").parentElement;
    stack.classList.remove("stale");
    stack.classList.toggle("pixelated", Math.max(height, width) <= PIXELATED_BELOW);
    stack.style.setProperty("--ratio", width / height);
    setImage(byId("saw"), png);
  }

  async #showHeat() {
    const { model, file, signal } = this.#request;
    if (this.#withoutHeat.has(model.name)) {
      byId("look").hidden = true;
      return;
    }
    const label = byId("explained").value;
    this.#explained = label;
    const path = `${route("explain", model)}?label=${encodeURIComponent(label)}`;
    const { png, status } = await imageFrom(path, file, signal);
    if (signal.aborted || this.#explained !== label) return;
    if (NO_SUCH_ROUTE.has(status)) this.#withoutHeat.add(model.name);
    byId("look").hidden = !png;
    if (png) setImage(byId("heat"), png);
    this.#update();
  }

  #update() {
    const strength = byId("strength").valueAsNumber / 100;
    byId("strength").setAttribute("aria-valuetext", `${byId("strength").value} percent`);
    byId("heat").hidden = byId("look").hidden || strength === 0;
    byId("heat").style.opacity = strength;
    if (!byId("look").hidden && this.#explained !== byId("explained").value) this.#showHeat();
  }
}

/** The PNG that answers, or the status that refuses: a figure less is no reason to complain. */
async function imageFrom(path, file, signal) {
  try {
    const { response } = await postImage(path, file, signal);
    return { png: await response.blob() };
  } catch ({ status = 0 }) {
    return { status };
  }
}

export function setImage(image, blob) {
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
}
