// Questions to the server that sent this page, and to no other.

export class Refusal extends Error {}

export async function ask(path, parameters = {}, signal = undefined) {
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== null);
  return answered(await fetch(`${path}?${new URLSearchParams(given)}`, { signal }));
}

export async function judge(source, verdict) {
  const body = JSON.stringify({ index: source._healpix_29, name: source.name, verdict });
  const headers = { "Content-Type": "application/json" };
  return answered(await fetch("/api/verdict", { method: "POST", headers, body }));
}

export function stampAddress(source, band) {
  return `/api/stamp?${new URLSearchParams({ index: source._healpix_29, name: source.name, band })}`;
}

async function answered(reply) {
  const record = await reply.json();
  if (!reply.ok) throw new Refusal(record.error);
  return record;
}

// Run the newest of some questions only: one that is overtaken is given up.
export class Newest {
  start() {
    this.stop();
    this.controller = new AbortController();
    return this.controller.signal;
  }
  stop() { this.controller?.abort(); }
  get signal() { return this.controller?.signal; }
}

// Carry out something that may be refused, and say so on the page.
export async function carefully(work) {
  const place = document.getElementById("error");
  try {
    const result = await work();
    place.hidden = true;
    return result;
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    place.textContent = error instanceof Refusal ? error.message
      : `The explorer does not answer (${error.message}): it may have been stopped.`;
    place.hidden = false;
    return undefined;
  }
}
