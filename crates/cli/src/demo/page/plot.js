// The plot of round-trip times on a canvas, and the samples that it and the figures are made from.

const WINDOW_SECONDS = 30;
const SAMPLES_KEPT = 600;

export class Samples {
  constructor() {
    this.all = [];
    this.lost = 0;
    this.answered = 0;
  }

  // `ms` is null for a ping that never came back. Answers overtake each other, and what is lost is known late.
  add(at, ms) {
    const before = this.all.findLastIndex((sample) => sample.at <= at);
    this.all.splice(before + 1, 0, { at, ms });
    if (ms === null) this.lost += 1;
    else this.answered += 1;
    if (this.all.length > SAMPLES_KEPT) this.all.shift();
  }

  get latest() {
    return this.all.findLast(({ ms }) => ms !== null)?.ms;
  }

  // Nearest rank, over the samples kept.
  quantile(share) {
    const sorted = this.all.flatMap(({ ms }) => (ms === null ? [] : [ms])).sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  }
}

export class Plot {
  constructor(canvas, samples) {
    this.canvas = canvas;
    this.samples = samples;
    this.top = 1;
    new ResizeObserver(() => this.fit()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    this.readColours();
    this.fit();
    const frame = () => {
      this.draw(performance.now());
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  // A custom property holds `light-dark(..)` as it was written; as a colour of the element it is worked out.
  readColours() {
    const read = (name) => {
      this.canvas.style.color = `var(--${name})`;
      return getComputedStyle(this.canvas).color;
    };
    this.colours = Object.fromEntries(["accent", "fill", "line", "muted", "bad"].map((name) => [name, read(name)]));
    this.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  }

  fit() {
    const scale = devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    this.canvas.width = Math.round(this.width * scale);
    this.canvas.height = Math.round(this.height * scale);
    this.context = this.canvas.getContext("2d");
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
  }

  draw(now) {
    const from = now - WINDOW_SECONDS * 1000;
    const shown = this.samples.all.filter(({ at }) => at >= from - 500);
    const highest = shown.reduce((most, { ms }) => Math.max(most, ms ?? 0), 0);
    const wanted = niceTop(highest || 1);
    // The scale glides: a jump of the axis would look like a jump of the values.
    this.top += (wanted - this.top) * 0.15;
    const area = { left: 44, right: this.width - 8, top: 10, bottom: this.height - 24 };
    const x = (at) => area.left + ((at - from) / (WINDOW_SECONDS * 1000)) * (area.right - area.left);
    const y = (ms) => area.bottom - (ms / this.top) * (area.bottom - area.top);
    this.context.clearRect(0, 0, this.width, this.height);
    this.drawAxes(area, wanted, y);
    this.drawTimes(shown, area, x, y);
    this.drawLost(shown, area, x);
  }

  drawAxes(area, top, y) {
    const { context, colours } = this;
    context.font = this.font;
    context.fillStyle = colours.muted;
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let step = 0; step <= 4; step++) {
      const ms = (top / 4) * step;
      const at = Math.round(y(ms)) + 0.5;
      if (at < area.top - 8) continue;
      context.beginPath();
      context.moveTo(area.left, at);
      context.lineTo(area.right, at);
      context.stroke();
      context.fillText(axisLabel(ms), area.left - 10, at);
    }
    context.textBaseline = "alphabetic";
    const seconds = this.width < 500 ? [30, 20, 10] : [30, 25, 20, 15, 10, 5];
    for (const ago of seconds) {
      const at = area.right - (ago / WINDOW_SECONDS) * (area.right - area.left);
      context.textAlign = ago === 30 ? "left" : "center";
      context.fillText(`−${ago} s`, at, this.height - 5);
    }
    context.textAlign = "right";
    context.fillText("now", area.right, this.height - 5);
  }

  drawTimes(shown, area, x, y) {
    const { context, colours } = this;
    context.save();
    context.beginPath();
    context.rect(area.left, 0, area.right - area.left + 8, area.bottom + 1);
    context.clip();
    context.lineJoin = "round";
    context.lineWidth = 1.75;
    for (const run of runs(shown)) {
      const line = new Path2D();
      run.forEach(({ at, ms }, index) => (index ? line.lineTo(x(at), y(ms)) : line.moveTo(x(at), y(ms))));
      const under = new Path2D(line);
      under.lineTo(x(run.at(-1).at), area.bottom);
      under.lineTo(x(run[0].at), area.bottom);
      context.fillStyle = colours.fill;
      context.fill(under);
      context.strokeStyle = colours.accent;
      context.stroke(line);
    }
    const last = shown.findLast(({ ms }) => ms !== null);
    if (last) {
      context.fillStyle = colours.accent;
      context.beginPath();
      context.arc(x(last.at), y(last.ms), 3.5, 0, 2 * Math.PI);
      context.fill();
    }
    context.restore();
  }

  drawLost(shown, area, x) {
    const { context, colours } = this;
    context.fillStyle = colours.bad;
    for (const { at } of shown.filter(({ at, ms }) => ms === null && x(at) >= area.left)) {
      context.fillRect(x(at) - 1, area.bottom - 12, 2, 12);
    }
  }
}

// The stretches without a lost ping or a pause in them.
function runs(samples) {
  const all = [];
  let last = null;
  for (const sample of samples) {
    if (sample.ms === null) {
      last = null;
      continue;
    }
    if (last === null || sample.at - last.at > 1500) all.push([]);
    all.at(-1).push(sample);
    last = sample;
  }
  return all;
}

// A top that divides in four well.
function niceTop(highest) {
  const wanted = highest * 1.15;
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 4, 6, 8, 10].map((step) => step * power).find((top) => top >= wanted);
}

function axisLabel(ms) {
  return ms === 0 ? "0 ms" : `${Number(ms.toPrecision(3))}`;
}
