// The page: what the run holds, a map of it, the source that is looked at, and lists to go through.

import { Newest, ask, carefully, judge } from "./asking.js";
import { Filters } from "./filters.js";
import { Lists, same } from "./lists.js";
import { plane } from "./projection.js";
import { Sky } from "./sky.js";
import { SourcePanel } from "./source.js";
import { Looks, count, element } from "./words.js";

const VERDICT_OF = { s: "star", q: "quasar", g: "galaxy", x: "junk" };
const CLOSE_DEG = 0.02;

class Explorer {
  constructor(run) {
    this.run = run;
    this.looks = new Looks(run.classes);
    this.given = []; // verdicts of this visit, for undo
    this.shown = null; // the source that the panel shows: no other is judged
    this.loading = this.sending = false;
    this.views = new Newest();
    this.details = new Newest();
    this.filters = new Filters(document.getElementById("filters"), run, () => this.filtered());
    this.sky = new Sky(document.getElementById("sky"), this.looks, run.band, {
      moved: where => this.look(where), picked: source => this.choose(source, false),
    });
    this.sky.all = () => this.whole();
    this.lists = new Lists(run, this.looks, this.filters, source => this.choose(source, true));
    this.panel = new SourcePanel(run, this.looks, {
      judged: verdict => this.judge(verdict), undone: () => this.undo(), chosen: source => this.choose(source, true),
    });
  }

  async start() {
    this.describe();
    this.tell(this.run.counts);
    this.connect();
    this.whole();
    await this.lists.load();
  }

  describe() {
    const { title, rows, network, verdict_table: table, verdicts } = this.run;
    document.title = `${title}: kidsclf explorer`;
    document.getElementById("title").textContent = title;
    document.getElementById("about").textContent =
      `${rows === null ? "" : `${count(rows)} sources `}classified by ${network}`;
    document.getElementById("verdict-table").textContent = table;
    document.querySelector(".judging").hidden = !verdicts.length;
  }

  connect() {
    const on = (id, kind, work) => document.getElementById(id).addEventListener(kind, work);
    on("zoom-in", "click", () => this.sky.zoom(0.5));
    on("zoom-out", "click", () => this.sky.zoom(2));
    on("zoom-all", "click", () => this.whole());
    on("go", "submit", event => this.goTo(event));
    document.addEventListener("keydown", event => this.key(event));
  }

  // Look at all of the survey.
  whole() {
    const { ra, dec, reach } = this.run.sky;
    this.sky.look(ra, dec, 0.85 * plane(reach));
  }

  filtered() {
    this.sky.recolour(this.filters.asked.class.replace("none", ""));
    this.look(this.where);
    this.lists.load();
  }

  // Ask what a view shows, again as long as not all of it has been counted.
  async look(where) {
    this.where = where;
    const map = document.getElementById("sky");
    map.setAttribute("aria-busy", "true");
    const signal = this.views.start();
    let view;
    do {
      view = await carefully(() => ask("/api/view",
        { ra: where.ra, dec: where.dec, radius: Math.max(where.radius, 1e-5), ...this.filters.asked }, signal));
      if (!view || signal.aborted) return;
      this.sky.show(view);
      this.say(view);
    } while (!view.complete);
    map.setAttribute("aria-busy", "false");
    this.lists.seen(view);
  }

  say(view) {
    const words = document.getElementById("sky-status"), totals = new Map();
    if (view.kind === "sources") {
      for (const each of view.sources) totals.set(each.class, (totals.get(each.class) ?? 0) + 1);
      words.textContent = `${count(view.count)} sources`;
    } else {
      view.classes.forEach((name, k) => totals.set(name, view.counts.reduce((sum, each) => sum + each[k], 0)));
      words.textContent = `${count(view.count)} sources in ${count(view.counts.length)} cells; zoom in to see them one by one`;
    }
    if (!view.complete) words.textContent = `Counting: ${count(view.looked_at)} of ${count(view.partitions)} partitions …`;
    document.getElementById("legend").replaceChildren(
      ...[...this.run.classes.map(each => each.name), ""].filter(name => name || totals.get(""))
        .map(name => element("li", {}, this.looks.dot(name), `${this.looks.of(name).label} ${count(totals.get(name) ?? 0)}`)));
  }

  async choose(source, follow) {
    this.shown = null;
    this.settle({ loading: true });
    this.sky.choose(source);
    this.lists.follow(source);
    if (follow && !(this.sky.holds(source) && this.sky.half <= 5 * CLOSE_DEG)) {
      this.sky.look(source.ra, source.dec, Math.min(this.sky.half, CLOSE_DEG));
    }
    const signal = this.details.start();
    const known = await carefully(() => ask("/api/source", { index: source._healpix_29, name: source.name }, signal));
    if (signal.aborted) return;
    if (known) {
      this.panel.show(known);
      this.shown = source;
    } else this.panel.miss(source);
    this.settle({ loading: false });
  }

  // Between a choice and what is shown of it, and until a verdict is kept, none other is taken.
  settle(state) {
    Object.assign(this, state);
    this.panel.await(this.loading || this.sending);
  }

  async send(source, verdict) {
    this.settle({ sending: true });
    const told = await carefully(() => judge(source, verdict));
    this.settle({ sending: false });
    return told;
  }

  async judge(verdict) {
    const source = this.shown;
    if (!source || this.sending || !this.run.verdicts.length) return;
    const told = await this.send(source, verdict);
    if (!told) return;
    this.given.push({ source, before: told.before });
    this.judged(source, verdict, told);
    if (this.lists.at >= 0 && same(source, this.lists.sources[this.lists.at])) this.lists.step(1);
  }

  async undo() {
    if (this.loading || this.sending) return;
    const last = this.given.pop();
    if (!last) return;
    const told = await this.send(last.source, last.before);
    if (!told) {
      this.given.push(last);
      return;
    }
    this.judged(last.source, last.before, told);
    this.choose(last.source, true);
  }

  judged(source, verdict, { counts }) {
    this.lists.judged(source, verdict);
    if (this.shown && same(this.shown, source)) this.panel.mark(verdict);
    this.tell(counts);
  }

  tell(counts) {
    document.getElementById("verdict-counts").textContent =
      Object.entries(counts).map(([verdict, n]) => `${verdict} ${count(n)}`).join(", ");
  }

  goTo(event) {
    event.preventDefault();
    const [ra, dec] = event.target.place.value.trim().split(/[\s,]+/).map(Number);
    if (Number.isFinite(ra) && Math.abs(dec) <= 90) this.sky.look(((ra % 360) + 360) % 360, dec, Math.min(this.sky.half, 0.1));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=radio]), select")) return;
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key], verdict = VERDICT_OF[event.key];
    if (step) this.lists.step(step);
    else if (!verdict && event.key !== "u") return;
    else if (!event.repeat) this[verdict ? "judge" : "undo"](verdict); // a key held down is one verdict
    event.preventDefault();
  }
}

const run = await carefully(() => ask("/api/run"));
if (run) {
  const explorer = new Explorer(run);
  window.explorer = explorer;
  await explorer.start();
}
