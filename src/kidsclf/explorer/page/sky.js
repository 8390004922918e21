// The map: BokehJS draws, pans and zooms a plane on which the sky round the middle of the view is
// laid out. When a movement ends, the middle becomes the centre of a new plane, so that the part
// that is looked at is never distorted, at the poles and over the meridian as well.

import { WIDEST, angle, graticule, project, unproject } from "./projection.js";
import { colour, count, short } from "./words.js";

const SETTLED_MS = 140;
const CLOSEST = 2e-4; // degrees from the middle to the side
const EMPTY = { x: [], y: [], colour: [], shape: [], size: [], place: [] };

export class Sky {
  constructor(place, looks, band, { moved, picked }) {
    Object.assign(this, { place, looks, band, moved, picked });
    this.centre = { ra: 0, dec: 0 };
    this.half = 60;
    this.view = null;
    this.chosen = null;
    this.build();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    new ResizeObserver(() => this.frame()).observe(place);
    place.addEventListener("keydown", event => this.key(event));
  }

  build() {
    const B = window.Bokeh, source = data => new B.ColumnDataSource({ data });
    this.lines = source({ xs: [], ys: [] });
    this.words = source({ x: [], y: [], text: [], align: [] });
    this.cells = source({ xs: [], ys: [], alpha: [], place: [] });
    this.dots = source({ ...EMPTY });
    this.ring = source({ x: [], y: [] });
    const wheel = new B.WheelZoomTool({ maintain_focus: false });
    this.x = new B.Range1d({ start: -1, end: 1 });
    this.y = new B.Range1d({ start: -1, end: 1 });
    const plot = B.Plotting.figure({
      x_range: this.x, y_range: this.y, x_axis_type: null, y_axis_type: null, toolbar_location: null,
      sizing_mode: "stretch_both", min_border: 0, outline_line_color: null,
      tools: [new B.PanTool(), wheel], lod_threshold: null,
    });
    plot.toolbar.active_scroll = wheel;
    plot.outline_line_alpha = 0;
    this.plot = plot;
    this.grid = plot.multi_line({ field: "xs" }, { field: "ys" }, { source: this.lines, line_width: 1 });
    this.patches = plot.patches({ field: "xs" }, { field: "ys" }, {
      source: this.cells, fill_alpha: { field: "alpha" }, line_alpha: 0.25, line_width: 1,
      hover_fill_alpha: 0.9, nonselection_fill_alpha: { field: "alpha" },
    });
    this.points = plot.scatter({ field: "x" }, { field: "y" }, {
      source: this.dots, marker: { field: "shape" }, size: { field: "size" },
      fill_color: { field: "colour" }, line_color: { field: "colour" }, fill_alpha: 0.55,
      nonselection_fill_alpha: 0.55, nonselection_line_alpha: 1,
    });
    this.circle = plot.scatter({ field: "x" }, { field: "y" }, {
      source: this.ring, marker: "circle", size: 24, fill_alpha: 0, line_width: 2,
    });
    this.labels = plot.text({ field: "x" }, { field: "y" }, { field: "text" }, {
      source: this.words, text_font_size: "12px", text_align: { field: "align" }, x_offset: 0,
      text_font: "system-ui, sans-serif",
    });
    const touched = [this.patches, this.points];
    plot.add_tools(new B.TapTool({ renderers: touched }), new B.HoverTool({ renderers: touched, tooltips: null }));
    for (const range of [this.x, this.y]) range.change.connect(() => this.moving());
    for (const data of [this.cells, this.dots]) {
      data.selected.change.connect(() => this.tapped(data));
      data.inspect.connect(() => this.pointed());
    }
    this.recolour();
    this.ready = B.Plotting.show(plot, this.place);
  }

  // Look at a place, with so many degrees from the middle to the nearer side.
  look(ra, dec, half = this.half) {
    this.centre = { ra, dec };
    this.half = Math.min(Math.max(half, CLOSEST), WIDEST);
    this.frame();
    this.settle();
  }

  zoom(factor) { this.look(this.centre.ra, this.centre.dec, this.half * factor); }

