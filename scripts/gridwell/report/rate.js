// Blind rating of two segmentations: shows, takes scores, saves a table, tells the result at the end.
(() => {
  "use strict";
  const { cards, page, names } = JSON.parse(document.getElementById("embedded").textContent);
  const at = (id) => document.getElementById(id);
  const open = (text) => {
    const bytes = Uint8Array.from(atob([...text].reverse().join("")), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  };
  const sides = ["left", "right"];
  const scores = cards.map(() => [null, null]);
  const key = (rater) => `gridwell-rating-${page}-${rater}`;
  let rater = "";
  let index = 0;
  let active = 0;

  // A page opened from a file may have no storage; then scores live as long as the page.
  const keep = () => {
    try { localStorage.setItem(key(rater), JSON.stringify(scores)); } catch { /* not kept */ }
  };
  const recall = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(key(rater)) || "[]");
      kept.forEach((pair, i) => { if (scores[i]) scores[i] = pair; });
    } catch { /* nothing kept */ }
  };

  const rated = (pair) => pair[0] !== null && pair[1] !== null;
  const missing = () => scores.filter((pair) => !rated(pair)).length;
  const show = (id) => ["start", "rating", "end"].forEach((name) => { at(name).hidden = name !== id; });

  const draw = () => {
    const card = cards[index];
    sides.forEach((name, side) => {
      const box = at(name);
      box.classList.toggle("active", side === active);
      const [picture, lines] = box.querySelectorAll("img");
      if (picture.src !== card.picture) picture.src = card.picture;
      if (lines.src !== card.outlines[side]) lines.src = card.outlines[side];
      for (const image of [picture, lines]) { image.width = card.width; image.height = card.height; }
      box.querySelectorAll("[data-score]").forEach((button) => {
        const on = Number(button.dataset.score) === scores[index][side];
        button.setAttribute("aria-checked", String(on));
      });
    });
    at("back").disabled = index === 0;
    at("next").disabled = !rated(scores[index]);
    at("next").textContent = index === cards.length - 1 ? "Finish" : "Next";
    const left = missing();
    at("place").textContent = `Image ${index + 1} of ${cards.length}` + (left ? `, ${left} to rate` : "");
  };

  const enlarge = (x, y, on) => {
    document.querySelectorAll(".frame").forEach((frame) => {
      frame.classList.toggle("close", on);
      frame.querySelectorAll("img").forEach((image) => { image.style.transformOrigin = `${x}% ${y}%`; });
    });
  };
  const isClose = () => document.querySelector(".frame.close") !== null;

  const go = (to) => {
    enlarge(50, 50, false);
    if (to >= cards.length) { finish(); return; }
    index = Math.max(0, to);
    active = 0;
    draw();
  };

  const score = (side, value) => {
    scores[index][side] = value;
    keep();
    active = scores[index][1 - side] === null ? 1 - side : side;
    draw();
  };

  const table = () => {
    const cell = (text) => {
      let safe = String(text);
      if (/^[=+\-@\t\r]/.test(safe)) safe = `'${safe}`;
      return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const rows = [["rater", "image", "method", "score", "side", "order"]];
    cards.forEach((card, i) => {
      const [image, ...methods] = open(card.secret);
      sides.forEach((name, side) => {
        if (scores[i][side] !== null) rows.push([rater, image, methods[side], scores[i][side], name, i + 1]);
      });
    });
    return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };

  const byMethod = () => {
    const found = new Map(open(names).map((name) => [name, []]));
    cards.forEach((card, i) => {
      const [, ...methods] = open(card.secret);
      methods.forEach((name, side) => { if (scores[i][side] !== null) found.get(name).push(scores[i][side]); });
    });
    return found;
  };

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };

  // Two samples of equal size n: the distance of their distributions, and the exact chance of one as
  // large. All orders of the two are paths of n steps each way; counted are those that leave the band
  // in which the distance is smaller. Shares are added up, never subtracted: tiny ones stay exact.
  const smirnov = (one, other) => {
    const n = one.length;
    const below = (values, limit) => values.filter((value) => value <= limit).length;
    const gap = Math.max(...[...one, ...other].map((v) => Math.abs(below(one, v) - below(other, v))));
    let before = [];
    for (let i = 0; i <= n; i += 1) {
      const row = [];
      for (let j = 0; j <= n; j += 1) {
        if (Math.abs(i - j) >= gap) row.push(1);
        else if (i + j === 0) row.push(0);
        else row.push(((i ? before[j] * i : 0) + (j ? row[j - 1] * j : 0)) / (i + j));
      }
      before = row;
    }
    return { distance: gap / n, p: before[n] };
  };

  const finish = () => {
    const left = missing();
    at("done").textContent = left
      ? `${left} images are not rated yet; the result is shown when all are.`
      : `All ${cards.length} images are rated. Save the scores before you close the page.`;
    at("result").replaceChildren();
    if (!left) at("result").append(...told());
    show("end");
    at("save").focus();
  };

  const told = () => {
    const found = [...byMethod()];
    const element = (name, text) => { const made = document.createElement(name); made.textContent = text; return made; };
    const rows = [["", "mean", "median", "better on"]];
    const [[, one], [, other]] = found;
    const wins = [0, 0];
    cards.forEach((card, i) => {
      const [, left] = open(card.secret);
      const gap = scores[i][0] - scores[i][1];
      if (gap) wins[(gap > 0) === (left === found[0][0]) ? 0 : 1] += 1;
    });
    found.forEach(([name, values], i) => rows.push([name, mean(values).toFixed(1), String(median(values)), `${wins[i]} images`]));
    const grid = document.createElement("table");
    rows.forEach((row, i) => {
      const line = document.createElement("tr");
      line.append(...row.map((text) => element(i ? "td" : "th", text)));
      grid.append(line);
    });
    const { distance, p } = smirnov(one, other);
    const test = `Kolmogorov-Smirnov test of the two sets of scores: distance ${distance.toFixed(2)}, p = ${p.toExponential(2)}.`;
    return [grid, element("p", test)];
  };

  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
    link.download = `ratings-${rater.replace(/[^\w.-]+/g, "_")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  at("start").addEventListener("submit", (event) => {
    event.preventDefault();
    rater = at("rater").value.trim();
    if (!rater) return;
    recall();
    document.activeElement.blur();
    show("rating");
    const first = scores.findIndex((pair) => !rated(pair));
    go(first < 0 ? cards.length : first);
  });
  sides.forEach((name, side) => {
    at(name).addEventListener("click", (event) => {
      const value = event.target.dataset.score;
      if (value) { score(side, Number(value)); return; }
      const frame = event.target.closest(".frame");
      if (!frame) return;
      const box = frame.getBoundingClientRect();
      enlarge(100 * (event.clientX - box.left) / box.width, 100 * (event.clientY - box.top) / box.height, !isClose());
    });
  });
  const toggleOutlines = () => {
    const bare = document.body.classList.toggle("bare");
    at("outlines").setAttribute("aria-pressed", String(!bare));
  };
  at("outlines").addEventListener("click", toggleOutlines);
  at("back").addEventListener("click", () => go(index - 1));
  at("next").addEventListener("click", () => go(index + 1));
  at("save").addEventListener("click", save);
  at("again").addEventListener("click", () => { show("rating"); go(0); });

  const keys = {
    ArrowLeft: () => { active = 0; draw(); },
    ArrowRight: () => { active = 1; draw(); },
    Backspace: () => go(index - 1),
    o: toggleOutlines,
    z: () => enlarge(50, 50, !isClose()),
  };
  document.addEventListener("keydown", (event) => {
    if (at("rating").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[0-9]$/.test(name)) score(active, Number(name) || 10);
    else if (name === "Enter") {
      if (event.target.closest("button:not([data-score])")) return; // it is the button's own key
      if (rated(scores[index])) go(index + 1);
    }
    else if (keys[name]) keys[name]();
    else return;
    event.preventDefault();
  });
  document.documentElement.dataset.ready = "yes";
})();
