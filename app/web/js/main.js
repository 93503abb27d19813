// Wires the page: which versions, which picture, and what happens when either changes.

import { Problem, address, attempt, fetchExample, part, predict, route } from "./api.js";
import { clearBatch, runBatch } from "./batch.js";
import { Chooser, factsOf } from "./chooser.js";
import { DRAWN, Pad } from "./drawing.js";
import { offerCorrection, offerNoCorrection } from "./feedback.js";
import { printBall } from "./halftone.js";
import { Camera, FRAME, Latest } from "./live.js";
import { Looking, setImage } from "./looking.js";
import { busy, keepInSight, showAnswer, showNothing, showProblem } from "./result.js";
import { showRequest } from "./snippets.js";
import { PASTED, listen, markExample, offerExamples, offerFormats } from "./sources.js";

const LARGEST_DRAWABLE = 64; // pixels a side
const LOADING_POLL_MS = 500;
const byId = (id) => document.getElementById(id);

const looking = new Looking();
const chooser = new Chooser(() => switchVersions());
const pad = new Pad(byId("pad"), draw, (png) => drawing.offer(png));
const drawing = new Latest((png) => ask(png, { isLive: true }));
const camera = new Camera(byId("video"), (frame) => askNext(frame, { isLive: true }));
let described = null; // the version that the page describes
let file = null; // the picture on the page
let example = null; // its number, if it is one of the version's own
let files = []; // the pictures in the table
let retry = start; // what "Try again" does: the last thing that was asked for
let choices = 0; // of what to show, counted: an example may come after a later one
let switches = 0; // of versions, counted
let running = new AbortController();
let batch = new AbortController();

async function ask(picture, { isLive = false } = {}) {
  file = picture;
  retry = () => ask(picture);
  running.abort();
  running = new AbortController();
  const { signal } = running;
  if (!isLive) drawing.drop();
  busy(!isLive);
  try {
    if (!chooser.service) await loadVersions();
    const { asked, beside } = await chooser.versions();
    const outcome = await predict(asked, picture, signal);
    const other = beside && (await attempt(beside, picture, signal));
    if (signal.aborted) return;
    showAnswer(outcome, other, isLive);
    showRequest(route("predict", asked), picture, {
      needsKey: chooser.service.asksForKeys,
      isOnlyHere: [DRAWN, PASTED, FRAME].includes(picture.name) || example !== null,
    });
    if (isLive) looking.wait();
    else looking.show(asked, picture, outcome.answer.predictions, signal);
    offerToCorrect(asked, picture, outcome.answer, isLive);
    const { name, version } = outcome.answer.model;
    if (name !== asked.name || version !== asked.version) refreshVersions();
  } catch (error) {
    if (signal.aborted) return;
    showProblem(error, picture.name);
  } finally {
    if (!signal.aborted) busy(false);
  }
}

/** Ask about one of those that follow each other; only the first answer is scrolled to. */
async function askNext(picture, options) {
  const isFirst = !byId("empty").hidden;
  await ask(picture, options);
  if (isFirst && file === picture) keepInSight();
}

function draw(png) {
  leaveExample();
  if (png) askNext(png);
  else forget();
}

function forget() {
  file = null;
  retry = start;
  running.abort();
  drawing.drop();
  looking.clear();
  busy(false);
  showNothing();
}

function offerToCorrect(asked, picture, answer, isLive) {
  if (chooser.service.keepsFeedback && !isLive) offerCorrection(asked.labels, picture, answer);
  else offerNoCorrection();
}

/** Take what came in from outside: one picture, or several for the table. */
function take(pictures) {
  batch.abort();
  clearBatch();
  files = [];
  leaveExample();
  byId("output").classList.toggle("several", pictures.length > 1);
  if (pictures.length === 1) {
    show(pictures[0]);
  } else {
    frame("prompt"); // what it showed is none of them
    askAll(pictures);
  }
}

async function show(picture) {
  frame("picture");
  setImage(byId("picture"), picture);
  await ask(picture);
  if (file === picture) keepInSight();
}

function open(picture) {
  leaveExample();
  show(picture);
  byId("result").focus({ preventScroll: true });
  byId("frame").scrollIntoView({ block: "nearest" });
}

async function askAll(pictures) {
  files = pictures;
  batch = new AbortController();
  const { signal } = batch;
  forget();
  retry = () => askAll(pictures);
  try {
    if (!chooser.service) await loadVersions();
    await runBatch(await chooser.versions(), pictures, open, signal);
  } catch (error) {
    showProblem(error);
  }
}

async function showExample(number) {
  const choice = ++choices;
  retry = () => showExample(number);
  try {
    const { asked } = await chooser.versions();
    const picture = await fetchExample(asked, number);
    if (choice !== choices) return;
    take([picture]);
    example = number;
    markExample(example);
    await chooser.remember(example);
  } catch (error) {
    if (choice === choices) showProblem(error, `Example ${number}`);
  }
}

