// Wires the page: which model, which picture, and what happens when either changes.

import { Problem, address, fetchModels, predict, route } from "./api.js";
import { runBatch } from "./batch.js";
import { DRAWN, Pad } from "./drawing.js";
import { printBall } from "./halftone.js";
import { Looking, setImage } from "./looking.js";
import { count, share } from "./numbers.js";
import { busy, showAnswer, showNothing, showProblem } from "./result.js";
import { asCurl, asHttpx } from "./snippets.js";
import { PASTED, listen, offerFormats } from "./sources.js";

const LARGEST_DRAWABLE = 64; // pixels a side
const LOADING_POLL_MS = 500;
const byId = (id) => document.getElementById(id);

const looking = new Looking();
const pad = new Pad(byId("pad"), (png) => (png ? ask(png) : forget()));
let models = [];
let file = null; // the picture on the page
let running = new AbortController();
let batch = new AbortController();

const model = () => models[byId("model").selectedIndex];

async function ask(picture) {
  file = picture;
  running.abort();
  running = new AbortController();
  const { signal } = running;
  busy(true);
  try {
    if (!models.length) await loadModels();
    const asked = model();
    const outcome = await predict(asked, picture, signal);
    if (signal.aborted) return;
    showAnswer(outcome);
    showRequest(asked, picture);
    looking.show(asked, picture, outcome.answer.predictions, signal);
    if (outcome.answer.model.version !== asked.version) refreshModels();
  } catch (error) {
    if (signal.aborted) return;
    showProblem(error);
  } finally {
    if (!signal.aborted) busy(false);
  }
}

function forget() {
  file = null;
  running.abort();
  busy(false);
  showNothing();
}

function showRequest(asked, picture) {
  const url = address(route("predict", asked));
  byId("curl").textContent = asCurl(url, picture.name);
  byId("httpx").textContent = asHttpx(url, picture.name);
  const onlyHere = [DRAWN, PASTED].includes(picture.name);
  byId("keep").hidden = !onlyHere;
  if (byId("save").href) URL.revokeObjectURL(byId("save").href);
  Object.assign(byId("save"), { href: URL.createObjectURL(picture), download: picture.name });
}

function take(files) {
  batch.abort();
  byId("batch").hidden = true;
  byId("output").classList.toggle("several", files.length > 1);
  if (files.length === 1) show(files[0]);
  else askAll(files);
}

function show(picture) {
  setDrawing(false);
  byId("prompt").hidden = true;
  byId("picture").hidden = false;
  setImage(byId("picture"), picture);
  ask(picture);
}

function open(picture) {
  show(picture);
  byId("result").focus({ preventScroll: true });
  byId("frame").scrollIntoView({ block: "nearest" });
}

async function askAll(files) {
  batch = new AbortController();
  forget();
  try {
    if (!models.length) await loadModels();
    await runBatch(model(), files, open, batch.signal);
  } catch (error) {
    showProblem(error);
  }
}

async function loadModels() {
  models = await fetchModels();
  const kept = models.findIndex(({ name }) => name === byId("model").value);
  const chosen = kept < 0 ? models.findIndex(({ isDefault }) => isDefault) : kept;
  byId("model").replaceChildren(...models.map(optionOf));
  byId("model").selectedIndex = Math.max(0, chosen);
  byId("model").disabled = models.length === 1;
  modelChanged();
}

const optionOf = ({ name, version }) => new Option(`${name}, version ${version}`, name);

/** Another version was promoted while the page was open. Failing, the list is only stale. */
function refreshModels() {
  loadModels().catch(() => {});
}

function modelChanged() {
  const { image, labels, metrics } = model();
  byId("facts").textContent = [
    `${image.width} × ${image.height}, grayscale`,
    count(labels.length, "class", "classes"),
    metrics && accuracyOf(metrics),
  ].filter(Boolean).join(" · ");
  offerFormats(image.formats ?? []);
  const drawable = image.height === image.width && image.height <= LARGEST_DRAWABLE;
  byId("draw").hidden = !drawable;
  if (!drawable) setDrawing(false);
}

function accuracyOf({ accuracy, images }) {
  return `${share(accuracy)} right on ${count(images, "unseen picture", "unseen pictures")}`;
}

function setDrawing(isDrawing) {
  byId("draw").setAttribute("aria-pressed", String(isDrawing));
  for (const id of ["pad", "pad-tools", "pad-help"]) byId(id).hidden = !isDrawing;
  if (!isDrawing) {
    byId("prompt").hidden = !byId("picture").hidden;
    return;
  }
  byId("prompt").hidden = byId("picture").hidden = true;
  pad.clear();
  byId("pad").focus();
}

function toggleDrawing() {
  const isDrawing = byId("pad").hidden;
  if (!isDrawing) forget();
  setDrawing(isDrawing);
}

function pictureBroken() {
  byId("picture").hidden = true;
  byId("prompt").hidden = false;
}

async function copy(button) {
  const source = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Pages without TLS have no clipboard; the selection does it everywhere.
    getSelection().selectAllChildren(source);
    document.execCommand("copy");
  }
  byId("announce").textContent = "Copied.";
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
}

printBall(byId("ball"));
listen(take, () => {
  const detail = "Drop, paste or choose an image file.";
  showProblem(new Problem("That was no picture", { detail }));
});
byId("draw").addEventListener("click", toggleDrawing);
byId("undo").addEventListener("click", () => pad.undo());
byId("clear").addEventListener("click", () => pad.clear());
byId("again").addEventListener("click", () => (file ? ask(file) : start()));
byId("stop").addEventListener("click", () => batch.abort());
byId("picture").addEventListener("error", pictureBroken);
byId("model").addEventListener("change", () => {
  modelChanged();
  if (file) byId("pad").hidden ? show(file) : ask(file);
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}

async function start() {
  try {
    await loadModels();
    if (!file) showNothing();
  } catch (error) {
    showProblem(error);
    if (error.code === "loading") setTimeout(start, LOADING_POLL_MS);
  }
}

start();
