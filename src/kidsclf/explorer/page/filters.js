// Which sources are shown: read from the form, and told when it changes.

const SETTLED_MS = 300;

export class Filters {
  constructor(form, run, changed) {
    this.form = form;
    const option = (value, text) => new Option(text, value);
    form.class.append(...run.classes.map(each => option(each.name, each.label)), option("none", "no class"));
    for (const select of [form.flags, form.without_flags]) {
      select.append(...run.flags.map(each => option(each, each.toLowerCase().replaceAll("_", " "))));
    }
    document.getElementById("magnitude-legend").textContent = `${run.band} magnitude`;
    let timer;
    const later = () => {
      clearTimeout(timer);
      timer = setTimeout(changed, SETTLED_MS);
    };
    form.addEventListener("input", later);
    form.addEventListener("reset", later);
    form.addEventListener("submit", event => event.preventDefault());
  }

  // Parameters of a question; what is empty asks for nothing.
  get asked() {
    return Object.fromEntries([...new FormData(this.form)].map(([name, text]) => [name, text.trim()]));
  }
}