  key(event) {
    const step = 0.5 * this.half, to = (x, y) => {
      const found = unproject(x, y, this.centre);
      this.look(found.ra, found.dec);
    };
    const known = {
      ArrowLeft: () => to(-step, 0), ArrowRight: () => to(step, 0),
      ArrowUp: () => to(0, step), ArrowDown: () => to(0, -step),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.all?.(),
    }[event.key];
    if (!known || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    known();
  }

  // Both sides of the frame in degrees of the plane.
  sides() {
    const { clientWidth: width, clientHeight: height } = this.place;
    const unit = this.half / Math.max(1, Math.min(width, height) / 2);
    return [unit * width / 2, unit * height / 2];
  }

  frame() {
    const [x, y] = this.sides();
    this.framing = true;
    this.x.setv({ start: -x, end: x });
    this.y.setv({ start: -y, end: y });
    this.framing = false;
    this.draw();
  }

  moving() {
    if (this.framing) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const middle = range => (range.start + range.end) / 2;
      const found = unproject(middle(this.x), middle(this.y), this.centre);
      const [x] = this.sides();
      this.look(found.ra, found.dec, this.half * (this.x.end - this.x.start) / 2 / x);
    }, SETTLED_MS);
  }

  settle() {
    clearTimeout(this.timer);
    const [x, y] = this.sides();
    this.moved({ ...this.centre, radius: Math.min(180, angle(Math.hypot(x, y))) });
  }

  show(view) {
    this.view = view;
    this.draw();
  }

  choose(source) {
    this.chosen = source;
    this.draw();
  }

  holds(source) {
    const [x, y] = project(source.ra, source.dec, this.centre), [w, h] = this.sides();
    return Math.abs(x) < 0.9 * w && Math.abs(y) < 0.9 * h;
  }

  draw() {
    this.drawLines();
    const view = this.view ?? {};
    this.cells.data = view.kind === "cells" ? this.laidCells(view) : { xs: [], ys: [], alpha: [], place: [] };
    this.dots.data = view.kind === "sources" ? this.laidDots(view.sources) : { ...EMPTY };
    const ring = this.chosen ? project(this.chosen.ra, this.chosen.dec, this.centre) : null;
    this.ring.data = { x: ring ? [ring[0]] : [], y: ring ? [ring[1]] : [] };
  }

  drawLines() {
    const [w, h] = this.sides(), lines = graticule(this.centre, Math.hypot(w, h));
    this.lines.data = { xs: lines.map(each => each.xs), ys: lines.map(each => each.ys) };
    const words = { x: [], y: [], text: [], align: [] };
    for (const { xs, ys, text, kind } of lines) {
      // Written where the line leaves the frame, below or at the left.
      const edge = kind === "ra" ? -0.97 * h : -0.985 * w, along = kind === "ra" ? ys : xs;
      const across = kind === "ra" ? xs : ys, limit = kind === "ra" ? 0.94 * w : 0.9 * h;
      const k = along.findIndex((v, i) => i > 0 && (along[i - 1] - edge) * (v - edge) <= 0);
      if (k < 1) continue;
      const part = (edge - along[k - 1]) / ((along[k] - along[k - 1]) || 1);
      const at = across[k - 1] + part * (across[k] - across[k - 1]);
      if (Math.abs(at) > limit) continue;
      words.x.push(kind === "ra" ? at : edge);
      words.y.push(kind === "ra" ? edge : at);
      words.text.push(kind === "ra" ? ` ${text}` : text);
      words.align.push("left");
    }
    this.words.data = words;
  }

  laidCells({ corners, counts }) {
    const totals = counts.map(each => each.reduce((a, b) => a + b, 0));
    const most = Math.max(1, ...totals), laid = { xs: [], ys: [], alpha: [], place: [] };
    corners.forEach((each, k) => {
      const points = [0, 1, 2, 3].map(i => project(each[i], each[i + 4], this.centre));
      // Cells round the opposite point are torn apart by the projection.
      if (points.some(([x, y]) => Math.hypot(x, y) > 0.97 * WIDEST)) return;
      laid.xs.push(points.map(p => p[0]));
      laid.ys.push(points.map(p => p[1]));
      laid.alpha.push(0.08 + 0.82 * totals[k] / most);
      laid.place.push(k);
    });
    return laid;
  }

  laidDots(sources) {
    const laid = { x: [], y: [], colour: [], shape: [], size: [], place: [] };
    const crowd = Math.min(1, Math.max(0.45, Math.sqrt(600 / sources.length)));
    sources.forEach((each, k) => {
      const [x, y] = project(each.ra, each.dec, this.centre), magnitude = each[this.band] ?? 23;
      laid.x.push(x);
      laid.y.push(y);
      laid.colour.push(this.looks.colour(each.class));
      laid.shape.push(this.looks.shape(each.class));
      laid.size.push(crowd * Math.min(14, Math.max(5, 5 + 1.3 * (23 - magnitude))));
      laid.place.push(k);
    });
    return laid;
  }

  // What the mouse points at; nothing while what it pointed at before has made way for a new view.
  pointed() {
    const words = document.getElementById("pointed");
    const [cell] = this.cells.inspected.indices, [dot] = this.dots.inspected.indices;
    const source = this.view?.sources?.[this.dots.data.place[dot]];
    const counts = this.view?.counts?.[this.cells.data.place[cell]];
    if (source) {
      words.textContent = `${source.name}: ${this.looks.of(source.class).label}, `
        + `${this.band} ${short(source[this.band], 2)}, p max ${short(source.p_max)}`;
    } else if (counts) {
      words.textContent = this.view.classes.map((name, k) => [name, counts[k]])
        .filter(([, n]) => n).map(([name, n]) => `${this.looks.of(name).label} ${count(n)}`).join(", ");
    } else words.textContent = "";
  }

  tapped(data) {
    const [first] = data.selected.indices;
    if (first === undefined) return;
    const place = data.data.place[first];
    data.selected.indices = [];
    if (data === this.dots) {
      const source = this.view?.sources?.[place];
      if (source) this.picked(source);
    } else {
      const xs = data.data.xs[first], ys = data.data.ys[first];
      const mean = values => values.reduce((a, b) => a + b, 0) / values.length;
      const { ra, dec } = unproject(mean(xs), mean(ys), this.centre);
      this.look(ra, dec, Math.min(this.half / 3, 2 * (Math.max(...xs) - Math.min(...xs))));
    }
  }

  recolour(className = this.className) {
    this.className = className;
    const fill = className ? this.looks.colour(className) : colour("accent");
    this.plot.setv({ background_fill_color: colour("soft"), border_fill_color: colour("soft") });
    this.grid.glyph.setv({ line_color: colour("grid") });
    for (const glyph of [this.patches.glyph, this.patches.nonselection_glyph, this.patches.hover_glyph]) {
      glyph?.setv?.({ fill_color: fill, line_color: fill });
    }
    this.circle.glyph.setv({ line_color: colour("ink") });
    this.labels.glyph.setv({ text_color: colour("muted") });
    this.draw();
  }
}
