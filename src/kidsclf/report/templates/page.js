"use strict";
// The page is whole without this: it only sorts tables, filters the gallery and hands out SVG.

const SECONDS = { h: 3600, min: 60, s: 1 };

function numberIn(text) {
  const parts = [...text.matchAll(/([\d.]+) (h|min|s)(?=$| )/g)];
  if (parts.length) return parts.reduce((sum, [, n, unit]) => sum + n * SECONDS[unit], 0);
  return parseFloat(text.replaceAll(",", ""));
}

function sortRows(table, column, heading, down) {
  const numeric = heading.classList.contains("n");
  const rows = [...table.tBodies[0].rows].map((row) => {
    const text = row.cells[column].textContent.trim();
    return { row, text, value: numberIn(text) };
  });
  const missing = ({ text, value }) => text === "–" || (numeric && Number.isNaN(value));
  rows.sort((a, b) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = numeric ? a.value - b.value : a.text.localeCompare(b.text, "en");
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows.map(({ row }) => row));
}

for (const table of document.querySelectorAll("table")) {
  if (table.tBodies[0].rows.length < 2) continue;
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortRows(table, column, heading, down);
    });
  });
}

const form = document.querySelector("form.filter");
if (form) {
  const groups = [...document.querySelectorAll("[data-class]")];
  const filter = () => {
    let shown = 0;
    for (const group of groups) {
      const fits = ["class", "kind"].every(
        (name) => !form.elements[name].value || form.elements[name].value === group.dataset[name],
      );
      group.hidden = !fits;
      shown += fits ? group.querySelectorAll("li").length : 0;
    }
    form.querySelector("output").textContent = `${shown} sources shown`;
  };
  form.hidden = false;
  form.addEventListener("change", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  filter();
}

// A drawing follows the colours of the page; its file has those of the light theme, for paper.
for (const button of document.querySelectorAll("button[data-svg]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const drawing = document.querySelector(`#${button.dataset.svg} .wide svg`).cloneNode(true);
    const [, , width, height] = drawing.getAttribute("viewBox").split(" ");
    drawing.setAttribute("width", `${width}pt`);
    drawing.setAttribute("height", `${height}pt`);
    const colours = JSON.parse(document.body.dataset.colours);
    const text = new XMLSerializer()
      .serializeToString(drawing)
      .replace(/var\(--(\w+)\)/g, (_, name) => colours[name]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = `${button.dataset.svg}.svg`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}
