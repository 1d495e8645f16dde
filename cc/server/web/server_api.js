// The server that this page came from: requests, streams, and errors as the one sentence that it says.

let key = sessionStorage.getItem("gemma.key") ?? "";

// Raised by all of these; `status` is 0 where the server did not answer at all.
export class ServerError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

// Kept until the tab is closed.
export function setKey(value) {
  key = value;
  if (value) sessionStorage.setItem("gemma.key", value);
  else sessionStorage.removeItem("gemma.key");
}

export function hasKey() {
  return key !== "";
}

// { id, context_length, ... } of the model that is served.
export async function fetchModel() {
  const response = await request("/v1/models", {});
  return (await response.json()).data[0];
}

// The chunks of POST /v1/chat/completions as they come.
export async function* streamChat(body, signal) {
  const response = await request("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  for await (const data of serverSentEvents(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message);
    yield chunk;
  }
  throw new ServerError("The connection ended before the answer did.");
}

async function request(path, options) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server cannot be reached: is it still running?");
  });
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  throw new ServerError(answer?.error?.message ?? `The server answered ${response.status}.`, response.status);
}

// The `data` of each event; the server ends lines with \n alone.
async function* serverSentEvents(body) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of chunksOf(body)) {
    const events = (rest + decoder.decode(bytes, { stream: true })).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      for (const line of event.split("\n")) {
        if (line.startsWith("data: ")) yield line.slice(6);
      }
    }
  }
}

// As the body's own async iterator, which not all browsers have.
async function* chunksOf(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The connection broke before the answer ended.");
  } finally {
    reader.cancel().catch(() => {});
  }
}
