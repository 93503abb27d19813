// Several pictures: a table that fills as answers come, sorts, sums up, and downloads as CSV.

import { attempt } from "./api.js";
import { csvOf } from "./csv.js";
import { count, milliseconds, percent } from "./numbers.js";

const AT_ONCE = 4; // of the six connections a browser opens to one host
const ATTEMPTS = 5;
const byId = (id) => document.getElementById(id);

// What each column is sorted by; a row without it comes last.
const KEYS = {
  name: ({ file }) => file.name,
  label: ({ answer }) => answer?.label,
  probability: ({ answer }) => answer?.probability,
  other: ({ beside }) => beside?.answer?.label,
  otherProbability: ({ beside }) => beside?.answer?.probability,
  time: ({ roundTripMs }) => roundTripMs,
};
let lines = []; // { row, outcome } in the order of the files

/** Ask about every file; rows are in the order of the files until another one is asked for.
 *  `onOpen` gets a file to look at. */
export async function runBatch({ asked, beside }, files, onOpen, signal) {
  clearBatch();
  const mine = files.map((file) => ({ row: rowOf(file, onOpen), outcome: { file } }));
  lines = mine;
  begin(beside);
  let next = 0;
  const worker = async () => {
    while (next < mine.length && !signal.aborted) {
      const { row, outcome } = mine[next++];
      Object.assign(outcome, await outcomeOf(asked, outcome.file, signal));
      if (beside) outcome.beside = await outcomeOf(beside, outcome.file, signal);
      if (lines !== mine) return; // other pictures are on the page
      fill(row, outcome);
      byId("progress").value += 1;
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (lines === mine) finish(Boolean(beside));
}

/** Forget the pictures and what was said of them. */
export function clearBatch() {
  for (const old of byId("rows").querySelectorAll("img")) URL.revokeObjectURL(old.src);
  byId("rows").replaceChildren();
  byId("sums").replaceChildren();
  byId("batch").hidden = byId("csv").hidden = true;
  lines = [];
}

async function outcomeOf(model, file, signal) {
  for (let tried = 1; ; tried++) {
    try {
      const outcome = await attempt(model, file, signal);
      if (outcome.problem?.status !== 503 || tried === ATTEMPTS) return outcome;
      await pause(Math.max(outcome.problem.retryAfter * 1000, 250 * tried), signal);
    } catch {
      return {}; // stopped
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal.addEventListener("abort", resolve, { once: true });
  });
}

function begin(beside) {
  const total = lines.length;
  byId("rows").replaceChildren(...lines.map(({ row }) => row));
  Object.assign(byId("progress"), { max: total, value: 0, hidden: false });
  byId("batch-title").textContent = count(total, "picture", "pictures");
  byId("batch").hidden = byId("stop").hidden = false;
  byId("batch").classList.toggle("compared", Boolean(beside));
  byId("other-column").textContent = beside ? `${beside.name} ${beside.version}` : "";
  unmarkColumns();
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

function fill(row, outcome) {
  fillCells(row, ".verdict-cell", ".probability", outcome);
  if (outcome.beside) fillCells(row, ".other-cell", ".other-probability", outcome.beside);
  if (outcome.answer) row.querySelector(".time").textContent = milliseconds(outcome.roundTripMs);
  row.classList.toggle("failed", Boolean(outcome.problem));
  row.classList.toggle("differs", differs(outcome));
}

function fillCells(row, verdict, probability, { answer, problem }) {
  const cell = row.querySelector(verdict);
  cell.textContent = answer?.label ?? problem?.title ?? "";
  if (problem) cell.title = problem.detail;
  if (!answer) return;
  row.querySelector(probability).textContent = percent(answer.probability);
  if (answer.unusual) cell.append(cautionOf());
}

function cautionOf() {
  const caution = document.createElement("span");
  Object.assign(caution, { className: "fine", textContent: " unlike training" });
  return caution;
}

const differs = ({ answer, beside }) =>
  Boolean(answer && beside?.answer && answer.label !== beside.answer.label);

function finish(isCompared) {
  const outcomes = lines.map(({ outcome }) => outcome);
  const answered = outcomes.filter(({ answer }) => answer).length;
  const failed = outcomes.filter(({ problem }) => problem).length;
  const unsent = outcomes.length - answered - failed;
  const differing = outcomes.filter(differs).length;
  const notes = [
    failed && `${failed} failed`,
    unsent && `${unsent} not sent`,
    isCompared && `${differing} differ`,
  ];
  byId("batch-title").textContent = [count(answered, "answer", "answers"), ...notes]
    .filter(Boolean)
    .join(", ");
  byId("announce").textContent = byId("batch-title").textContent;
  byId("progress").hidden = byId("stop").hidden = true;
  sumUp(outcomes);
  if (isCompared) {
    unmarkColumns();
    order((one, other) => differs(other.outcome) - differs(one.outcome));
  }
  // The mark in front tells Excel that it is UTF-8.
  const csv = new Blob(["\ufeff", csvOf(outcomes)], { type: "text/csv" });
  offer(csv, unsent ? `predictions-${answered + failed}-of-${outcomes.length}.csv` : "predictions.csv");
}

/** How many pictures were given each label, the commonest first. */
function sumUp(outcomes) {
  const counts = new Map();
  for (const { answer } of outcomes) {
    if (answer) counts.set(answer.label, (counts.get(answer.label) ?? 0) + 1);
  }
  const sums = [...counts].sort(([, one], [, other]) => other - one);
  byId("sums").replaceChildren(
    ...sums.map(([label, images]) => {
      const [entry, number] = ["li", "strong"].map((tag) => document.createElement(tag));
      number.textContent = images;
      entry.append(`${label} `, number);
      return entry;
    }),
  );
}

function order(compare) {
  byId("rows").append(...[...lines].sort(compare).map(({ row }) => row));
}

function unmarkColumns() {
  for (const column of byId("columns").children) column.removeAttribute("aria-sort");
}

function sortBy(column) {
  const isDescending = column.getAttribute("aria-sort") === "ascending";
  unmarkColumns();
  column.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
  const key = KEYS[column.dataset.sort];
  order((one, other) => {
    const [first, second] = [key(one.outcome), key(other.outcome)];
    if (first === undefined || second === undefined) return (first === undefined) - (second === undefined);
    const compared = typeof first === "number" ? first - second : natural.compare(first, second);
    return isDescending ? -compared : compared;
  });
}

const natural = new Intl.Collator("en", { numeric: true }); // 2.png before 10.png

for (const column of byId("columns").children) {
  column.querySelector("button").addEventListener("click", () => sortBy(column));
}

function offer(csv, name) {
  const link = byId("csv");
  if (link.href) URL.revokeObjectURL(link.href);
  Object.assign(link, { href: URL.createObjectURL(csv), download: name, hidden: false });
}
