// Shows the open dead letters, and sends them back if the operator permits that.

import { at, element, resize, write } from './elements.js';
import { moment, text, whole } from './texts.js';

const PATH = '/api/v1/dead-letters';

/** The component keeps a list for this time, in addition to the time that the list specifies. */
const KEPT_MS = 1000;
/** The longest time until the next read, whatever the server specifies. */
const PAUSE_MAX_MS = 60_000;

let list;
let count;
let timer;
let isReading = false;
let isServed = true;
/** Whether the list may be older than the last change, and must be read once more. */
let isOutdated = false;
/** From this time on, by the server's clock, a list is newer than the last change; null before the
 * first answer after that change. */
let newFrom_ms = null;
/** Why the list cannot be read, and the result of the last replay: texts in the current language. */
let problem = () => '';
let outcome = () => '';

/** Reads the list again if the count of letters in the state of the pipeline has changed. */
export function followLetters(state) {
  if (!state?.consumer || state.consumer.dead_letters === count) return;
  count = state.consumer.dead_letters;
  readChanged();
}

/** Reads the list after a change. The server may answer with an earlier list, so it is read again
 * until it was read after the server stopped keeping that list. */
async function readChanged() {
  isOutdated = true;
  newFrom_ms = null;
  await readLetters();
}

async function readLetters() {
  if (isReading) return;
  isReading = true;
  clearTimeout(timer);
  try {
    const answer = await fetch(PATH);
    isServed = answer.status !== 404;
    if (answer.ok) {
      list = await answer.json();
      problem = list.unreadable.length ? unreadableText(list) : () => '';
      newFrom_ms ??= list.next_read_ms;
      isOutdated &&= list.time_ms < newFrom_ms;
      if (isOutdated) readAgain(list.next_read_ms - list.time_ms + KEPT_MS);
    } else {
      problem = isServed ? await refusal(answer) : () => '';
      if (answer.status >= 500) readAgain(1000 * (Number(answer.headers.get('retry-after')) || 1));
    }
  } catch {
    problem = () => text('lettersUnanswered');
    readAgain(PAUSE_MAX_MS);
  }
  isReading = false;
  renderLetters();
}

function readAgain(pause_ms) {
  timer = setTimeout(readLetters, Math.min(pause_ms, PAUSE_MAX_MS));
}

function unreadableText({ unreadable }) {
  return () => text('lettersUnreadable', { topics: unreadable.join(', ') });
}

async function refusal(answer) {
  const { detail = answer.statusText } = await answer.json().catch(() => ({}));
  return () => text('lettersRefused', { status: answer.status, detail });
}

async function sendBack() {
  if (!confirm(text('sendBackConfirm', { open: whole(list.open) }))) return;
  const button = at('letters-replay');
  button.disabled = true;
  outcome = () => text('sendingBack');
  renderLetters();
  try {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${PATH}/replay`, { method: 'POST', headers, body: '{}' });
    outcome = answer.ok ? sentText(await answer.json()) : await refusal(answer);
  } catch {
    outcome = () => text('lettersUnanswered');
  }
  await readChanged();
  button.disabled = false;
  renderLetters();
  // A disabled button loses the focus; a focus that the user has moved meanwhile is kept.
  if (document.activeElement === document.body) {
    (button.hidden ? at('letters-refresh') : button).focus();
  }
}

function sentText({ sent, failed, failures, complete }) {
  const [first] = failures;
  const name = first ? 'sentBackInPart' : 'sentBack';
  const places = { sent: whole(sent), failed: whole(failed), reason: first?.reason };
  return () => [text(name, places), complete ? '' : text('sentBackLimited')].join(' ').trim();
}

/** Shows everything again, in the current language. */
export function renderLetters() {
  at('letters').hidden = !isServed || (!list && !problem());
  write(at('letters-problem'), problem());
  write(at('letters-outcome'), outcome());
  if (!list) return;
  const { letters, open, all } = list;
  const places = { open: whole(open), all: whole(all), shown: whole(letters.length) };
  write(at('letters-count'), text(open > letters.length ? 'lettersNewest' : 'lettersCount', places));
  at('letters-replay').hidden = !list.replay || open === 0;
  at('letters-table').hidden = letters.length === 0;
  const rows = resize(at('letters-rows'), letters.length, createRow);
  letters.forEach((letter, index) => updateRow(rows[index].cells, letter));
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
