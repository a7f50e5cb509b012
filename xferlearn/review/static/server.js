// What the page asks the server, in one place. Addresses are relative: they lie below the token.

export class Refused extends Error {}
export class Lost extends Error {}

export const photoAddress = (id, side) => `photo/${id}?side=${side}`;
export const heatAddress = (id) => `heat/${id}`;

export function get(path) {
  return ask(path, {});
}

export function post(path, body) {
  return ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

async function ask(path, options) {
  let response, text;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
    text = await response.text();
  } catch {
    throw new Lost("The server does not answer.");
  }
  if (response.status === 204) return null;
  const answer = parsed(text);
  if (response.ok && answer) return answer;
  // Another server at this port does not know the token.
  if (!answer?.error) throw response.status === 404 || response.ok ? new Lost("Another server answers here.") : new Refused(`The server says ${response.status}.`);
  throw new Refused(answer.error);
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

// Calls `receive` with each new state, for ever, and `lost` when the server is gone.
export async function follow(revision, receive, lost) {
  for (;;) {
    try {
      const state = await get(revision() === null ? "state" : `state?since=${revision()}`);
      lost(null);
      if (state) receive(state);
    } catch (error) {
      lost(error);
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}
