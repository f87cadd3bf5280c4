"use strict";
// Charts, tooltips and tables. What other scripts of the page need of it stands in `report`.
const report = (() => {
  const embedded = JSON.parse(document.getElementById("embedded").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  document.documentElement.classList.add("live");

  // Tooltip: own element and text nodes only, so that nothing of a table is read as HTML.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  const hideTip = () => { tip.hidden = true; };
  const showTip = (value, x, y) => {
    const list = document.createElement("dl");
    for (const [key, said] of Object.entries(value)) {
      if (said === "") continue;
      const name = document.createElement("dt");
      const what = document.createElement("dd");
      name.textContent = key;
      // Words that are not there say nothing; a number that is not there was not measured.
      const nothing = said === null || said === "null" || said === "NaN";
      what.textContent = nothing ? "no value" : said;
      list.append(name, what);
    }
    tip.replaceChildren(list);
    tip.hidden = false;
    scrolled = window.scrollY;
    const box = tip.getBoundingClientRect();
    const left = Math.min(x + 14, window.innerWidth - box.width - 8);
    const top = y + 16 + box.height > window.innerHeight ? y - box.height - 12 : y + 16;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  };
  const tooltip = (handler, event, item, value) => {
    if (value && typeof value === "object") showTip(value, event.clientX, event.clientY);
    else hideTip();
  };
  // A scroll is told of late: one that came before the tip was shown must not hide it.
  let scrolled = 0;
  document.addEventListener("scroll", () => { if (window.scrollY !== scrolled) hideTip(); });
  ["wheel", "touchmove"].forEach((kind) => {
    document.addEventListener(kind, hideTip, { passive: true });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

  const dataOf = (spec, found = {}) => {
    if (Array.isArray(spec)) spec.forEach((part) => dataOf(part, found));
    else if (spec && typeof spec === "object") {
      if (spec.data && spec.data.name) found[spec.data.name] = embedded.datasets[spec.data.name];
      Object.values(spec).forEach((part) => dataOf(part, found));
    }
    return found;
  };

  // Each still picture gives way to its living chart, which listeners then make use of.
  const listeners = [];
  const draw = async (figure, spec) => {
    const still = figure.querySelector(".scroll > img, .scroll > .stage");
    const stage = document.createElement("div");
    stage.className = `stage ${still.classList.contains("wide") ? "wide" : "narrow"}`;
    try {
      const result = await window.vegaEmbed(stage, { ...spec, datasets: dataOf(spec) }, {
        ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip,
        config: { aria: false },
      });
      stage.classList.remove("vega-embed");
      const svg = stage.querySelector("svg");
      svg.setAttribute("role", "img");
      figure.dataset.alt ??= still.alt;
      svg.setAttribute("aria-label", figure.dataset.alt);
      still.replaceWith(stage);
      listeners.forEach((listener) => listener(figure, stage, result.view));
    } catch (error) {
      console.error(`chart ${figure.dataset.chart}: ${error.message}`);
    }
  };
  const soon = (task) => (window.requestIdleCallback
    ? window.requestIdleCallback(task, { timeout: 100 })
    : setTimeout(task, 1));
  const waiting = all("figure[data-chart]");
  const next = () => {
    const figure = waiting.shift();
    if (figure) draw(figure, embedded.charts[figure.dataset.chart]).then(() => soon(next));
    else document.documentElement.dataset.ready = "yes";
  };
  soon(next);

  // Tables: sort by a heading, filter by words.
  const number = new Intl.Collator("en", { numeric: true });
  const valueOf = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.v ?? cell.textContent.trim();
  };
  all("table[data-sortable]").forEach((table) => {
    const heads = all("thead th", table);
    heads.forEach((head, index) => {
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const numeric = head.classList.contains("n");
        const rows = all("tbody tr", table);
        rows.sort((a, b) => {
          const x = valueOf(a, index);
          const y = valueOf(b, index);
          if (x === "" || y === "") return (x === "") - (y === "");
          const order = numeric ? Number(x) - Number(y) : number.compare(x, y);
          return down ? -order : order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  });
  all("input[data-filter]").forEach((input) => {
    const target = document.getElementById(input.dataset.filter);
    const count = document.getElementById(`${input.dataset.filter}-count`);
    const items = all("[data-item]", target);
    const texts = items.map((item) => (item.dataset.item || item.textContent).toLowerCase());
    const run = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      items.forEach((item, index) => {
        item.hidden = !words.every((word) => texts[index].includes(word));
        if (!item.hidden) shown += 1;
      });
      if (count) count.textContent = `${shown} of ${items.length} shown`;
    };
    input.addEventListener("input", run);
    input.hidden = false;
    run();
  });

  // Copy a text; where the browser forbids it, select it.
  all("button[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const parts = button.dataset.copy.split(" ").map((id) => document.getElementById(id));
      const told = document.getElementById("copied");
      try {
        const text = parts.filter(Boolean).map((part) => part.innerText).join("\n\n");
        await navigator.clipboard.writeText(text);
        told.textContent = "Copied.";
      } catch {
        window.getSelection().selectAllChildren(parts[0]);
        told.textContent = "The text is selected: copy it with Ctrl+C.";
      }
    });
  });

  return { all, draw, embedded, hideTip, listeners, showTip };
})();
