// Which version answers, and which one beside it. Both stand in the page's address.

import { Problem, fetchService, fetchVersion } from "./api.js";
import { count, share } from "./numbers.js";

const byId = (id) => document.getElementById(id);

export class Chooser {
  service = null; // what the service said of itself, once it did
  #known = new Map(); // an option's value → what the service says of that version

  /** `onChange` is called when another version was chosen. */
  constructor(onChange) {
    for (const id of ["model", "beside"]) {
      byId(id).addEventListener("change", () => {
        this.#keepApart();
        onChange();
      });
    }
  }

  /** Ask the service what there is; a choice that can be kept is kept. */
  async load() {
    this.service = await fetchService();
    const { models } = this.service;
    this.#known = new Map(models.map((model) => [valueOf(model), model]));
    this.#offer(byId("model"), []);
    this.#offer(byId("beside"), [new Option("nothing", "")]);
    const count = byId("model").options.length;
    byId("model").disabled = count === 1;
    byId("beside-chooser").hidden = count === 1;
    if (!byId("model").value) byId("model").value = (models.find(isDefault) ?? models[0]).name;
    this.#keepApart();
  }

  /** The chosen version and the one beside it, or null; a version not met yet is asked for. */
  async versions() {
    const values = [byId("model").value, byId("beside").value];
    const [asked, beside] = await Promise.all(values.map((value) => this.#describe(value)));
    return { asked, beside };
  }

  /** Write into the page's address what it shows, so that a link shows the same. */
  async remember(example) {
    const { asked, beside } = await this.versions();
    const url = new URL(location.href);
    const state = {
      model: asked.name,
      version: asked.version,
      beside: beside && `${beside.name}/${beside.version}`,
      example,
    };
    for (const [name, value] of Object.entries(state)) {
      if (value) url.searchParams.set(name, value);
      else url.searchParams.delete(name);
    }
    history.replaceState(null, "", url);
  }

  async #describe(value) {
    if (!value) return null;
    if (!this.#known.has(value)) {
      const [name, version] = value.split("/");
      this.#known.set(value, await fetchVersion(name, version));
    }
    return this.#known.get(value);
  }

  #offer(select, first) {
    const kept = select.value;
    select.replaceChildren(...first, ...this.service.models.flatMap(optionsOf));
    select.value = kept;
    // A version that became the current one goes by the name alone; what is gone leaves nothing.
    if (select.selectedIndex < 0) select.value = kept.includes("/") ? kept.split("/")[0] : "";
  }

  /** Choose what the page's address says, or throw a Problem. */
  follow() {
    const address = new URLSearchParams(location.search);
    const [name, version] = [address.get("model"), address.get("version")];
    if (name) this.#select("model", name, version);
    const beside = address.get("beside");
    if (beside) this.#select("beside", ...beside.split("/"));
    this.#keepApart();
  }

  /** Nothing stands beside itself. */
  #keepApart() {
    const { value } = byId("model");
    for (const option of byId("beside").options) option.disabled = option.value === value;
    if (byId("beside").value === value) byId("beside").value = "";
  }

  #select(id, name, version) {
    const current = this.service.models.find((model) => model.name === name);
    const isCurrent = !version || Number(version) === current?.version;
    const value = isCurrent ? name : `${name}/${version}`;
    const [select, before] = [byId(id), byId(id).value];
    select.value = value;
    if (select.selectedIndex >= 0) return;
    select.value = before;
    throw new Problem("The address names a model that is not here", {
      detail: `It asks for ${[name, version].filter(Boolean).join(", version ")}.`,
    });
  }
}

/** What a version is, in one line. */
export function factsOf({ image, labels, metrics, isCurrent }) {
  return [
    `${image.width} × ${image.height}, grayscale`,
    count(labels.length, "class", "classes"),
    metrics && accuracyOf(metrics),
    !isCurrent && "not the version that serves",
  ].filter(Boolean).join(" · ");
}

function accuracyOf({ accuracy, images }) {
  return `${share(accuracy)} right on ${count(images, "unseen picture", "unseen pictures")}`;
}

const isDefault = (model) => model.isDefault;
const valueOf = ({ name, version, isCurrent }) => (isCurrent ? name : `${name}/${version}`);

/** The current version first, then the others from the newest on. */
function optionsOf({ name, version, versions }) {
  const others = versions.filter((other) => other !== version).reverse();
  const mark = others.length ? ", current" : "";
  return [
    new Option(`${name}, version ${version}${mark}`, name),
    ...others.map((other) => new Option(`${name}, version ${other}`, `${name}/${other}`)),
  ];
}
