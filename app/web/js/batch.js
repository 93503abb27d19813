// Several pictures: a table that fills as answers come, and downloads as CSV.

import { Problem, predict } from "./api.js";
import { csvOf } from "./csv.js";
import { count, milliseconds, percent } from "./numbers.js";

const AT_ONCE = 4; // of the six connections a browser opens to one host
const ATTEMPTS = 5;
const byId = (id) => document.getElementById(id);

/** Ask about every file; rows are in the order of the files. `onOpen` gets a file to look at. */
export async function runBatch(model, files, onOpen, signal) {
  const outcomes = files.map((file) => ({ file }));
  const rows = files.map((file) => rowOf(file, onOpen));
  begin(rows, files.length);
  let next = 0;
  const worker = async () => {
    while (next < outcomes.length && !signal.aborted) {
      const index = next++;
      Object.assign(outcomes[index], await outcomeOf(model, files[index], signal));
      fill(rows[index], outcomes[index]);
      byId("progress").value += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  finish(outcomes);
}

async function outcomeOf(model, file, signal) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await predict(model, file, signal);
    } catch (error) {
      if (error.name === "AbortError") return {};
      const problem = error instanceof Problem ? error : new Problem(String(error));
      if (problem.status !== 503 || attempt === ATTEMPTS) return { problem };
      await pause(Math.max(problem.retryAfter * 1000, 250 * attempt), signal);
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal.addEventListener("abort", resolve, { once: true });
  });
}

function begin(rows, total) {
  for (const old of byId("rows").querySelectorAll("img")) URL.revokeObjectURL(old.src);
  byId("rows").replaceChildren(...rows);
  Object.assign(byId("progress"), { max: total, value: 0, hidden: false });
  byId("batch-title").textContent = count(total, "picture", "pictures");
  byId("batch").hidden = byId("stop").hidden = false;
  byId("csv").hidden = true;
}

function rowOf(file, onOpen) {
  const row = byId("row").content.cloneNode(true).firstElementChild;
  row.querySelector(".file").textContent = file.name;
  row.querySelector(".open").addEventListener("click", () => onOpen(file));
  const thumbnail = row.querySelector("img");
  thumbnail.src = URL.createObjectURL(file);
  thumbnail.addEventListener("error", () => thumbnail.classList.add("broken"));
  return row;
}

function fill(row, { answer, problem, roundTripMs }) {
  const verdict = row.querySelector(".verdict-cell");
  if (answer) {
    verdict.textContent = answer.label;
    row.querySelector(".probability").textContent = percent(answer.probability);
    row.querySelector(".time").textContent = milliseconds(roundTripMs);
  } else if (problem) {
    verdict.textContent = problem.title;
    verdict.title = problem.detail;
    row.classList.add("failed");
  }
}

function finish(outcomes) {
  const answered = outcomes.filter(({ answer }) => answer).length;
  const failed = outcomes.filter(({ problem }) => problem).length;
  const unsent = outcomes.length - answered - failed;
  const notes = [failed && `${failed} failed`, unsent && `${unsent} not sent`].filter(Boolean);
  byId("batch-title").textContent = [count(answered, "answer", "answers"), ...notes].join(", ");
  byId("announce").textContent = byId("batch-title").textContent;
  byId("progress").hidden = byId("stop").hidden = true;
  // The mark in front tells Excel that it is UTF-8.
  offer(new Blob(["\ufeff", csvOf(outcomes)], { type: "text/csv" }));
}

function offer(csv) {
  const link = byId("csv");
  if (link.href) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(csv);
  link.download = "predictions.csv";
  link.hidden = false;
}