/** Another picture takes its place. */
function leaveExample() {
  choices++;
  if (example === null) return;
  example = null;
  markExample(example);
  chooser.remember(example);
}

/** It belongs to another version; of another model, not even the picture is of use. */
function dropExample(isSameModel) {
  if (example !== null && !isSameModel) {
    frame("prompt");
    forget();
  }
  choices++;
  example = null;
  markExample(example);
}

async function loadVersions() {
  await chooser.load();
  await showVersions();
}

/** A version was promoted while the page was open. Failing, the list is only stale. */
function refreshVersions() {
  loadVersions().catch(() => {});
}

/** Another version was chosen: what was said before is not its own. */
async function switchVersions() {
  const turn = ++switches;
  retry = switchVersions;
  batch.abort();
  running.abort();
  running = new AbortController();
  const { signal } = running; // until something is asked of the new version meanwhile
  clearBatch();
  showNothing();
  busy(true);
  try {
    await chooser.versions(); // which may take the time to open one
    if (turn !== switches) return;
    const before = described;
    await showVersions();
    if (described !== before) dropExample(described.name === before?.name);
    await chooser.remember(example);
  } catch (error) {
    if (!signal.aborted) showProblem(error);
    return;
  } finally {
    if (!signal.aborted) busy(false);
  }
  if (signal.aborted) return;
  if (files.length) askAll(files);
  else if (file) ask(file);
}

/** Say what the chosen version is, and offer what goes with it. */
async function showVersions() {
  const { asked } = await chooser.versions();
  const { image } = asked;
  described = asked;
  byId("facts").textContent = factsOf(asked);
  byId("report").hidden = !asked.has_report;
  byId("report").href = address(part("report", asked));
  offerFormats(image.formats ?? []);
  offerExamples(asked, example, showExample);
  const drawable = image.height === image.width && image.height <= LARGEST_DRAWABLE;
  byId("draw").hidden = !drawable;
  if (!drawable && !byId("pad").hidden) {
    frame("prompt");
    forget();
  }
}

/** Show one thing in the frame; what was there before ends. */
function frame(shown) {
  if (shown !== "video") camera.stop();
  for (const id of ["prompt", "picture", "pad", "video"]) byId(id).hidden = id !== shown;
  for (const id of ["pad-tools", "pad-help"]) byId(id).hidden = shown !== "pad";
  byId("draw").setAttribute("aria-pressed", String(shown === "pad"));
  byId("watch").setAttribute("aria-pressed", String(shown === "video"));
}

function toggleDrawing() {
  const isDrawing = byId("pad").hidden;
  leaveExample();
  forget();
  frame(isDrawing ? "pad" : "prompt");
  if (!isDrawing) return;
  pad.clear();
  byId("pad").focus();
}

async function startWatching() {
  leaveExample();
  forget();
  frame("video");
  try {
    await camera.start();
  } catch (error) {
    frame("prompt");
    const detail = "The browser gives this page none: there is none, or it may not be used.";
    showProblem(new Problem("No camera", { detail, code: error.name }));
  }
}

/** Stop the camera, and keep its last frame as the picture. */
function holdFrame() {
  if (!camera.isOn) return;
  if (file) show(file);
  else frame("prompt");
}

printBall(byId("ball"));
listen(take, () => {
  const detail = "Drop, paste or choose an image file.";
  showProblem(new Problem("That was no picture", { detail }));
});
byId("draw").addEventListener("click", toggleDrawing);
byId("undo").addEventListener("click", () => pad.undo());
byId("clear").addEventListener("click", () => pad.clear());
byId("watch").hidden = !Camera.isThere;
byId("watch").addEventListener("click", () => (camera.isOn ? holdFrame() : startWatching()));
document.addEventListener("visibilitychange", () => document.hidden && holdFrame());
byId("again").addEventListener("click", () => retry());
byId("stop").addEventListener("click", () => batch.abort());
byId("picture").addEventListener("error", () => frame("prompt"));
/** Show the versions that the address names; where it names none that is here, say so. */
async function followAddress() {
  try {
    chooser.follow();
  } finally {
    await showVersions();
  }
}

async function start() {
  try {
    await chooser.load();
    await followAddress();
    if (retry === start) showNothing();
    else if (!byId("problem").hidden) retry(); // it was asked for too early
    const asked = Number(new URLSearchParams(location.search).get("example"));
    if (asked && !choices) await showExample(asked);
  } catch (error) {
    showProblem(error);
    if (error.code === "loading") setTimeout(start, LOADING_POLL_MS);
  }
}

start();
