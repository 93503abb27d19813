// The request just made, for a terminal and for Python.

export function asCurl(url, fileName) {
  return `curl -sS ${shellQuoted(url)} \\\n  -F ${shellQuoted(`file=@${curlFile(fileName)}`)}`;
}

export function asHttpx(url, fileName) {
  return `import httpx

with open(${pythonQuoted(fileName)}, "rb") as image:
    response = httpx.post(${pythonQuoted(url)}, files={"file": image}, timeout=30)

response.raise_for_status()
answer = response.json()
print(answer["label"], answer["probability"])`;
}

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// Every JSON string is a Python string of the same value.
const pythonQuoted = (text) => JSON.stringify(text);

// curl reads ; and , in a file name as its own syntax unless the name is in double quotes.
function curlFile(name) {
  return /^[\w.-]+$/.test(name) ? name : `"${name.replace(/["\\]/g, "\\$&")}"`;
}
