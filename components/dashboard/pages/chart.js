// The two charts, as SVG.

const SVG = 'http://www.w3.org/2000/svg';

const sizes = new WeakMap();

/** Calls `changed` when the size of the chart is known and when it changes. Reading the size while
 * the page is being changed would force a layout. */
export function observeSize(svg, changed) {
  const observer = new ResizeObserver(([entry]) => {
    sizes.set(svg, entry.contentRect);
    changed();
  });
  observer.observe(svg);
}

function add(parent, name, attributes, content) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (content !== undefined) element.textContent = content;
  parent.append(element);
  return element;
}

/** Steps of an axis: 1, 2 or 5 times a power of ten, at most `count` of them. */
function steps(min, max, count) {
  const rough = (max - min) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.floor(min / step);
  const last = Math.ceil(max / step);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

/** The rate of each second of the last minute. */
export function drawRate(svg, values, summary) {
  const [width, height] = [600, 48];
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('aria-label', summary);
  svg.replaceChildren();
  const max = Math.max(1, ...values.filter((value) => value !== null));
  const known = values.map((value, index) => [index, value]).filter(([, value]) => value !== null);
  if (known.length < 2) return;
  const points = known.map(([index, value]) => `${(index / 59) * width},${height - 2 - (value / max) * (height - 6)}`);
  const begin = (known[0][0] / 59) * width;
  add(svg, 'path', { class: 'area', d: `M${begin},${height}L${points.join('L')}L${width},${height}Z` });
  add(svg, 'path', { class: 'line', d: `M${points.join('L')}` });
}

/** The prices of a product's sales, oldest first, with axes. */
export function drawPrices(svg, prices, { summary, none, priceAxis, salesAxis, price, time }) {
  const { width, height } = sizes.get(svg) ?? { width: 0, height: 0 };
  if (width === 0) return;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('aria-label', summary);
  svg.replaceChildren();
  if (prices.length === 0) {
    add(svg, 'text', { class: 'none', x: width / 2, y: height / 2 }, none);
    return;
  }
  const values = prices.map((entry) => entry.price);
  const marks = steps(Math.min(...values), Math.max(...values), 4);
  if (marks.length === 1) marks.push(marks[0] + 1);
  const labels = marks.map((mark) => price(mark));
  const left = Math.max(...labels.map((label) => label.length)) * 6.6 + 14;
  const latest = price(values.at(-1));
  const [right, top, bottom] = [width - latest.length * 7.2 - 14, 26, height - 42];
  const [low, high] = [marks[0], marks.at(-1)];
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  const x = (index) => (prices.length === 1 ? (left + right) / 2 : left + (index / (prices.length - 1)) * (right - left));

  marks.forEach((mark, index) => {
    add(svg, 'line', { class: 'grid', x1: left, x2: right, y1: y(mark), y2: y(mark) });
    add(svg, 'text', { x: left - 8, y: y(mark) + 4, 'text-anchor': 'end' }, labels[index]);
  });
  add(svg, 'text', { x: 0, y: 11 }, priceAxis);
  add(svg, 'text', { x: (left + right) / 2, y: height - 6, 'text-anchor': 'middle' }, salesAxis);
  if (prices.length > 1) {
    add(svg, 'text', { x: left, y: bottom + 17 }, time(prices[0].time_ms));
  }
  add(svg, 'text', { x: right, y: bottom + 17, 'text-anchor': 'end' }, time(prices.at(-1).time_ms));

  // Each price is drawn as a line until the next sale.
  const path = values.slice(1).map((value, index) => `H${x(index + 1)}V${y(value)}`);
  add(svg, 'path', { class: 'line', d: `M${x(0)},${y(values[0])}${path.join('')}` });
  const last = values.length - 1;
  add(svg, 'circle', { class: 'last', cx: x(last), cy: y(values[last]), r: 5 });
  add(svg, 'text', { class: 'value', x: x(last) + 10, y: y(values[last]) + 4 }, latest);
}
