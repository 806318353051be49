// Shows a snapshot.

import { drawPrices, drawRate } from './chart.js';
import { at, element, resize, write } from './elements.js';
import { Rate } from './live.js';
import { price, rate, text, time, whole } from './texts.js';

const rates = new Rate();

let figures;
let state = 'connecting';
let chosen = 1;

function bar() {
  const made = element('span', { className: 'bar' }, element('span'));
  made.setAttribute('aria-hidden', 'true');
  return made;
}

/** Sets the length of a bar, as a part of the whole: 0 to 1. */
export function setBar(bar, part) {
  bar.firstElementChild.style.setProperty('--part', part);
}

/** Takes a snapshot and shows it. */
export function showFigures(snapshot) {
  figures = snapshot;
  rates.add(snapshot.time_ms, snapshot.totals.sales);
  render();
}

/** Nothing has changed by this time of the server. */
export function showTime(now) {
  if (!figures) return;
  figures.time_ms = now;
  rates.add(now, figures.totals.sales);
  renderRate();
}

/** Sales counted per second in the last `seconds`; null before this is known. */
export const countedPerSecond = (seconds) => rates.now(seconds);

/** The connection's state. */
export function showState(next) {
  if (next === state) return;
  state = next;
  renderState();
}

/** Shows everything again, in the current language. */
export function render() {
  renderState();
  renderChoices();
  if (!figures) return;
  const { totals } = figures;
  at('sales').textContent = whole(totals.sales);
  at('empty').hidden = totals.sales > 0;
  at('revenue').textContent = price(totals.revenue);
  at('units').textContent = whole(totals.units);
  at('average-price').textContent = price(totals.average_price);
  at('price-min').textContent = price(totals.price_min);
  at('price-max').textContent = price(totals.price_max);
  document.title = totals.sales > 0 ? `${whole(totals.sales)} · Doorbuster` : 'Doorbuster';
  renderRate();
  renderCategories();
  renderRanking(at('ranking'), figures.rankings.find((ranking) => ranking.categoria === null));
  renderChosen();
}

function renderRate() {
  const [now, minute] = [rates.now(), rates.minute()];
  at('rate').textContent = rate(now);
  const max = Math.max(0, ...minute.map((value) => value ?? 0));
  drawRate(at('rate-chart'), minute, text('rateSummary', { now: rate(now), max: rate(max) }));
}

function createRow() {
  const number = () => element('td', { className: 'number' });
  return element(
    'tr',
    {},
    element('th', { scope: 'row' }),
    number(),
    number(),
    element('td', { className: 'share' }, bar()),
    number(),
    number(),
    number(),
  );
}

function renderCategories() {
  const rows = resize(at('categories'), figures.categories.length, createRow);
  figures.categories.forEach((category, index) => {
    const [name, sales, units, share, unitsPerSale, averagePrice, revenue] = rows[index].cells;
    write(name, text(category.name));
    write(sales, whole(category.sales));
    write(units, whole(category.units));
    setBar(share.firstElementChild, figures.totals.units > 0 ? category.units / figures.totals.units : 0);
    write(unitsPerSale, rate(category.average_units));
    write(averagePrice, price(category.average_price));
    write(revenue, price(category.revenue));
  });
  at('revenue-hint').hidden = figures.totals.revenue !== null;
}

/** An item of a list with a rank, a name, a figure and a bar. */
export function createRanked() {
  const part = (className) => element('span', { className });
  return element('li', {}, part('rank'), part('name'), part('units'), bar());
}

function renderRanking(list, { products }) {
  if (products.length === 0) {
    list.replaceChildren(element('li', { className: 'none', textContent: text('noProducts') }));
    return;
  }
  list.querySelector('.none')?.remove();
  const items = resize(list, products.length, createRanked);
  products.forEach((product, index) => {
    const [rank, name, units, bar] = items[index].children;
    write(rank, String(product.rank));
    write(name, product.producto_id);
    name.title = product.producto_id;
    write(units, whole(product.units));
    setBar(bar, product.units / products[0].units);
  });
}

function renderChosen() {
  const is = (entry) => entry.categoria === chosen;
  renderRanking(at('category-ranking'), figures.rankings.find(is));
  const { producto_id: product, prices } = figures.prices.find(is);
  const values = prices.map((entry) => entry.price);
  const places = {
    product,
    count: whole(values.length),
    min: price(Math.min(...values)),
    max: price(Math.max(...values)),
    last: price(values.at(-1)),
  };
  const some = values.length > 0;
  at('prices-product').textContent = some ? text('pricesOf', places) : '\u00a0';
  drawPrices(at('prices'), prices, {
    summary: some ? text('pricesSummary', places) : text('noPrices'),
    none: text('noPrices'),
    priceAxis: text('priceAxis'),
    salesAxis: text('salesAxis'),
    price,
    time,
  });
}

const CATEGORIES = { 1: 'Electronica', 2: 'Ropa', 3: 'Hogar', 4: 'Belleza', 0: 'Otros' };
const ORDER = [1, 2, 3, 4, 0];

/** The choices of a category; they are created once, and renamed when the language changes. */
function renderChoices() {
  const choice = at('choice');
  const select = at('sell-category');
  if (choice.childElementCount === 0) {
    for (const number of ORDER) {
      const input = element('input', { type: 'radio', name: 'category', value: number, checked: number === chosen });
      input.addEventListener('change', () => {
        chosen = number;
        if (figures) renderChosen();
      });
      choice.append(element('label', {}, input, element('span')));
      select.append(element('option', { value: number }));
    }
  }
  ORDER.forEach((number, index) => {
    const name = text(CATEGORIES[number]);
    choice.children[index].lastChild.textContent = name;
    select.options[index].textContent = name;
  });
}

function renderState() {
  at('state').dataset.state = state;
  at('state-text').dataset.text = state;
  at('state-text').textContent = text(state);
  const old = state === 'stale' || state === 'lost';
  document.body.classList.toggle('old', old);
  const notice = at('notice');
  notice.hidden = !old;
  if (old) {
    const name = `${state}Notice${figures ? '' : 'Empty'}`;
    notice.textContent = text(name, { time: time(figures?.time_ms) });
  }
}
