"use strict";
// Spots: plate maps of any column by mouse and keyboard, and a spot's cells in every channel.
(() => {
  const { all, draw, embedded, hideTip, listeners, showTip } = report;
  const dialog = document.getElementById("spot");
  const rowOf = (name) => document.getElementById(`spot-${name}`);

  const toRow = (name) => {
    const row = rowOf(name);
    if (!row) return;
    row.closest("details")?.setAttribute("open", "");
    row.hidden = false;
    all("tr.here").forEach((other) => other.classList.remove("here"));
    row.classList.add("here");
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  };

  // The pictures are read when the first spot is opened: they are most of the page.
  let crops;
  const pictures = () => {
    crops ??= JSON.parse(document.getElementById("crops")?.textContent ?? "null");
    return crops;
  };
  const loaded = (code) => new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => resolve(null);
    image.src = `data:image/webp;base64,${code}`;
  });
  const canvas = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

  const panelOf = (name, said) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const { width, height, bar } = pictures();
    const times = Math.max(1, Math.ceil(360 / Math.max(width, height)));
    const drawn = canvas(width * times, height * times);
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", `${said}: ${name}`);
    caption.textContent = name;
    figure.append(drawn, caption);
    const context = drawn.getContext("2d");
    context.scale(times, times);
    return { figure, drawn, context, bar };
  };
  const scaleBar = ({ drawn, context, bar }) => {
    if (!bar[0]) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    const { width, height } = drawn;
    const text = `${bar[1]} µm`;
    context.font = `${Math.round(height / 20)}px Arial, sans-serif`;
    context.lineWidth = height / 120;
    for (const [ink, halo] of [["#000", true], ["#fff", false]]) {
      context.strokeStyle = ink;
      context.fillStyle = ink;
      if (halo) context.strokeText(text, width * 0.06 + width * bar[0], height * 0.965);
      else context.fillText(text, width * 0.06 + width * bar[0], height * 0.965);
      const edge = halo ? height / 200 : 0;
      context.fillRect(width * 0.04 - edge, height * 0.945 - edge, width * bar[0] + 2 * edge,
        height / 75 + 2 * edge);
    }
  };

  const drawPanels = async (name, said, outlined) => {
    const known = pictures();
    const codes = known?.spots[name];
    if (!codes) return [];
    const { width, height, panels } = known;
    const [strip, over] = await Promise.all(codes.map((code) => (code ? loaded(code) : null)));
    if (!strip) return [];
    const part = (index) => [index * width, 0, width, height, 0, 0, width, height];
    const made = [];
    const mixed = panels.map((panel, index) => [panel, index]).filter(([panel]) => panel.colour);
    if (mixed.length) {
      const panel = panelOf("all stains", said);
      panel.context.globalCompositeOperation = "source-over";
      panel.context.fillRect(0, 0, width, height);
      for (const [{ colour }, index] of mixed) {
        const layer = canvas(width, height);
        const tint = layer.getContext("2d");
        tint.drawImage(strip, ...part(index));
        tint.globalCompositeOperation = "multiply";
        tint.fillStyle = colour;
        tint.fillRect(0, 0, width, height);
        panel.context.globalCompositeOperation = "screen";
        panel.context.drawImage(layer, 0, 0);
      }
      panel.context.globalCompositeOperation = "source-over";
      if (over && outlined) {
        mixed.forEach(([, index]) => panel.context.drawImage(over, ...part(index)));
      }
      made.push(panel);
    }
    panels.forEach(({ name: channel }, index) => {
      const panel = panelOf(channel, said);
      panel.context.drawImage(strip, ...part(index));
      if (over && outlined) {
        // On gray cells the light outlines of the mixed picture would not show.
        const lines = canvas(width, height);
        const ink = lines.getContext("2d");
        ink.drawImage(over, ...part(index));
        ink.globalCompositeOperation = "source-in";
        ink.fillStyle = "#ff9a1f";
        ink.fillRect(0, 0, width, height);
        panel.context.drawImage(lines, 0, 0);
      }
      made.push(panel);
    });
    made.forEach(scaleBar);
    return made.map(({ figure }) => figure);
  };

  // What the table of all spots says of one.
  const heads = all("#spots thead th").map((head) => head.textContent.trim());
  const names = all("#spots tbody tr").map((row) => row.id.replace("spot-", ""));
  const factsOf = (name) => {
    const cells = [...(rowOf(name)?.cells ?? [])].map((cell) => cell.textContent.trim());
    return heads.map((head, index) => [head, cells[index]]);
  };
  const put = (list, pairs) => {
    list.replaceChildren(...pairs.map(([key, value]) => {
      const both = document.createElement("div");
      const name = document.createElement("dt");
      const what = document.createElement("dd");
      name.textContent = key;
      what.textContent = value;
      both.append(name, what);
      return both;
    }));
  };

  let shown = "";
  const open = async (name) => {
    if (!dialog || !names.includes(name)) return;
    shown = name;
    const facts = factsOf(name);
    const fact = (key) => facts.find(([head]) => head === key)?.[1] ?? "";
    const what = ["Agent", "Dose", "Role"].map(fact).filter(Boolean).join(" · ");
    document.getElementById("spot-name").textContent = name;
    document.getElementById("spot-what").textContent = what;
    const numbers = facts.filter(([key, value]) => value
      && !["Spot", "Agent", "Dose", "Role", "Flags"].includes(key));
    put(document.getElementById("spot-numbers"), numbers);
    const flags = fact("Flags").split(" ").filter(Boolean);
    document.getElementById("spot-flags").replaceChildren(...flags.map((flag) => {
      const item = document.createElement("li");
      item.textContent = embedded.flags?.[flag] ?? flag;
      return item;
    }));
    hideTip();
    if (!dialog.open) dialog.showModal();
    const outlined = document.getElementById("spot-outlines").checked;
    const panels = await drawPanels(name, `Spot ${name}${what ? `, ${what}` : ""}`, outlined);
    if (shown !== name) return;
    const room = document.getElementById("spot-panels");
    room.replaceChildren(...panels);
    if (!panels.length) room.textContent = "There is no picture of this spot in this file.";
  };
  const step = (by) => open(names[(names.indexOf(shown) + by + names.length) % names.length]);
  const fromHash = () => {
    const name = decodeURIComponent(window.location.hash).replace("#spot-", "");
    if (name !== window.location.hash) open(name);
  };
  if (dialog) {
    const outlines = document.getElementById("spot-outlines");
    outlines.addEventListener("change", () => open(shown));
    dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "ArrowRight") step(1);
      if (event.key === "ArrowLeft") step(-1);
      if (event.key.toLowerCase() === "o") outlines.click();
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    all("[data-step]", dialog).forEach((button) => {
      button.addEventListener("click", () => step(Number(button.dataset.step)));
    });
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.querySelector("[data-row]").addEventListener("click", () => {
      dialog.close();
      toRow(shown);
    });
    all("a[href^='#spot-']").forEach((link) => {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        open(link.getAttribute("href").replace("#spot-", ""));
      });
    });
    fromHash();
    window.addEventListener("hashchange", fromHash);
  }

  const choose = (datum) => {
    if (!datum?.spot) return;
    const link = embedded.links?.[datum.slide];
    if (link) window.location.assign(`${link}#spot-${encodeURIComponent(datum.spot)}`);
    else open(datum.spot);
  };
  listeners.push((figure, stage, view) => {
    view.addEventListener("click", (event, item) => choose(item?.datum));
  });

  // A map is walked with the arrow keys: one stop of the tabulator, then a frame moves.
  listeners.push((figure, stage) => {
    if (!figure.classList.contains("plate")) return;
    const cells = new Map();
    all("g.mark-rect.role-mark path", stage).forEach((path) => {
      // The renderer ties each element to what it draws; the last one lies on top.
      const item = path.__data__;
      if (item?.datum?.spot) cells.set(item.datum.spot, { path, item, datum: item.datum });
    });
    if (!cells.size) return;
    const list = [...cells.values()];
    const rows = [...new Set(list.map(({ datum }) => datum.row))];
    const at = new Map(list.map((cell) => [`${cell.datum.row} ${cell.datum.col}`, cell]));
    const frame = document.createElement("div");
    frame.className = "frame";
    frame.hidden = true;
    stage.append(frame);
    stage.tabIndex = 0;
    stage.setAttribute("role", "application");
    stage.setAttribute("aria-label",
      `${figure.dataset.alt} Arrow keys move from spot to spot, Enter opens one.`);
    const first = [...cells.values()].find(({ datum }) => datum.row === rows[0]);
    let here = first;
    const mark = () => {
      const [cell, room] = [here.path, stage].map((one) => one.getBoundingClientRect());
      frame.hidden = false;
      Object.assign(frame.style, {
        left: `${cell.left - room.left}px`, top: `${cell.top - room.top}px`,
        width: `${cell.width}px`, height: `${cell.height}px`,
      });
      if (here.item.tooltip) showTip(here.item.tooltip, cell.right - 8, cell.bottom - 8);
    };
    const moves = {
      ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0],
    };
    stage.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        choose(here.datum);
      }
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      const row = rows[rows.indexOf(here.datum.row) + move[0]];
      here = at.get(`${row} ${here.datum.col + move[1]}`) ?? here;
      mark();
    });
    stage.addEventListener("focus", () => { if (stage.matches(":focus-visible")) mark(); });
    stage.addEventListener("blur", () => {
      frame.hidden = true;
      hideTip();
    });
  });

  // Maps of any column: two layers and the title change.
  all("select[data-maps]").forEach((select) => {
    const { charts, columns, titled } = embedded.maps[Number(select.dataset.maps)];
    const note = document.querySelector(`[data-note="${select.dataset.maps}"]`);
    select.closest("label").hidden = false;
    select.addEventListener("change", async () => {
      const column = columns[Number(select.value)];
      for (const chart of charts) {
        const spec = embedded.charts[chart];
        const layer = spec.layer.map((one) => (
          column.layers[one.name] ? { ...one, ...column.layers[one.name] } : one));
        const title = titled ? spec.title : { ...spec.title, text: column.title };
        const figure = document.querySelector(`figure[data-chart="${chart}"]`);
        // The table behind the picture is that of the first column.
        const behind = figure.querySelector("details.behind");
        if (behind) behind.hidden = select.value !== "0";
        await draw(figure, { ...spec, layer, title });
      }
      note.textContent = column.note;
    });
  });

  // Gallery: outlines on and off, a click opens the spot.
  const gallery = document.getElementById("gallery");
  const outlines = document.getElementById("outlines");
  if (gallery && outlines) {
    outlines.closest("label").hidden = false;
    outlines.addEventListener("change", () => {
      gallery.classList.toggle("bare", !outlines.checked);
    });
  }
  all("#gallery .look").forEach((card) => {
    card.addEventListener("click", () => open(card.dataset.spot));
  });
})();
