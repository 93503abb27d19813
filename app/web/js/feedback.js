// "That's wrong": a picture under its right label, kept for the next training.

import { postFeedback } from "./api.js";

const MOST_BUTTONS = 12; // more labels than that are offered as a list
const byId = (id) => document.getElementById(id);
let shown = null; // the picture that is offered for correction

/** Offer every label of the version that answered, in the order of `known` where they are in it;
 *  the one that it said is offered once another was kept, so that a slip can be undone. */
export function offerCorrection(known, picture, { model, label: said, predictions }) {
  shown = picture;
  byId("wrong").hidden = false;
  byId("kept").textContent = "";
  const labels = predictions
    .map(({ label }) => label)
    .sort((one, other) => known.indexOf(one) - known.indexOf(other));
  const keep = (label) => keepAs(model, picture, label);
  const offer = labels.length > MOST_BUTTONS ? listOf(labels, keep) : buttonsOf(labels, keep);
  byId("labels").replaceChildren(...offer);
  setOffered(choices().find(({ value }) => value === said), false);
}

export function offerNoCorrection() {
  byId("wrong").hidden = true;
}

async function keepAs(version, picture, label) {
  const say = (text) => shown === picture && (byId("kept").textContent = text);
  say("Keeping it …");
  try {
    say(`Kept as ${label}: ${await postFeedback(version, picture, label)}`);
    if (shown === picture) choices().forEach((choice) => setOffered(choice, true));
  } catch (problem) {
    say([problem.title, problem.detail].filter(Boolean).join(". "));
  }
}

const choices = () => [...byId("labels").querySelectorAll("button, option")];

function setOffered(choice, isOffered) {
  choice.hidden = choice.disabled = !isOffered;
  choice.selected &&= isOffered; // a list then begins at the first that is not disabled
}

function buttonsOf(labels, keep) {
  return labels.map((label) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: label, value: label });
    button.addEventListener("click", () => keep(label));
    return button;
  });
}

function listOf(labels, keep) {
  const list = document.createElement("select");
  list.setAttribute("aria-label", "What it shows");
  list.replaceChildren(...labels.map((label) => new Option(label)));
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "quiet", textContent: "Keep it" });
  button.addEventListener("click", () => keep(list.value));
  return [list, button];
}
