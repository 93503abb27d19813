// What the page asks of the service, and what it makes of the answers.

/** A refusal in the service's own words (RFC 9457), or ours where none came. */
export class Problem extends Error {
  detail = "";
  code = ""; // stable, for programs
  setting = ""; // the variable an operator could change
  requestId = "";
  status = 0; // 0: nothing answered
  retryAfter = 0; // seconds

  constructor(title, members) {
    super(title);
    Object.assign(this, members, { title });
  }

  /** Whether the same request may succeed later: the picture was not at fault. */
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

// Relative to the page, so that it also works behind a proxy that adds a path.
export const address = (route) => new URL(route, document.baseURI).href;

/** The route of an action; the default model answers without a name, a current version without
 *  its number, and so do those that follow them. */
export function route(action, { name, version, isDefault, isCurrent }) {
  if (isDefault) return action;
  return isCurrent ? `models/${encodeURIComponent(name)}/${action}` : part(action, { name, version });
}

/** The route of something that belongs to one version alone, as its examples and its report. */
export function part(action, { name, version }) {
  return `models/${encodeURIComponent(name)}/versions/${version}/${action}`;
}

/** What the service is, with the models that can answer now; the default one is marked. */
export async function fetchService() {
  const said = await getJson("models");
  const ready = said.models.filter(({ image }) => image);
  if (!ready.length) throw await noModel();
  return {
    asksForKeys: said.asks_for_keys,
    keepsFeedback: said.keeps_feedback,
    models: ready.map((model) => ({
      ...model,
      isCurrent: true,
      isDefault: model.name === said.default,
    })),
  };
}

/** What the service says of a version that is not the current one; it is opened for that. */
export async function fetchVersion(name, version) {
  const said = await getJson(`models/${encodeURIComponent(name)}/versions/${version}`);
  return { ...said, isCurrent: false, isDefault: false };
}

async function getJson(path) {
  return (await reach(path, { headers: { Accept: "application/json" } })).json();
}

/** An example of a version, as a file. */
export async function fetchExample(version, number) {
  const image = await (await reach(part(`examples/${number}`, version), {})).blob();
  const extension = image.type.replace(/^image\/(x-)?/, "") || "png";
  return new File([image], `example-${number}.${extension}`, { type: image.type });
}

/** Why nothing can answer, as the service's health tells it; its code is "loading" at first. */
async function noModel() {
  const response = await fetch(address("health")).catch(() => null);
  const { status, reason, models = [] } = (await response?.json().catch(() => null)) ?? {};
  const failures = models.map(({ failure }) => failure);
  return new Problem(status === "loading" ? "One moment" : "No model is loaded", {
    code: status ?? "",
    detail: [reason, ...failures].filter(Boolean).join(" "),
  });
}

/** POST one image as the multipart field `file`, and other fields; resolves to the response and its
 *  round trip. */
export async function postImage(path, file, signal, fields = {}) {
  const body = new FormData();
  body.append("file", file, file.name);
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  const started = performance.now();
  const response = await reach(path, { method: "POST", body, signal });
  return { response, roundTripMs: performance.now() - started };
}

export async function predict(model, file, signal) {
  const { response, roundTripMs } = await postImage(route("predict", model), file, signal);
  const stages = serverTiming(response.headers.get("Server-Timing") ?? "");
  return { answer: await response.json(), stages, roundTripMs };
}

/** The same as { answer, … }, or as { problem }; only an abort is thrown. */
export async function attempt(model, file, signal) {
  try {
    return await predict(model, file, signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { problem: error instanceof Problem ? error : new Problem(String(error)) };
  }
}

/** Keep an image under its right label, as an image of the version that answered, whichever
 *  serves now; resolves to the file that the service made of it. */
export async function postFeedback(version, file, label) {
  const { response } = await postImage(part("feedback", version), file, null, { label });
  return (await response.json()).file;
}

/** `decode;dur=1.2, queue;dur=0.1` → Map {decode → 1.2, queue → 0.1}, milliseconds. */
export function serverTiming(header) {
  const stages = new Map();
  for (const [, name, duration] of header.matchAll(/([\w-]+)[^,]*?;\s*dur="?([\d.eE+-]+)/g)) {
    if (Number.isFinite(Number(duration))) stages.set(name, Number(duration));
  }
  return stages;
}

async function reach(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service did not answer", {
      detail: "The connection failed, or the picture could not be read. Is the service running?",
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const said = await response.json().catch(() => ({}));
  const { status, statusText } = response;
  return new Problem(said.title ?? `The service answered ${status} ${statusText}`.trim(), {
    detail: said.detail ?? "",
    code: said.code ?? "",
    setting: said.setting ?? "",
    status,
    requestId: said.request_id ?? response.headers.get("X-Request-Id") ?? "",
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}
