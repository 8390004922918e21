// All that is known of the source that is looked at.

import { stampAddress } from "./asking.js";
import { element, readable, short } from "./words.js";

const KEYS = { star: "s", quasar: "q", galaxy: "g", junk: "x" };

export class SourcePanel {
  constructor(run, looks, { judged, undone, chosen }) {
    Object.assign(this, { run, looks, judged, undone, chosen });
    this.title = document.getElementById("source-title");
    this.body = document.getElementById("source-body");
  }

  show(known) {
    const { source } = known;
    this.title.textContent = source.name;
    this.body.replaceChildren(
      this.summary(known),
      this.run.verdicts.length ? this.judge(known) : "",
      element("div", { id: "stamps" }, ...known.stamps.map(band => stamp(source, band)), sed(known.sed, source)),
      ...known.scores.map(each => this.scores(each)),
      ...section("Labels", known.labels.length ? grid(known.labels) : note("No sample has a label of it.")),
      ...(known.features ? folded("Shape", pairs(known.features)) : []),
      ...folded("Photometry", grid(known.photometry)),
      ...(Object.keys(known.others).length ? folded("Other columns", pairs(known.others)) : []),
      ...this.neighbours(known.neighbours));
  }

  // Say that nothing is known: what stood here was of another source.
  miss(source) {
    this.title.textContent = source.name;
    this.body.replaceChildren(note("It could not be read; choose it again."));
  }

  await(busy) {
    this.body.setAttribute("aria-busy", String(busy));
    for (const each of this.body.querySelectorAll("#judge button")) each.disabled = busy;
  }

  summary({ source, flags }) {
    const look = this.looks.of(source.class), row = document.createDocumentFragment();
    row.append(
      element("ul", { class: "chips", "aria-label": "Class and flags" },
        element("li", { class: "class", tone: this.looks.tone(source.class) },
          this.looks.dot(source.class), `${look.label}, p max ${short(source.p_max)}`),
        ...flags.map(each => element("li", {}, readable(each)))),
      note(`${source.ra.toFixed(6)} ${source.dec >= 0 ? "+" : "−"}${Math.abs(source.dec).toFixed(6)}, `
        + `${this.run.band} ${short(source[this.run.band], 2)}`),
      note(`Prediction set ${source.prediction_set || "empty"}, entropy ${short(source.entropy)}, `
        + `novelty ${short(source.novelty)}`));
    return row;
  }

  judge({ verdict }) {
    const buttons = this.run.verdicts.map(each => element("button",
      { type: "button", "data-verdict": each, "aria-pressed": String(each === verdict), onclick: () => this.judged(each) },
      `${each} `, element("kbd", { "aria-hidden": "true" }, KEYS[each])));
    return element("div", { id: "judge", role: "group", "aria-label": "Your verdict" }, ...buttons,
      element("button", { type: "button", onclick: () => this.undone() }, "undo ", element("kbd", { "aria-hidden": "true" }, "u")));
  }

  mark(verdict) {
    for (const each of this.body.querySelectorAll("[data-verdict]")) {
      each.setAttribute("aria-pressed", String(each.dataset.verdict === verdict));
    }
  }

  scores(said) {
    const order = this.run.classes.map(each => each.name);
    const rows = order.map(name => {
      const k = this.run.class_order.indexOf(name), p = said.calibrated[k] ?? 0;
      return element("tr", {},
        element("th", { scope: "row" }, this.looks.dot(name), this.looks.of(name).label),
        element("td", { class: "n" }, short(said.raw[k])), element("td", { class: "n" }, short(said.calibrated[k])),
        element("td", {}, element("span", { class: "meter", tone: this.looks.tone(name), "aria-hidden": "true" }, bar(p))));
    });
    const further = `set ${said.prediction_set || "empty"}, entropy ${short(said.entropy)}, novelty ${short(said.novelty)}`;
    return element("div", {}, element("h3", {}, said.network),
      element("table", { class: "bars" },
        element("thead", {}, element("tr", {}, ...["class", "raw", "calibrated", ""].map((text, k) =>
          element("th", { scope: "col", class: k === 1 || k === 2 ? "n" : null }, text)))),
        element("tbody", {}, ...rows)),
      note(further));
  }

  neighbours({ rows, radius_arcsec, cut }) {
    const lines = rows.map(each => element("tr", {},
      element("td", { class: "n" }, `${short(each.distance_arcsec, 1)}″`),
      element("td", {}, element("button", { type: "button", onclick: () => this.chosen(each) }, each.name)),
      element("td", {}, this.looks.dot(each.class), this.looks.of(each.class).label),
      element("td", { class: "n" }, short(each[this.run.band], 2))));
    const found = rows.length ? element("table", {}, element("tbody", {}, ...lines)) : note("none");
    return section(`Neighbours within ${radius_arcsec}″${cut ? " (the first ones)" : ""}`, found);
  }
}

const note = text => element("p", { class: "note" }, text);
const section = (title, block) => [element("h3", {}, title), block];
const folded = (title, block) => [element("details", {}, element("summary", {}, title), block)];

function bar(part) {
  const made = element("span");
  made.style.width = `${100 * part}%`;
  return made;
}

function stamp(source, band) {
  const picture = element("img", { src: stampAddress(source, band), alt: `Cutout of ${source.name} in ${band}, dark on white` });
  picture.addEventListener("error", () => picture.replaceWith(element("div", { class: "none" }, "no image")));
  return element("figure", {}, picture, element("figcaption", {}, `${band} band`));
}

// The drawing is our own server's, whose texts are escaped; a parser of XML runs no scripts.
function sed(svg, source) {
  const drawn = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", `Magnitudes of ${source.name} by band; the numbers stand under Photometry`);
  return element("div", { id: "sed" }, document.importNode(drawn, true));
}

function grid(records) {
  const names = Object.keys(records[0]);
  const head = element("tr", {}, ...names.map(each => element("th", { scope: "col" }, readable(each))));
  const rows = records.map(each => element("tr", {}, ...names.map(name => element("td", {}, short(each[name])))));
  return element("div", { class: "scroll" }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
}

function pairs(record) {
  const rows = Object.entries(record).map(([name, value]) =>
    element("tr", {}, element("th", { scope: "row" }, readable(name)), element("td", { class: "n" }, short(value))));
  return element("table", {}, element("tbody", {}, ...rows));
}
