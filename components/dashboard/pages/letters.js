// Shows the open dead letters, and sends them back if the operator permits that.

import { at, element, resize, write } from './elements.js';
import { moment, text, whole } from './texts.js';

const PATH = '/api/v1/dead-letters';

/** A list may be older than the newest letter, so it is read again after this time. */
const READ_AGAIN_MS = 5000;

let list;
let count;
let timer;
let isReading = false;
let isServed = true;
/** Why the list cannot be read, and what became of the last letters that were sent back: texts in
 * the current language. */
let problem = () => '';
let outcome = () => '';

/** Reads the list again if the count of letters in the state of the pipeline has changed. */
export function followLetters(state) {
  if (!state?.consumer || state.consumer.dead_letters === count) return;
  count = state.consumer.dead_letters;
  readLetters();
  clearTimeout(timer);
  timer = setTimeout(readLetters, READ_AGAIN_MS);
}

async function readLetters() {
  if (isReading || !isServed) return;
  isReading = true;
  try {
    const answer = await fetch(PATH);
    if (answer.ok) {
      list = await answer.json();
      problem = () => '';
    } else if (answer.status === 404) {
      isServed = false;
    } else {
      problem = await refusal(answer);
    }
  } catch {
    problem = () => text('lettersUnanswered');
  }
  isReading = false;
  renderLetters();
}

async function refusal(answer) {
  const { detail = answer.statusText } = await answer.json().catch(() => ({}));
  return () => text('lettersRefused', { status: answer.status, detail });
}

async function sendBack() {
  const button = at('letters-replay');
  button.disabled = true;
  outcome = () => text('sendingBack');
  renderOutcome();
  let result;
  try {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${PATH}/replay`, { method: 'POST', headers, body: '{}' });
    result = answer.ok ? sentText(await answer.json()) : await refusal(answer);
  } catch {
    result = () => text('lettersUnanswered');
  }
  await readLetters();
  outcome = result;
  renderOutcome();
  button.disabled = false;
  (button.hidden ? at('letters-refresh') : button).focus();
}

function sentText({ sent, failed, failures }) {
  const [first] = failures;
  const name = first ? 'sentBackInPart' : 'sentBack';
  return () => text(name, { sent: whole(sent), failed: whole(failed), reason: first?.reason });
}

/** Shows everything again, in the current language. */
export function renderLetters() {
  at('letters').hidden = !isServed || (!list && !problem());
  renderOutcome();
  if (!list) return;
  const { letters, open, all } = list;
  const places = { open: whole(open), all: whole(all), shown: whole(letters.length) };
  write(at('letters-count'), text(open > letters.length ? 'lettersNewest' : 'lettersCount', places));
  at('letters-replay').hidden = !list.replay || open === 0;
  at('letters-table').hidden = letters.length === 0;
  const rows = resize(at('letters-rows'), letters.length, createRow);
  letters.forEach((letter, index) => updateRow(rows[index].cells, letter));
}

function renderOutcome() {
  write(at('letters-outcome'), problem() || outcome());
}

function createRow() {
  const cell = (className) => element('td', { className });
  return element('tr', {}, cell(''), cell(''), cell('words'), cell('content'), cell('content'));
}

function updateRow([written, from, why, key, value], { time_ms, source, reason, ...letter }) {
  const known = (part) => part ?? '–';
  write(written, moment(time_ms));
  write(from, `${known(source.topic)}/${known(source.partition)}@${known(source.offset)}`);
  write(why, [letter.class, reason].filter(Boolean).join(': '));
  write(key, contentText(letter.key));
  const omitted = letter.omitted_bytes;
  write(value, omitted === null ? contentText(letter.value) : text('omitted', { bytes: whole(omitted) }));
}

function contentText(content) {
  if (content === null) return 'null';
  const { encoding, data, bytes, truncated } = content;
  const shown = encoding === 'base64' ? `base64: ${data}` : data;
  return truncated ? `${shown}… ${text('ofBytes', { bytes: whole(bytes) })}` : shown;
}

/** Prepares the buttons. */
export function prepareLetters() {
  at('letters-refresh').addEventListener('click', readLetters);
  at('letters-replay').addEventListener('click', sendBack);
}
