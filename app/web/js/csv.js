// CSV as RFC 4180 has it, safe to open in a spreadsheet.

const SUMMARY = ["file", "label", "probability", "error", "model", "version", "request_id"];

/** One row per outcome: file, answer or error, what the version beside says, where there is one,
 *  then the probability of every class. */
export function csvOf(outcomes) {
  const labels = [...new Set(outcomes.flatMap(labelsOf))].sort();
  const besides = outcomes.some(({ beside }) => beside) ? SUMMARY.slice(1) : [];
  const header = [...SUMMARY, ...besides.map((name) => `beside_${name}`)];
  const rows = outcomes.map((outcome) => [
    ...summary(outcome),
    ...(besides.length ? summary({ ...outcome.beside, file: outcome.file }).slice(1) : []),
    ...spread(outcome, labels),
  ]);
  const lines = [[...header, ...labels.map((label) => `p(${label})`)], ...rows];
  return lines.map((cells) => cells.map(cell).join(",") + "\r\n").join("");
}

const labelsOf = ({ answer }) => answer?.predictions.map(({ label }) => label) ?? [];

function summary({ file, answer, problem }) {
  if (!answer) {
    const said = problem && [problem.title, problem.detail].filter(Boolean).join(": ");
    return [file.name, "", "", said ?? "not sent", "", "", problem?.requestId ?? ""];
  }
  const { label, probability, model, request_id } = answer;
  return [file.name, label, probability, "", model.name, model.version, request_id];
}

function spread({ answer }, labels) {
  const byLabel = new Map(answer?.predictions.map((p) => [p.label, p.probability]));
  return labels.map((label) => byLabel.get(label) ?? "");
}

export function cell(value) {
  if (typeof value === "number") return String(value);
  // A spreadsheet runs text that begins like this as a formula; the apostrophe keeps it text.
  const text = /^[=+\-@\t\r\n＝＋－＠]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
