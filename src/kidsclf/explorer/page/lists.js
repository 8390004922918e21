// Sources to go through one after the other, and which of them is the one looked at.

import { Newest, ask, carefully } from "./asking.js";
import { count, element, short } from "./words.js";

const TITLES = { entropy: "highest entropy", p_max: "lowest p max", novelty: "largest novelty", view: "in view" };
const AT_ONCE = 50;
const MOST_OF_VIEW = 300;
const AGAIN_MS = 50;

export class Lists {
  constructor(run, looks, filters, chosen) {
    Object.assign(this, { run, looks, filters, chosen, sources: [], at: -1, view: [], current: null });
    this.place = document.getElementById("list");
    this.status = document.getElementById("list-status");
    this.newest = new Newest();
    const choice = document.querySelector("#list-choice fieldset");
    for (const name of [...run.lists, "view"]) {
      choice.append(element("label", {},
        element("input", { type: "radio", name: "list", value: name, onchange: () => this.choose(name) }), TITLES[name]));
    }
    choice.querySelector("input").checked = true;
    this.name = run.lists[0] ?? "view";
    this.place.addEventListener("click", event => {
      const row = event.target.closest("li");
      if (row) this.go(Number(row.dataset.place));
    });
    this.place.addEventListener("scroll", () => this.more());
  }

  choose(name) {
    this.name = name;
    return this.load();
  }

  // What the map shows, for the list of the view.
  seen(view) {
    this.view = view.kind === "sources" ? view.sources : null;
    if (this.name === "view") this.load();
  }

  async load() {
    if (this.name === "view") return this.loadView();
    const signal = this.newest.start();
    this.listed = 0; // until it is whole, its next stretch is none of it
    let found;
    do {
      found = await carefully(() => this.ask(0, signal));
      if (!found || signal.aborted) return;
      this.sources = found.sources;
      this.render();
      this.status.textContent = found.complete
        ? `The first ${count(found.listed)} of ${count(found.chosen)} sources.`
        : `Looking through the sky: ${count(found.looked_at)} of ${count(found.partitions)} partitions …`;
      if (!found.complete) await new Promise(done => setTimeout(done, AGAIN_MS));
    } while (!found.complete);
    this.listed = found.listed;
  }

  ask(first, signal) {
    return ask("/api/list", { list: this.name, first, count: AT_ONCE, ...this.filters.asked }, signal);
  }

  loadView() {
    this.newest.stop();
    const band = this.run.band, sources = [...(this.view ?? [])];
    sources.sort((a, b) => (a[band] ?? 99) - (b[band] ?? 99));
    this.sources = sources.slice(0, MOST_OF_VIEW);
    this.listed = this.sources.length;
    this.status.textContent = this.view
      ? `The brightest ${count(this.listed)} of ${count(sources.length)} sources in view.`
      : "Zoom in until the map shows sources.";
    this.render();
  }

  // Ask for the next stretch when the end of this one comes near.
  async more() {
    const { scrollTop, clientHeight, scrollHeight } = this.place;
    const near = scrollTop + 2 * clientHeight > scrollHeight || this.at + 10 > this.sources.length;
    const signal = this.newest.signal;
    if (!near || this.asking === signal || this.sources.length >= (this.listed ?? 0)) return;
    this.asking = signal;
    const found = await carefully(() => this.ask(this.sources.length, signal));
    if (this.asking === signal) this.asking = null;
    if (!found || signal.aborted) return;
    this.place.append(...found.sources.map((each, k) => this.row(each, this.sources.length + k)));
    this.sources.push(...found.sources);
  }

  render() {
    this.place.replaceChildren(...this.sources.map((each, k) => this.row(each, k)));
    this.find();
  }

  // Where the current source stands may have changed with what is listed.
  find() {
    this.at = this.current === null ? -1 : this.sources.findIndex(each => same(each, this.current));
    this.mark();
  }

  row(source, place) {
    const value = source[this.name === "view" ? "p_max" : this.name];
    return element("li", { role: "option", id: `row-${place}`, "data-place": place, "aria-selected": "false" },
      element("span", {}, String(place + 1)),
      element("span", { class: "who" }, this.looks.dot(source.class), source.name),
      element("span", {}, this.looks.of(source.class).label),
      element("span", { class: "n mag" }, `${this.run.band} ${short(source[this.run.band], 2)}`),
      element("span", { class: "n" }, short(value)),
      element("span", { class: "given" }, source.verdict ?? ""));
  }

  step(by) {
    const to = Math.min(Math.max(this.at + by, 0), this.sources.length - 1);
    if (to >= 0 && to !== this.at) this.go(to);
  }

  go(place) {
    this.at = place;
    this.mark();
    this.more();
    this.chosen(this.sources[place]);
  }

  // Show which source is looked at; none where it is not on the list.
  follow(source) {
    this.current = source;
    this.find();
  }

  mark() {
    for (const old of this.place.querySelectorAll('[aria-selected="true"]')) old.setAttribute("aria-selected", "false");
    const row = this.place.children[this.at];
    this.place.setAttribute("aria-activedescendant", row?.id ?? "");
    row?.setAttribute("aria-selected", "true");
    if (!row) return;
    // The list alone is scrolled: scrollIntoView would move the page, and the map with it.
    const bottom = row.offsetTop + row.offsetHeight - this.place.clientHeight;
    this.place.scrollTop = Math.max(Math.min(this.place.scrollTop, row.offsetTop), bottom);
  }

  judged(source, verdict) {
    this.sources.forEach((each, k) => {
      if (!same(each, source)) return;
      each.verdict = verdict ?? undefined;
      this.place.children[k].querySelector(".given").textContent = verdict ?? "";
    });
  }
}

export const same = (a, b) => a._healpix_29 === b._healpix_29 && a.name === b.name;
