// Shows a snapshot.

import { drawPrices, drawRate } from './chart.js';
import { at, element } from './elements.js';
import { Rate } from './live.js';
import { price, rate, text, time, whole } from './texts.js';

const rates = new Rate();

let figures;
let state = 'connecting';
let chosen = 1;

function bar(part) {
  const fill = element('span');
  fill.style.setProperty('--part', part);
  const made = element('span', { className: 'bar' }, fill);
  made.setAttribute('aria-hidden', 'true');
  return made;
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

/** Sales counted per second; null before this is known. */
export const countedPerSecond = () => rates.now();

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

function renderCategories() {
  const rows = figures.categories.map((category) => {
    const share = figures.totals.units > 0 ? category.units / figures.totals.units : 0;
    const number = (content) => element('td', { className: 'number', textContent: content });
    return element(
      'tr',
      {},
      element('th', { scope: 'row', textContent: text(category.name) }),
      number(whole(category.sales)),
      number(whole(category.units)),
      element('td', { className: 'share' }, bar(share)),
      number(rate(category.average_units)),
      number(price(category.average_price)),
    );
  });
  at('categories').replaceChildren(...rows);
}

function renderRanking(list, ranking) {
  const most = ranking.products[0]?.units ?? 1;
  const items = ranking.products.map((product) =>
    element(
      'li',
      {},
      element('span', { className: 'rank', textContent: product.rank }),
      element('span', { className: 'name', textContent: product.producto_id, title: product.producto_id }),
      element('span', { className: 'units', textContent: whole(product.units) }),
      bar(product.units / most),
    ),
  );
  const none = element('li', { className: 'none', textContent: text('noProducts') });
  list.replaceChildren(...(items.length > 0 ? items : [none]));
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
