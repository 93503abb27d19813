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

export function showNothing() {
  only("empty");
  byId("announce").textContent = "";
}

export function showAnswer({ answer, stages, roundTripMs }) {
  const { model, label, probability, predictions, request_id } = answer;
  byId("who").textContent = `${model.name}, version ${model.version}, says`;
  byId("label").textContent = label;
  byId("label").classList.toggle("long", label.length > LONG_LABEL);
  byId("sure").textContent = percent(probability);
  byId("unusual").hidden = !answer.unusual;
  byId("trace").textContent = `This was request ${request_id}.`;
  byId("json").textContent = JSON.stringify(answer, null, 2);
  showClasses(predictions);
  showTiming(stages, roundTripMs);
  only("answer");
  byId("announce").textContent =
    `${label}, ${percent(probability)}. ${answer.unusual ? CAUTION : ""}${model.name}, version ${model.version}.`;
}

/** Say what went wrong: a Problem in its own words, anything else as a fault of this page. */
export function showProblem(error) {
  const known = error instanceof Problem;
  const problem = known ? error : new Problem("This page failed", { detail: String(error) });
  const { title, detail, code, setting, requestId, mayPass } = problem;
  only("problem");
  byId("announce").textContent = "";
  byId("problem-title").textContent = title;
  byId("problem-detail").textContent = detail;
  const trace = [requestId && `Request ${requestId}`, code, setting && `limit: ${setting}`];
  byId("problem-trace").textContent = trace.filter(Boolean).join(" · ");
  byId("again").hidden = !mayPass;
}

function only(shown) {
  for (const id of ["empty", "problem", "answer"]) byId(id).hidden = id !== shown;
}

function showClasses(predictions) {
  const bars = byId("bars");
  bars.replaceChildren(...predictions.map(barOf));
  const more = byId("all");
  more.hidden = predictions.length <= SHOWN_AT_FIRST;
  const show = (all) => {
    [...bars.children].forEach((bar, rank) => (bar.hidden = !all && rank >= SHOWN_AT_FIRST));
    more.textContent = all ? `Show the first ${SHOWN_AT_FIRST}` : `Show all ${predictions.length}`;
    more.setAttribute("aria-expanded", String(all));
  };
  more.onclick = () => show(more.getAttribute("aria-expanded") === "false");
  show(false);
}

function barOf({ label, probability }) {
  const bar = byId("bar").content.cloneNode(true).firstElementChild;
  bar.querySelector(".name").textContent = label;
  bar.querySelector(".value").textContent = percent(probability);
  bar.querySelector(".fill").style.setProperty("--share", probability);
  return bar;
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
