// Sends one sale, shows the times of its hops, and follows it until it is counted.

import { at, resize, write } from './elements.js';
import { rate, text, whole } from './texts.js';
import { createRanked, setBar } from './view.js';

const COUNTED_WITHIN_MS = 10000;
const ASK_AGAIN_MS = 40;

let outcome;

function show(...lines) {
  outcome.replaceChildren(
    ...lines.map(({ kind, words, value }) => {
      const line = document.createElement('p');
      line.className = kind;
      line.append(words);
      if (value !== undefined) {
        const strong = document.createElement('strong');
        strong.textContent = value;
        line.append(' ', strong);
      }
      return line;
    }),
  );
}

/** Random bytes in hexadecimal digits. */
function randomHex(bytes) {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(values, (value) => value.toString(16).padStart(2, '0')).join('');
}

/** A key with which a second attempt of the same sale is not counted again. */
const newKey = () => randomHex(16);

/** Units of this product that were counted in this category. */
async function countedUnits(sale) {
  const answer = await fetch(`/api/v1/products/${encodeURIComponent(sale.producto_id)}`, { cache: 'no-store' });
  if (answer.status === 404) return 0;
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const product = await answer.json();
  return product.categories.find(({ categoria }) => categoria === sale.categoria)?.units ?? 0;
}

/** Waits until the units have grown by those of the sale. Other sales of the same product at the
 * same time count, too: then this ends early. */
async function untilCounted(sale, before) {
  const begun = performance.now();
  while (performance.now() - begun < COUNTED_WITHIN_MS) {
    const units = await countedUnits(sale).catch(() => -1);
    if (units >= before + sale.cantidad_vendida) return true;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
  }
  return false;
}

async function refusal(answer) {
  const problem = await answer.json().catch(() => ({}));
  const detail = [problem.field, problem.detail ?? problem.title].filter(Boolean).join(': ');
  return text('refused', { status: answer.status, detail: detail || answer.statusText });
}

const milliseconds = (since) => `${whole(performance.now() - since)} ms`;

/** The times in the header `Server-Timing`: `ingest;dur=4.125, bridge;dur=3.690`. */
function hopTimes(answer) {
  const entries = (answer.headers.get('server-timing') ?? '').split(',');
  const times = entries.map((entry) => {
    const [hop, ms] = entry.trim().split(';dur=');
    return { hop, ms: Number(ms) };
  });
  return times.filter(({ ms }) => Number.isFinite(ms));
}

/** Shows the times of the hops. Each bar is a part of the time that the browser measured. */
function showHopTimes(times, browserMs) {
  at('hop-times').hidden = times.length === 0;
  const items = resize(at('hop-times-list'), times.length, createRanked);
  times.forEach(({ hop, ms }, index) => {
    const [rank, name, time, length] = items[index].children;
    write(rank, String(index + 1));
    write(name, hop);
    write(time, `${rate(ms)} ms`);
    setBar(length, Math.min(1, ms / browserMs));
  });
}

// Kept while a sale has no answer, so that sending it again cannot count it twice.
let pending = { body: '', key: '' };

async function send(form) {
  const fields = new FormData(form);
  const sale = {
    categoria: Number(fields.get('categoria')),
    producto_id: fields.get('producto_id'),
    precio: Number(fields.get('precio')),
    cantidad_vendida: Number(fields.get('cantidad_vendida')),
  };
  const body = JSON.stringify(sale);
  if (pending.body !== body) pending = { body, key: newKey() };
  const before = await countedUnits(sale).catch(() => null);
  // The span of the record belongs to this trace.
  const traceId = randomHex(16);
  const trace = { kind: 'trace', words: text('traceId'), value: traceId };
  showHopTimes([]);
  const begun = performance.now();
  let answer;
  try {
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': pending.key,
      // The trace is sampled (01), so the answer has the times of the hops.
      traceparent: `00-${traceId}-${randomHex(8)}-01`,
    };
    answer = await fetch('/purchase', { method: 'POST', headers, body });
  } catch {
    return show({ kind: 'bad', words: text('unanswered') }, trace);
  }
  if (!answer.ok) return show({ kind: 'bad', words: await refusal(answer) }, trace);
  pending = { body: '', key: '' };
  const accepted = { kind: 'good', words: text('accepted'), value: milliseconds(begun) };
  showHopTimes(hopTimes(answer), performance.now() - begun);
  show(accepted, { kind: '', words: text('counting') }, trace);
  const counted = before !== null && (await untilCounted(sale, before));
  if (counted) return show(accepted, { kind: 'good', words: text('counted'), value: milliseconds(begun) }, trace);
  show(accepted, { kind: '', words: text('notCounted', { seconds: COUNTED_WITHIN_MS / 1000 }) }, trace);
}

/** Prepares the form. */
export function prepareForm() {
  const form = document.getElementById('sell');
  outcome = document.getElementById('outcome');
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button');
    button.disabled = true;
    try {
      await send(form);
    } finally {
      button.disabled = false;
      button.focus();
    }
  });
}
