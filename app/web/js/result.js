// One answer, or one refusal, on the page.

import { Problem } from "./api.js";
import { milliseconds, percent } from "./numbers.js";

const SHOWN_AT_FIRST = 10;
const NAMED_STAGES = ["decode", "queue", "inference"];
const CAUTION = "Unlike the images it was trained on. ";
const LONG_LABEL = 14; // characters; more are set smaller
const byId = (id) => document.getElementById(id);

export function busy(isBusy) {
  byId("result").setAttribute("aria-busy", String(isBusy));
}

/** On a small screen, what was said may lie below what was asked. */
export function keepInSight() {
  const said = byId("answer").hidden ? byId("problem") : byId("verdict");
  said.scrollIntoView({ block: "nearest" });
}

export function showNothing() {
  only("empty");
  byId("announce").textContent = "";
}

/** Show an answer, and what the version beside it made of the same picture, if there is one.
 *  While answers follow each other (`isLive`), only another label is announced. */
export function showAnswer({ answer, stages, roundTripMs }, beside, isLive) {
  const { label, probability, predictions, request_id } = answer;
  const isNews = !isLive || byId("label").textContent !== label;
  say("", answer);
  byId("unusual").hidden = !answer.unusual;
  byId("trace").textContent = `This was request ${request_id}.`;
  byId("json").textContent = JSON.stringify(answer, null, 2);
  const agreement = showBeside(answer, beside);
  showClasses(predictions, beside?.answer?.predictions);
  showTiming(stages, roundTripMs);
  only("answer");
  if (!isNews) return;
  const caution = answer.unusual ? CAUTION : "";
  byId("announce").textContent =
    `${label}, ${percent(probability)}. ${caution}${nameOf(answer)}. ${agreement}`.trim();
}

const nameOf = ({ model }) => `${model.name}, version ${model.version}`;

function say(prefix, answer) {
  byId(`${prefix}who`).textContent = `${nameOf(answer)}, says`;
  byId(`${prefix}label`).textContent = answer.label;
  byId(`${prefix}label`).classList.toggle("long", answer.label.length > LONG_LABEL);
  byId(`${prefix}sure`).textContent = percent(answer.probability);
}

/** Returns what the two make of each other, in a sentence; empty where there is only one. */
function showBeside(answer, beside) {
  byId("beside-says").hidden = !beside?.answer;
  byId("agreement").hidden = !beside;
  if (!beside) return "";
  if (beside.answer) say("beside-", beside.answer);
  const agreement = agreementOf(answer, beside);
  byId("agreement").textContent = agreement;
  return agreement;
}

function agreementOf(answer, beside) {
  if (beside.problem) return `The one beside it cannot answer: ${beside.problem.title}.`;
  return beside.answer.label === answer.label ? "They agree." : "They disagree.";
}

/** Say what went wrong, with which file: a Problem in its own words, anything else as a fault of
 *  this page. */
export function showProblem(error, fileName = "") {
  const known = error instanceof Problem;
  const problem = known ? error : new Problem("This page failed", { detail: String(error) });
  const { title, detail, code, setting, requestId, mayPass } = problem;
  only("problem");
  byId("announce").textContent = "";
  byId("problem-file").textContent = fileName;
  byId("problem-title").textContent = title;
  byId("problem-detail").textContent = detail;
  const trace = [requestId && `Request ${requestId}`, code, setting && `limit: ${setting}`];
  byId("problem-trace").textContent = trace.filter(Boolean).join(" · ");
  byId("again").hidden = !mayPass;
}

function only(shown) {
  for (const id of ["empty", "problem", "answer"]) byId(id).hidden = id !== shown;
}

function showClasses(predictions, others = []) {
  const bars = byId("bars");
  const known = new Set(predictions.map(({ label }) => label));
  const besides = new Map(others.map(({ label, probability }) => [label, probability]));
  const rows = [...predictions, ...others.filter(({ label }) => !known.has(label)).map(unknown)];
  bars.replaceChildren(...rows.map((row) => barOf(row, besides.get(row.label))));
  const more = byId("all");
  more.hidden = rows.length <= SHOWN_AT_FIRST;
  const show = (all) => {
    [...bars.children].forEach((bar, rank) => (bar.hidden = !all && rank >= SHOWN_AT_FIRST));
    more.textContent = all ? `Show the first ${SHOWN_AT_FIRST}` : `Show all ${rows.length}`;
    more.setAttribute("aria-expanded", String(all));
  };
  more.onclick = () => show(more.getAttribute("aria-expanded") === "false");
  show(false);
}

// A class that only the version beside knows.
const unknown = ({ label }) => ({ label, probability: null });

function barOf({ label, probability }, beside) {
  const bar = byId("bar").content.cloneNode(true).firstElementChild;
  bar.querySelector(".name").textContent = label;
  fillBar(bar, "", probability);
  if (beside !== undefined) fillBar(bar, ".other", beside);
  else for (const part of bar.querySelectorAll(".other")) part.remove();
  return bar;
}

function fillBar(bar, which, probability) {
  const [track, value] = [`.track${which}`, `.value${which}`].map((part) => bar.querySelector(part));
  value.textContent = probability === null ? "–" : percent(probability);
  track.firstElementChild.style.setProperty("--share", probability ?? 0);
}

/** The stages the service names, and what its total leaves over. */
function showTiming(stages, roundTripMs) {
  const parts = [...stages].filter(([name]) => NAMED_STAGES.includes(name));
  const accounted = parts.reduce((sum, [, ms]) => sum + ms, 0);
  const total = stages.get("total") ?? accounted;
  if (total > accounted) parts.push(["other", total - accounted]);
  byId("service-time").textContent = milliseconds(total);
  byId("round-trip").textContent = `${milliseconds(roundTripMs)} with the way there and back`;
  byId("strip").replaceChildren(...parts.map(([name, ms]) => segment(name, ms)));
  byId("stages").replaceChildren(...parts.map(([name, ms]) => stage(name, ms)));
}

function segment(name, ms) {
  const part = document.createElement("span");
  part.className = `part ${name}`;
  part.style.flexGrow = ms;
  return part;
}

function stage(name, ms) {
  const [pair, term, value] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
  pair.className = `stage ${name}`;
  term.textContent = name;
  value.textContent = milliseconds(ms);
  pair.append(term, value);
  return pair;
}
