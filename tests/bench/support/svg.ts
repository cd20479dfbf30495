/** Line charts as SVG: few lines, labelled at their ends, with a band each; readable on light and on dark ground. */

export interface Line {
  readonly name: string;
  /** Evenly spaced from 0 to the chart's width in its own units. */
  readonly values: readonly number[];
  /** Lowest and highest of several runs, by value. */
  readonly band?: readonly (readonly [low: number, high: number])[];
}

export interface Chart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Where the last value of every line stands. */
  readonly xMost: number;
  readonly lines: readonly Line[];
  /** A vertical line, with what happens there. */
  readonly mark?: { readonly x: number; readonly label: string };
}

const WIDTH = 760;
const HEIGHT = 400;
const MARGIN = { top: 44, right: 176, bottom: 52, left: 68 };
const INNER = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
/** Told apart also by who sees no red or green (Okabe and Ito), and on both grounds. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#8a8a8a'];
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .axis { stroke: #57606a; fill: none }
  .grid { stroke: #d0d7de; fill: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .axis { stroke: #8b949e }
    .grid { stroke: #30363d }
  }`;
const LABEL_HEIGHT = 16;

export function lineChart({ title, xLabel, yLabel, xMost, lines, mark }: Chart): string {
  const all = lines.flatMap(({ values, band }) => [...values, ...(band?.flat() ?? [])]);
  const steps = ticks(Math.min(0, ...all), Math.max(...all));
  const [low, high] = [steps[0] as number, steps.at(-1) as number];
  const x = (value: number) => MARGIN.left + (INNER.width * value) / xMost;
  const y = (value: number) => MARGIN.top + INNER.height * (1 - (value - low) / (high - low));
  const bottom = MARGIN.top + INNER.height;
  const parts = [
    ...steps.map((step) => grid(step, y(step))),
    ...ticks(0, xMost)
      .filter((step) => step <= xMost)
      .map((step) => text(x(step), bottom + 20, number(step), 'middle')),
    `<path class="axis" d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${MARGIN.left + INNER.width}"/>`,
    ...(mark ? marked(x(mark.x), mark.label, bottom) : []),
    ...lines.flatMap((line, index) => drawn(line, COLOURS[index % COLOURS.length] as string, xMost, x, y)),
    ...endLabels(lines, y),
    text(MARGIN.left, 24, title, 'start', 'class="title"'),
    text(MARGIN.left + INNER.width / 2, HEIGHT - 12, xLabel, 'middle'),
    `<text transform="translate(18 ${MARGIN.top + INNER.height / 2}) rotate(-90)" text-anchor="middle">${escaped(yLabel)}</text>`,
  ];
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`;
  return `${head}\n<style>${STYLE}\n</style>\n${parts.join('\n')}\n</svg>\n`;
}

/** Round steps, 4 to 8 of them, that enclose what is to be shown. */
export function ticks(low: number, high: number): number[] {
  const span = high - low || 1;
  const rough = span / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5, 10].find((factor) => factor * unit >= rough) as number);
  const first = Math.floor(low / step);
  const last = Math.max(first + 1, Math.ceil(high / step));
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

function grid(step: number, at: number): string {
  const line = `<path class="grid" d="M${MARGIN.left} ${at.toFixed(1)}h${INNER.width}"/>`;
  return line + text(MARGIN.left - 8, at + 4, number(step), 'end');
}

function marked(at: number, label: string, bottom: number): string[] {
  return [
    `<path class="axis" stroke-dasharray="4 4" d="M${at.toFixed(1)} ${MARGIN.top}V${bottom}"/>`,
    text(at + 6, MARGIN.top + 12, label, 'start'),
  ];
}

type Scale = (value: number) => number;

function drawn({ values, band }: Line, colour: string, xMost: number, x: Scale, y: Scale): string[] {
  const at = (index: number) => x((xMost * index) / (values.length - 1)).toFixed(1);
  const points = values.map((value, index) => `${at(index)} ${y(value).toFixed(1)}`);
  const path = `<path d="M${points.join('L')}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  if (!band) return [path];
  const over = band.map(([, high], index) => `${at(index)} ${y(high).toFixed(1)}`);
  const under = band.map(([low], index) => `${at(index)} ${y(low).toFixed(1)}`).toReversed();
  return [`<path d="M${[...over, ...under].join('L')}Z" fill="${colour}" fill-opacity="0.15"/>`, path];
}

/** Beside the ends of their lines, moved apart where these are close. */
function endLabels(lines: readonly Line[], y: Scale): string[] {
  const ends = lines
    .map(({ name, values }, index) => ({ name, index, at: y(values.at(-1) as number) }))
    .toSorted((a, b) => a.at - b.at);
  let last = Number.NEGATIVE_INFINITY;
  return ends.map(({ name, index, at }) => {
    last = Math.max(at, last + LABEL_HEIGHT);
    const [left, colour] = [MARGIN.left + INNER.width + 8, COLOURS[index % COLOURS.length]];
    const key = `<path d="M${left} ${last.toFixed(1)}h12" stroke="${colour}" stroke-width="3"/>`;
    return key + text(left + 17, last + 4, name, 'start');
  });
}

function text(x: number, y: number, content: string, anchor: string, more = ''): string {
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"`;
  return `<text ${place}${more ? ` ${more}` : ''}>${escaped(content)}</text>`;
}

function number(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 6 });
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
