// The request just made, for a terminal and for Python.

import { address } from "./api.js";

const byId = (id) => document.getElementById(id);
const KEY_HEADER = "X-API-Key";

/** Show how the request is made elsewhere; `isOnlyHere`: the picture is no file on a disk yet. */
export function showRequest(path, picture, { needsKey, isOnlyHere }) {
  const url = address(path);
  byId("curl").textContent = asCurl(url, picture.name, needsKey);
  byId("httpx").textContent = asHttpx(url, picture.name, needsKey);
  byId("keep").hidden = !isOnlyHere;
  if (byId("save").href) URL.revokeObjectURL(byId("save").href);
  Object.assign(byId("save"), { href: URL.createObjectURL(picture), download: picture.name });
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
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

/** With `needsKey`, the key comes from the variable API_KEY: the page does not know it. */
function asCurl(url, fileName, needsKey) {
  const key = needsKey ? `  -H "${KEY_HEADER}: $API_KEY" \\\n` : "";
  return `curl -sS ${shellQuoted(url)} \\\n${key}  -F ${shellQuoted(`file=@${curlFile(fileName)}`)}`;
}

function asHttpx(url, fileName, needsKey) {
  if (needsKey) return withKey(asHttpx(url, fileName, false));
  return `import httpx

with open(${pythonQuoted(fileName)}, "rb") as image:
    response = httpx.post(${pythonQuoted(url)}, files={"file": image}, timeout=30)

response.raise_for_status()
answer = response.json()
print(answer["label"], answer["probability"])`;
}

function withKey(code) {
  const headers = `headers={"${KEY_HEADER}": os.environ["API_KEY"]}, timeout=30)`;
  return `import os\n\n${code.replace("timeout=30)", headers)}`;
}

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// Every JSON string is a Python string of the same value.
const pythonQuoted = (text) => JSON.stringify(text);

// curl reads ; and , in a file name as its own syntax unless the name is in double quotes.
function curlFile(name) {
  return /^[\w.-]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`;
}
