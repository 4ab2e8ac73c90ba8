// A small chart of counts over time, drawn by uPlot (vendor/uplot), in the page's colours.

import { make, setText } from "./dom.js";

const HEIGHT = 118;
const AXIS_WIDTH = 34;
const AXIS_HEIGHT = 22;

export class Chart {
  #element;
  #options;
  #caption = make("span", "");
  #readout = make("span", "readout number"); // the value under the pointer
  #plot = null;
  #data = null;

  /** `options`: {hue: a CSS variable, bars: whether bars or a line, text(value)}. */
  constructor(element, options) {
    this.#element = element;
    this.#options = options;
    element.append(make("p", "caption", this.#caption, this.#readout));
    element.setAttribute("role", "img");
    new ResizeObserver(() => this.#resize()).observe(element);
    const redraw = () => this.#rebuild();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** `at` in seconds; `caption` says what is shown, `label` also the values, in words. */
  show(at, values, { caption, label }) {
    this.#data = [at, values];
    setText(this.#caption, caption);
    this.#element.setAttribute("aria-label", label);
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#rebuild();
  }

  #resize() {
    const width = this.#element.clientWidth;
    if (this.#plot && width > 0 && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  #rebuild() {
    if (this.#data === null || this.#element.clientWidth === 0) return;
    this.#plot?.destroy();
    this.#plot = new globalThis.uPlot(this.#plotOptions(), this.#data, this.#element);
  }

  #plotOptions() {
    const { hue, bars } = this.#options;
    const [stroke, line, muted] = [hue, "--line", "--muted"].map(colour);
    const { paths } = globalThis.uPlot;
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axis = { stroke: muted, font, ticks: { show: false } };
    return {
      ...{ width: this.#element.clientWidth, height: HEIGHT, legend: { show: false } },
      padding: [8, 16, 0, 0],
      cursor: { y: false, points: { size: 6 }, drag: { setScale: false, x: false } },
      scales: {
        x: { range: ({ data: [at] }, from, to) => [from, to + (at[1] - at[0] || 60)] }, // the last span, too
        y: { range: (_, low, high) => [0, Math.max(4, Math.ceil((high ?? 0) * 1.1))] },
      },
      hooks: { setCursor: [(plot) => this.#read(plot)] },
      series: [
        {},
        { stroke, width: bars ? 0 : 1.5, fill: faded(stroke, bars ? 0.75 : 0.14), points: { show: false },
          paths: bars ? paths.bars({ size: [0.7, 14], align: 1 }) : paths.stepped({ align: 1 }) },
      ],
      axes: [
        { ...axis, size: AXIS_HEIGHT, space: 60, grid: { show: false }, values: (_, all) => all.map(clockText) },
        { ...axis, size: AXIS_WIDTH, space: 32, gap: 4, grid: { stroke: line, width: 1 },
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 1e5, 1e6] },
      ],
    };
  }

  #read({ cursor: { idx }, data }) {
    const isThere = idx !== null && idx !== undefined && data[1][idx] !== undefined;
    this.#readout.textContent = isThere ? `${clockText(data[0][idx])}  ${this.#options.text(data[1][idx])}` : "";
  }
}

function clockText(seconds) {
  const date = new Date(seconds * 1000);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** What a variable is now, light or dark: canvas knows neither var() nor light-dark(). */
function colour(variable) {
  const probe = make("span", "");
  probe.style.color = `var(${variable})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** "rgb(1, 2, 3)", as getComputedStyle has it, with an opacity. */
function faded(rgb, opacity) {
  return rgb.replace(/^rgb\((.*)\)$/, `rgba($1, ${opacity})`);
}
