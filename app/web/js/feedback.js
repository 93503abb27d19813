// "That's wrong": a picture under its right label, kept for the next training.

import { postFeedback } from "./api.js";

const MOST_BUTTONS = 12; // more labels than that are offered as a list
const byId = (id) => document.getElementById(id);
let shown = null; // the picture that is offered for correction

/** Offer every label of the model that answered, but the one that it said. */
export function offerCorrection(model, picture, said) {
  shown = picture;
  byId("wrong").hidden = false;
  byId("kept").textContent = "";
  const labels = model.labels.filter((label) => label !== said);
  const keep = (label) => keepAs(model, picture, label);
  const offer = labels.length > MOST_BUTTONS ? listOf(labels, keep) : buttonsOf(labels, keep);
  byId("labels").replaceChildren(...offer);
}

export function offerNoCorrection() {
  byId("wrong").hidden = true;
}

async function keepAs(model, picture, label) {
  const say = (text) => shown === picture && (byId("kept").textContent = text);
  say("Keeping it …");
  try {
    say(`Kept as ${label}: ${await postFeedback(model, picture, label)}`);
  } catch (problem) {
    say([problem.title, problem.detail].filter(Boolean).join(". "));
  }
}

function buttonsOf(labels, keep) {
  return labels.map((label) => {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: label });
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
