// Shows the state of the pipeline as a picture: the hops in the order of a sale's path.

import { at, element, resize, write } from './elements.js';
import { flows } from './flows.js';
import { rate, text, whole } from './texts.js';

/** The state is old after this time without a new one. */
const SILENCE_MAX_MS = 6000;

/** Counting is behind if the oldest sale waits for longer. */
const BEHIND_S = 5;

let state;
let heard = 0;
let isStale = false;
let shownHops = '';

/** Takes a state of the pipeline, or null if it cannot be read. */
export function showPipeline(next) {
  isStale = !next;
  if (next) {
    heard = performance.now();
    if (!isOlder(next)) {
      state = next;
      flows.add(next);
    }
  }
  renderPipeline();
}

/** After a new connection, another instance may send a state that is a little older. */
function isOlder(next) {
  const age = state ? state.time_ms - next.time_ms : 0;
  return age > 0 && age < SILENCE_MAX_MS;
}

/** Marks the state as old if no new one has arrived. */
export function checkPipeline() {
  const isSilent = state !== undefined && performance.now() - heard > SILENCE_MAX_MS;
  if (isSilent && !isStale) {
    isStale = true;
    renderPipeline();
  }
}

/** Shows everything again, in the current language. */
export function renderPipeline() {
  at('pipeline').hidden = !state && !isStale;
  renderHealth();
  const notice = at('pipeline-notice');
  notice.hidden = !isStale;
  notice.textContent = isStale ? text('pipelineNotice') : '';
  at('pipeline').classList.toggle('old', isStale);
  if (!state) return;
  const hops = flows.hops(state);
  const names = hops.map(({ name }) => name).join();
  if (names !== shownHops) {
    shownHops = names;
    at('path').replaceChildren(...hops.map(createHop));
  }
  hops.forEach((hop, index) => updateHop(at('path').children[index], hop));
  renderFacts();
}

/** The elements of a hop are created once, so that its movement is not interrupted. */
function createHop({ name }) {
  const flow = element('span', { className: 'flow' }, element('span'));
  flow.setAttribute('aria-hidden', 'true');
  const box = element(
    'div',
    { className: 'box' },
    element('h3', { textContent: name }),
    element('p', { className: 'unit' }),
    element('p', { className: 'figure small' }),
    element('p', { className: 'unit' }),
    element('dl'),
  );
  const hop = element('li', { className: 'hop' }, flow, box);
  hop.dataset.hop = name;
  return hop;
}

function updateHop(item, { name, accepted, unit, details, isBad }) {
  const [flow, box] = item.children;
  const [, role, figure, per, list] = box.children;
  write(role, text(`role_${name}`));
  write(figure, rate(accepted));
  write(per, text(unit));
  const pace = String(paceOf(accepted));
  if (flow.dataset.pace !== pace) flow.dataset.pace = pace;
  box.classList.toggle('bad', isBad);
  const rows = resize(list, details.length, () => element('div', {}, element('dt'), element('dd')));
  details.forEach(({ label, value }, index) => {
    const [term, figures] = rows[index].children;
    write(term, text(label));
    write(figures, value);
  });
}

/** A few speeds of the movement, so that it does not change with every state. */
function paceOf(perSecond) {
  if (!(perSecond > 0)) return 0;
  return perSecond < 10 ? 1 : perSecond < 1000 ? 2 : 3;
}

function renderFacts() {
  const { consumer, refusals } = state;
  write(at('lag'), whole(consumer?.lag));
  write(at('oldest'), rate(consumer?.oldest_seconds));
  write(at('dead-letters'), whole(consumer?.dead_letters));
  write(at('retries'), whole(consumer?.retries));
  const letters = consumer && consumer.dead_letters + consumer.skipped > 0;
  const places = letters && {
    rejected: whole(consumer.rejected),
    poison: whole(consumer.poison),
    skipped: whole(consumer.skipped),
  };
  at('letters-hint').hidden = !letters;
  write(at('letters-hint'), letters ? text('lettersHint', places) : '');
  at('refusals').hidden = refusals.length === 0;
  const reasons = refusals.slice(0, 4).map(({ component, problem, requests }) => `${component}: ${problem} ${whole(requests)}`);
  write(at('refusals'), refusals.length > 0 ? `${text('refusals')} ${reasons.join(' · ')}` : '');
}

/** The most important thing about the pipeline's health: its class and its text. */
function health() {
  if (isStale) return ['stale', 'stale'];
  const { consumer } = state;
  if (consumer && consumer.stalled_partitions > 0) return ['lost', 'stalled'];
  if (flows.failures() > 0) return ['lost', 'unwritable'];
  if (consumer && consumer.partitions === 0) return ['stale', 'unassigned'];
  if (consumer && consumer.oldest_seconds > BEHIND_S) return ['stale', 'behind'];
  if (flows.retries() > 0) return ['stale', 'retrying'];
  if (flows.refused() > 0) return ['stale', 'refusing'];
  return ['live', 'healthy'];
}

function renderHealth() {
  if (!state && !isStale) return;
  const [kind, name] = health();
  at('pipeline-state').dataset.state = kind;
  at('pipeline-state').dataset.health = name;
  write(at('pipeline-health'), text(name));
}
