// Every way a picture comes in: dropped, pasted, chosen, photographed, or out of the bundle.

import { address, part } from "./api.js";

export const PASTED = "pasted.png";
const byId = (id) => document.getElementById(id);

/** Call `onFiles` with a non-empty array of Files, `onNothing` when what came held none. */
export function listen(onFiles, onNothing) {
  const take = (files) => (files.length ? onFiles(files) : onNothing());
  listenToInputs(onFiles);
  listenToDrops(take);
  listenToPastes(take);
}

/** Let the file dialog offer the formats the model takes; a phone then converts its own. */
export function offerFormats(formats) {
  const types = formats.map((format) => `image/${format.toLowerCase()}`);
  // Not every system knows which files are of this type.
  if (formats.includes("HEIC")) types.push(".heic", ".heif");
  byId("files").accept = types.join(",") || "image/*";
}

/** Show a version's own examples as buttons; `onExample` gets the number of one, from 1. */
export function offerExamples(version, chosen, onExample) {
  byId("examples").hidden = !version.examples;
  const numbers = Array.from({ length: version.examples }, (_, index) => index + 1);
  byId("thumbnails").replaceChildren(
    ...numbers.map((number) => {
      const button = byId("example").content.cloneNode(true).firstElementChild;
      const image = button.querySelector("img");
      image.src = address(part(`examples/${number}`, version));
      image.alt = `Example ${number}`;
      button.addEventListener("click", () => onExample(number));
      return button;
    }),
  );
  markExample(chosen);
}

/** Mark the example that is on the page; none for null. */
export function markExample(chosen) {
  [...byId("thumbnails").children].forEach((button, index) =>
    button.setAttribute("aria-pressed", String(index + 1 === chosen)),
  );
}

function listenToInputs(onFiles) {
  for (const [button, input] of [["choose", "files"], ["photograph", "camera"]]) {
    byId(button).addEventListener("click", () => byId(input).click());
    byId(input).addEventListener("change", ({ target }) => {
      const files = [...target.files];
      target.value = ""; // so that choosing the same file again is a change
      if (files.length) onFiles(files);
    });
  }
}

function listenToDrops(take) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const frame = byId("frame");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    frame.classList.toggle("over", Boolean(carriesFiles(event)));
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) frame.classList.remove("over");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    frame.classList.remove("over");
    take(await filesIn(event.dataTransfer));
  });
}

function listenToPastes(take) {
  addEventListener("paste", (event) => {
    if (event.target.matches?.("input, textarea")) return;
    take([...event.clipboardData.files].map(named));
  });
  if (!navigator.clipboard?.read) return;
  byId("paste").hidden = false;
  byId("paste").addEventListener("click", async () => take(await clipboardImages()));
}

// Browsers call every image from the clipboard the same; no file of that name is on the disk.
const named = (file) => (file.name === "image.png" ? pasted(file) : file);

const pasted = (blob) => new File([blob], PASTED, { type: blob.type });

async function clipboardImages() {
  const items = await navigator.clipboard.read().catch(() => []);
  const images = items.flatMap((item) => {
    const type = item.types.find((offered) => offered.startsWith("image/"));
    return type ? [item.getType(type)] : [];
  });
  return (await Promise.all(images)).map(pasted);
}

/** Files of a drop, folders included. */
async function filesIn(transfer) {
  // Entries must be taken before the first await: the transfer is emptied after the event.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  return (await Promise.all(entries.map(filesUnder))).flat();
}

async function filesUnder(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const files = [];
  for (;;) {
    // A reader hands out at most a hundred entries at a time, and an empty list at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return files.filter((file) => !file.name.startsWith("."));
    files.push(...(await Promise.all(some.map(filesUnder))).flat());
  }
}
