"use strict";
(() => {
  const embedded = JSON.parse(document.getElementById("embedded").textContent);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Tooltip: own element and text nodes only, so that nothing of a table is read as HTML.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);
  const showTip = (handler, event, item, value) => {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    const list = document.createElement("dl");
    for (const [key, shown] of Object.entries(value)) {
      if (shown === null || shown === "" || shown === "null") continue;
      const name = document.createElement("dt");
      const what = document.createElement("dd");
      name.textContent = key;
      what.textContent = shown;
      list.append(name, what);
    }
    tip.replaceChildren(list);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const x = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 16;
    const y = below + box.height > window.innerHeight ? event.clientY - box.height - 12 : below;
    tip.style.left = `${Math.max(8, x)}px`;
    tip.style.top = `${Math.max(8, y)}px`;
  };
  document.addEventListener("scroll", () => { tip.hidden = true; }, true);

  const dataOf = (spec, found = {}) => {
    if (Array.isArray(spec)) spec.forEach((part) => dataOf(part, found));
    else if (spec && typeof spec === "object") {
      if (spec.data && spec.data.name) found[spec.data.name] = embedded.datasets[spec.data.name];
      Object.values(spec).forEach((part) => dataOf(part, found));
    }
    return found;
  };

  const toSpot = (name) => {
    const row = document.getElementById(`spot-${name}`);
    if (!row) return;
    row.closest("details")?.setAttribute("open", "");
    row.hidden = false;
    all("tr.here").forEach((other) => other.classList.remove("here"));
    row.classList.add("here");
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  };

  // Each still picture gives way to its living chart; printing and readers have the still one.
  const enliven = async (figure) => {
    const spec = embedded.charts[figure.dataset.chart];
    const still = figure.querySelector("img");
    const stage = document.createElement("div");
    stage.className = "live";
    try {
      const result = await window.vegaEmbed(stage, { ...spec, datasets: dataOf(spec) }, {
        ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: showTip,
        config: { aria: false },
      });
      const svg = stage.querySelector("svg");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", still.alt);
      stage.className = still.className;
      still.replaceWith(stage);
      result.view.addEventListener("click", (event, item) => {
        if (item && item.datum && item.datum.spot && !item.datum.slide) toSpot(item.datum.spot);
      });
    } catch (error) {
      console.error(`chart ${figure.dataset.chart}: ${error.message}`);
    }
  };
  const soon = window.requestIdleCallback || ((task) => setTimeout(task, 1));
  const waiting = all("figure[data-chart]");
  const next = () => {
    const figure = waiting.shift();
    if (figure) enliven(figure).then(() => soon(next));
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

  // Gallery: outlines on and off, a larger look with the arrow keys.
  const gallery = document.getElementById("gallery");
  const outlines = document.getElementById("outlines");
  if (gallery && outlines) {
    outlines.closest("label").hidden = false;
    outlines.addEventListener("change", () => {
      gallery.classList.toggle("bare", !outlines.checked);
    });
  }
  const large = document.getElementById("large");
  const cards = all("#gallery .look");
  if (large) {
    let at = 0;
    const show = (index) => {
      at = (index + cards.length) % cards.length;
      const figure = cards[at].closest("figure").cloneNode(true);
      all("[id]", figure).forEach((part) => part.removeAttribute("id"));
      all("button", figure).forEach((button) => button.replaceWith(...button.childNodes));
      large.querySelector("div").replaceChildren(figure);
      large.classList.toggle("bare", gallery.classList.contains("bare"));
      if (!large.open) large.showModal();
    };
    cards.forEach((card, index) => card.addEventListener("click", () => show(index)));
    large.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight") show(at + 1);
      if (event.key === "ArrowLeft") show(at - 1);
      if (event.key.toLowerCase() === "o" && outlines) outlines.click();
      large.classList.toggle("bare", gallery.classList.contains("bare"));
    });
    large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
    large.querySelector("[data-close]").addEventListener("click", () => large.close());
    large.querySelector("[data-next]").addEventListener("click", () => show(at + 1));
    large.querySelector("[data-back]").addEventListener("click", () => show(at - 1));
  }
})();
