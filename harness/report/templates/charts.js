"use strict";
// Draws the curves that the page holds as JSON. Every number in them is also in a table: without this nothing is lost.
(() => {
  const charts = JSON.parse(document.getElementById("curves").textContent);
  const DASHES = [[], [8, 4], [2, 3], [12, 3, 2, 3]];
  const BORDERS = ["solid", "dashed", "dotted", "dashed"];
  const HEIGHT = 250;
  const STEPS = [1, 10, 100, 1e3, 1e4, 1e5, 1e6].flatMap((n) => [n, 2 * n, 5 * n]);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const superscript = (n) => String(n).replace(/./g, (c) => ({ "-": "⁻" })[c] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]);
  const exponent = (y) => Math.floor(Math.log10(y) + 1e-9);

  // Zero has no place on a logarithmic axis: it is drawn on the bottom edge, which is then labelled 0.
  function logScale(chart) {
    const all = chart.series.flatMap((s) => s.y).filter((y) => y !== null);
    const positive = all.filter((y) => y > 0).concat(chart.bound ? [1] : []);
    const zeros = all.some((y) => y <= 0);
    const low = exponent(Math.min(...positive)) - (zeros ? 1 : 0);
    const high = Math.max(low + 1, exponent(Math.max(...positive) * 0.999) + 1);
    const stride = Math.ceil((high - low) / 6);
    const ticks = [];
    for (let e = low; e <= high; e++) if (e % stride === 0 || (zeros && e === low)) ticks.push(e);
    if (zeros && ticks[1] - low < stride / 2) ticks.splice(1, 1);
    return {
      floor: 10 ** low,
      scale: { distr: 3, range: () => [10 ** low, 10 ** high] },
      axis: {
        splits: () => ticks.map((e) => 10 ** e),
        filter: (u, splits) => splits,
        values: (u, splits) => splits.map((y, i) => (zeros && i === 0 ? "0" : "10" + superscript(ticks[i]))),
      },
    };
  }

  function lineOf(style, dense) {
    if (style === "reference") return { stroke: colour("--reference"), width: dense ? 3 : 6, border: "solid" };
    if (style === "mean") return { stroke: colour("--text"), width: 2, border: "solid" };
    const turn = Math.floor(style / 8);
    const kind = (style + turn) % DASHES.length;
    return { stroke: colour(`--series-${style % 8}`), width: dense ? 1 : 2, dash: DASHES[kind], border: BORDERS[kind] };
  }

  function shadeOutside(u) {
    const { left, top, width } = u.bbox;
    u.ctx.fillStyle = colour("--outside");
    u.ctx.fillRect(left, top, width, Math.max(0, u.valToPos(1, "y", true) - top));
  }

  function drawBound(u) {
    const { left, width } = u.bbox;
    const y = u.valToPos(1, "y", true);
    const ctx = u.ctx;
    const px = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = colour("--bad");
    ctx.lineWidth = 1.5 * px;
    ctx.setLineDash([6 * px, 4 * px]);
    ctx.beginPath();
    ctx.moveTo(left, y);
    ctx.lineTo(left + width, y);
    ctx.stroke();
    ctx.font = `${11 * px}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    const text = ctx.measureText("bound").width;
    ctx.fillStyle = colour("--paper");
    ctx.fillRect(left + width - text - 12 * px, y - 8 * px, text + 8 * px, 16 * px);
    ctx.fillStyle = colour("--bad");
    ctx.fillText("bound", left + width - 8 * px, y);
    ctx.restore();
  }

  function draw(place) {
    const chart = charts[place.dataset.chart];
    const log = chart.log ? logScale(chart) : null;
    const lines = chart.series.map((s) => lineOf(s.style, chart.x.length > 300));
    const said = (s) => (u, v, i, at) => {
      if (at === null || at === undefined) return "–";
      if (s.y[at] === null) return s.of?.[at] === null ? "–" : "not finite";
      return s.of ? `${s.y[at]} (${chart.quantities[s.of[at]]})` : String(s.y[at]);
    };
    const step = (x) =>
      chart.parts ? `${Math.floor(x)}, ${chart.parts[Math.round((x % 1) * chart.parts.length)]}` : String(x);
    const showLast = (u) => u.setLegend({ idx: chart.x.length - 1 });
    const axis = {
      stroke: colour("--muted"),
      font: "12px system-ui, sans-serif",
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
    };
    const options = {
      width: place.clientWidth,
      height: HEIGHT,
      scales: { x: { time: false }, y: log ? log.scale : {} },
      axes: [
        { ...axis, label: "step", labelFont: axis.font, labelSize: 18, size: 26, incrs: STEPS },
        { ...axis, size: 52, ...(log ? log.axis : {}) },
      ],
      series: [
        { label: "step", value: (u, v, i, at) => (at === null || at === undefined ? "–" : step(chart.x[at])) },
        ...chart.series.map((s, i) => ({
          label: s.label,
          stroke: lines[i].stroke,
          width: lines[i].width,
          dash: lines[i].dash,
          points: { show: chart.x.length <= 40, size: 5 },
          value: said(s),
        })),
      ],
      legend: { markers: { width: 2, dash: (u, i) => lines[i - 1]?.border ?? "solid" } },
      cursor: { y: false, sync: { key: place.dataset.sync }, points: { size: 6 }, drag: { x: true, y: false } },
      hooks: {
        drawClear: chart.bound ? [shadeOutside] : [],
        draw: chart.bound ? [drawBound] : [],
        ready: [showLast],
        setCursor: [(u) => u.cursor.left < 0 && showLast(u)],
      },
    };
    const floored = chart.series.map((s) => (log ? s.y.map((y) => (y === null || y > 0 ? y : log.floor)) : s.y));
    place.replaceChildren();
    return new uPlot(options, [chart.x, ...floored], place);
  }

  const places = [...document.querySelectorAll("[data-chart]")];
  const drawn = new Map();
  const drawAll = () => {
    for (const plot of drawn.values()) plot.destroy();
    for (const place of places) drawn.set(place, draw(place));
  };
  for (const place of places) place.closest("figure").hidden = false;
  drawAll();

  const fit = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const width = target.clientWidth;
      if (width && width !== drawn.get(target).width) drawn.get(target).setSize({ width, height: HEIGHT });
    }
  });
  for (const place of places) fit.observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

  // On paper: light, and everything unfolded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const fold of folded) fold.open = true;
    document.documentElement.dataset.paper = "";
    drawAll();
  });
  addEventListener("afterprint", () => {
    for (const fold of folded) fold.open = false;
    delete document.documentElement.dataset.paper;
    drawAll();
  });
})();
