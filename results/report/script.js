"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const body = document.getElementById("panel-body");
  const make = (tag, text, name) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text; // never markup: labels come from people
    if (name) node.className = name;
    return node;
  };

  // --- sorting: numbers by data-value, words in their natural order; a third click restores the order of the table
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim();
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1; // figures before words such as "missing"
    if (typeof b === "number") return 1;
    return words.compare(a, b);
  };
  const blocks = (table) => {
    let last = null;
    for (const row of table.tBodies[0].rows) {
      const plain = row.className === "" || row.classList.contains("block-start");
      const starts = table.dataset.sorted === undefined && plain && last !== null && row.dataset.block !== last;
      row.classList.toggle("block-start", starts);
      if (row.classList.length === 0) row.removeAttribute("class");
      if (plain) last = row.dataset.block;
    }
  };
  for (const table of document.querySelectorAll("main table")) {
    const original = [...table.tBodies[0].rows];
    blocks(table);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      head.firstElementChild.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        const next = now === null ? "ascending" : now === "ascending" ? "descending" : null;
        let rows = original;
        if (next === null) {
          delete table.dataset.sorted;
        } else {
          head.setAttribute("aria-sort", next);
          table.dataset.sorted = next;
          const sign = next === "ascending" ? 1 : -1;
          rows = original.map((row) => [key(row, column), row]).sort((a, b) => sign * compare(a[0], b[0])).map((pair) => pair[1]);
        }
        table.tBodies[0].append(...rows);
        blocks(table);
      });
    });
  }

  // --- filtering: rows that hold all words
  for (const input of document.querySelectorAll("input[data-filter]")) {
    const rows = [...document.getElementById(`grid-${input.dataset.filter}`).tBodies[0].rows];
    const count = document.querySelector(`[data-count="${input.dataset.filter}"]`);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const show = () => {
      const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        row.hidden = !wanted.every((word) => texts[place].includes(word));
        shown += !row.hidden;
      });
      count.textContent = wanted.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    };
    input.addEventListener("input", show);
    show();
  }

  // --- columns in which all rows say the same
  for (const button of document.querySelectorAll("button[data-columns]")) {
    button.addEventListener("click", () => {
      const brief = document.getElementById(`grid-${button.dataset.columns}`).classList.toggle("brief");
      button.setAttribute("aria-pressed", String(!brief));
    });
  }

  // --- the lines of one kind of run alone
  for (const button of document.querySelectorAll("button[data-kind]")) {
    const figure = button.closest("figure");
    button.addEventListener("click", () => {
      const alone = button.getAttribute("aria-pressed") !== "true";
      for (const other of figure.querySelectorAll("button[data-kind]")) other.setAttribute("aria-pressed", String(alone && other === button));
      for (const lines of figure.querySelectorAll("g.kind")) lines.classList.toggle("chosen", lines.dataset.kind === button.dataset.kind);
      figure.classList.toggle("alone", alone);
    });
  }

  // --- what stands behind a cell
  const shown = (value) => (value === null ? "not measured" : value === "" ? "(empty)" : String(value));
  const list = (pairs, marked = new Set()) => {
    const table = make("table");
    for (const [name, value] of pairs) {
      const row = table.insertRow();
      row.append(make("th", name), make("td", shown(value)));
      row.cells[0].scope = "row";
      if (marked.has(name)) row.className = "differs";
    }
    return table;
  };
  const fold = (title, node, open = false) => {
    const box = make("details");
    box.open = open;
    box.append(make("summary", title), node);
    return box;
  };
  const entries = (object) => Object.entries(object).sort((a, b) => (a[0] < b[0] ? -1 : 1));
  // settings of a run and of what it was made from, by phase, but for the seeds
  const chain = (run) => {
    const found = new Map();
    for (const one of [run, ...run.lineage.map((id) => data.runs[id]).filter(Boolean)])
      for (const [name, value] of Object.entries(one.config))
        if (name !== "seed" && !found.has(`${one.phase}.${name}`)) found.set(`${one.phase}.${name}`, shown(value));
    return found;
  };
  const differences = (runs) => {
    const chains = runs.map(chain);
    const phases = [...new Set(chains.flatMap((one) => [...one.keys()].map((name) => name.split(".")[0])))].sort();
    const found = [];
    const compare = (name, value) => {
      const values = new Map();
      chains.forEach((one, place) => {
        const text = value(one);
        if (text !== undefined) values.set(text, [...(values.get(text) || []), runs[place].name]);
      });
      if (values.size > 1) found.push([name, values]);
    };
    for (const phase of phases) { // a phase that some have not got is one difference, not one for each of its settings
      const has = (one) => [...one.keys()].some((name) => name.startsWith(`${phase}.`));
      compare(phase, (one) => (has(one) ? "there is one" : "none"));
      const names = [...new Set(chains.flatMap((one) => [...one.keys()]))].filter((name) => name.startsWith(`${phase}.`)).sort();
      for (const name of names) compare(name, (one) => (one.has(name) ? one.get(name) : has(one) ? "not there" : undefined));
    }
    return found;
  };
  const short = (names) => { // without the id, where that leaves them different
    const cut = names.map((name) => name.replace(/-[0-9a-f]{12}$/, ""));
    return new Map(names.map((name, place) => [name, new Set(cut).size === names.length ? cut[place] : name]));
  };
  const compared = (runs, found) => {
    const names = short(runs.map((run) => run.name));
    const table = make("table", undefined, "differences");
    for (const [name, values] of found) {
      const row = table.insertRow();
      row.append(make("th", name));
      row.cells[0].scope = "row";
      const cell = row.insertCell();
      for (const [value, who] of values) {
        const line = make("div");
        line.append(make("strong", value), make("small", ` ${who.length} of ${runs.length}: ${who.map((name) => names.get(name)).join(", ")}`));
        cell.append(line);
      }
    }
    return table;
  };
  const SVG = "http://www.w3.org/2000/svg";
  const curve = (name, points) => {
    const figure = make("figure");
    const svg = document.createElementNS(SVG, "svg");
    const values = points.map((point) => point[1]);
    const low = Math.min(0, ...values), high = Math.max(...values, low + 1e-9), last = points[points.length - 1][0] || 1;
    svg.setAttribute("viewBox", "0 0 300 90");
    svg.setAttribute("class", "plot");
    svg.setAttribute("width", "300");
    svg.setAttribute("height", "90");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${name}: from ${values[0].toPrecision(3)} to ${values[values.length - 1].toPrecision(3)}`);
    const line = document.createElementNS(SVG, "polyline");
    line.setAttribute("class", "curve series-0");
    line.setAttribute("points", points.map(([x, y]) => `${(296 * x) / last + 2},${86 - (82 * (y - low)) / (high - low)}`).join(" "));
    svg.append(line);
    figure.append(make("figcaption", `${name}: ${values[values.length - 1].toPrecision(4)} at step ${last}`), svg);
    return figure;
  };
  const describe = (run, marked) => {
    const box = make("div", undefined, "run");
    box.append(make("h3", `${run.phase}: ${run.name}`));
    const code = `${run.code.fingerprint.slice(0, 12)}, commit ${(run.code.commit || "unknown").slice(0, 12)}${run.code.dirty ? ", with uncommitted changes" : ""}`;
    box.append(list([
      ["seed", run.seed], ["code", code], ["started", run.started], ["finished", run.finished],
      ["unreadable videos", `${run.unreadable.train} of training, ${run.unreadable.test} of test${run.unreadable.ids.length ? `: ${run.unreadable.ids.join(", ")}` : ""}`],
      ["alarms", run.alarms.length ? run.alarms.join("; ") : "none"],
    ]));
    const checkout = run.code.commit ? `git checkout ${run.code.commit}\n` : "";
    if (run.narrowed) box.append(make("p", "To make it again: its sweep, narrowed to its seed, levels and start", "note"), make("pre", checkout + run.narrowed));
    box.append(make("p", "Made by", "note"), make("pre", run.command));
    box.append(fold("Figures", list([...entries(run.metrics), ...entries(run.groups)])));
    const names = Object.keys(run.curves);
    const charts = make("div", undefined, "charts");
    names.forEach((name) => charts.append(curve(name, run.curves[name])));
    if (names.length) box.append(fold("Curves", charts));
    if (run.trouble) box.append(make("p", run.trouble, "note"));
    box.append(fold("Configuration", list(entries(run.config), new Set(marked.filter((name) => name.startsWith(`${run.phase}.`)).map((name) => name.slice(run.phase.length + 1))))), fold("Environment", list(entries(run.environment))));
    box.append(fold("Data", list(entries(run.data))), fold("Cost", list(entries(run.cost))));
    return box;
  };
  const fill = (cell) => {
    body.replaceChildren();
    const title = make("h2", `${cell.column}: ${cell.text}`);
    title.id = "panel-title";
    body.append(title, make("p", `${cell.title}. ${cell.row.join("; ")}`, "note"));
    if (cell.estimate) {
      const e = cell.estimate;
      const pairs = [["mean", e.mean.toPrecision(6)], ["standard deviation", e.sd === null ? "one value" : e.sd.toPrecision(4)],
        ["runs", e.runs], ["independent pretrainings", e.independent]];
      const kinds = { seeds: "Student's t over independent seeds", videos: "bootstrap over videos: video sampling only", binomial: "binomial, over videos" };
      if (e.interval) pairs.push([`${100 * e.interval.confidence} % interval`, `${e.interval.low.toPrecision(5)} to ${e.interval.high.toPrecision(5)} (${kinds[e.interval.kind]})`]);
      body.append(list(pairs));
    }
    if (cell.published) body.append(list([["printed", cell.published.text], ["source", cell.published.source], ...cell.published.conditions]));
    if (cell.comparison) {
      const c = cell.comparison;
      body.append(list([["compared with", c.other], ...(c.verdict ? [["verdict", c.verdict], ["why", c.reason || "by the rule under the table"]] : [])]));
    }
    if (cell.command) body.append(make("p", "No finished run gives this figure. To make one:", "note"), make("pre", cell.command));
    const bySeed = (a, b) => a.seed - b.seed || words.compare(a.name, b.name);
    const runs = cell.runs.map((run) => data.runs[run]).filter(Boolean).sort(bySeed);
    if (runs.length) {
      const found = differences(runs);
      const marked = found.map(([name]) => name);
      const ancestors = [...new Set(runs.flatMap((run) => run.lineage))].map((run) => data.runs[run]).filter(Boolean).sort(bySeed);
      const alike = `differ in nothing but the seed${ancestors.length ? ", nor do those of the runs that they were made from (below)" : ""}`;
      body.append(make("p", `${runs.length} run${runs.length > 1 ? "s" : ""} behind it` +
        (found.length ? "; configurations differ in:" : runs.length > 1 ? `; configurations ${alike}` : ""), "note"));
      if (found.length) body.append(compared(runs, found));
      runs.forEach((run) => body.append(describe(run, marked)));
      if (ancestors.length) body.append(make("h3", "Made from"));
      ancestors.forEach((run) => body.append(describe(run, marked)));
    }
    const lost = cell.runs.length - runs.length;
    if (lost) body.append(make("p", `${lost} of the runs could not be read when this page was made.`, "note"));
  };
  let opener = null;
  const open = (name, from) => {
    if (!Object.hasOwn(data.cells, name)) return;
    fill(data.cells[name]);
    opener = from;
    if (!panel.open) panel.showModal();
    panel.scrollTop = 0;
    history.replaceState(null, "", `#cell=${encodeURIComponent(name)}`);
  };
  document.querySelector("main").addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) open(button.dataset.cell, button);
  });
  panel.addEventListener("close", () => {
    history.replaceState(null, "", location.pathname + location.search);
    if (opener) opener.focus();
  });
  panel.addEventListener("click", (event) => { if (event.target === panel) panel.close(); });
  const follow = () => {
    const found = /^#cell=(.+)$/.exec(location.hash);
    if (!found) return;
    let name = "";
    try { name = decodeURIComponent(found[1]); } catch { return; }
    open(name, document.querySelector(`button.open[data-cell="${CSS.escape(name)}"]`));
  };
  window.addEventListener("hashchange", follow);
  follow();

  // --- dark and light
  const theme = document.getElementById("theme");
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => {
    theme.textContent = dark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `${theme.textContent} colours`);
  };
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; label(); });
  label();
})();
