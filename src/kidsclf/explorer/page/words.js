// Elements and numbers in words. Texts of data become text nodes, never markup.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "tone") made.style.setProperty("--tone", value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter(each => each !== null));
  return made;
}

export const count = value => value.toLocaleString("en-US");

export function short(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value) || "–";
  return Number.isInteger(value) ? String(value) : value.toFixed(digits);
}

export const readable = name => name.toLowerCase().replaceAll("_", " ");

const SHAPES = { o: "circle", s: "square", "^": "triangle", D: "diamond", v: "inverted_triangle", P: "plus" };
const NONE = { name: "", label: "no class", variable: "muted", marker: "D" };

// How classes look: their colours are variables of the page, which follow light and dark.
export class Looks {
  constructor(classes) { this.known = new Map(classes.map(each => [each.name, each])); }
  of(name) { return this.known.get(name) ?? { ...NONE, label: name || NONE.label }; }
  shape(name) { return SHAPES[this.of(name).marker] ?? "circle"; }
  tone(name) { return `var(--${this.of(name).variable})`; }
  colour(name) { return colour(this.of(name).variable); }
  dot(name) {
    return element("span", { class: `dot ${this.shape(name)}`, tone: this.tone(name), "aria-hidden": "true" });
  }
}

export const colour = variable =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${variable}`).trim();
