// The page's texts in both languages, and numbers as each language writes them.

const EN = {
  skip: 'Skip to the figures',
  tagline: 'Sales in over HTTP, counted exactly once',
  connecting: 'Connecting',
  live: 'Live',
  stale: 'Not up to date',
  lost: 'No connection',
  staleNotice: 'The store cannot be read at the moment. The figures are from {time}; the page updates them as soon as it answers again.',
  staleNoticeEmpty: 'The store cannot be read at the moment. The page shows the figures as soon as it answers.',
  lostNotice: 'The connection is lost. The figures are from {time}; the page keeps trying to connect.',
  lostNoticeEmpty: 'The server does not answer. The page keeps trying to connect.',
  totals: 'Totals',
  salesCounted: 'Sales counted',
  empty: 'No sale has been counted yet. Send the first one with the form.',
  salesPerSecond: 'Sales per second',
  rateSummary: 'Sales per second in the last minute: now {now}, at most {max}',
  aMinuteAgo: '60 s ago',
  now: 'now',
  units: 'Units sold',
  averagePrice: 'Average price',
  revenue: 'Revenue',
  revenueHint: 'A revenue is missing where an earlier version of the aggregator counted sales without it. When Valkey is emptied, all sales that Kafka still has are counted again.',
  priceMin: 'Lowest price',
  priceMax: 'Highest price',
  categories: 'Categories',
  category: 'Category',
  salesShort: 'Sales',
  unitsShort: 'Units',
  unitsPerSale: 'Units per sale',
  share: 'Share of units',
  sell: 'Send a sale',
  product: 'Product',
  priceOfUnit: 'Unit price',
  send: 'Send',
  sellHint: 'It goes over HTTP into Kafka, and from there it is counted in Valkey. The times of both steps and of each hop appear here.',
  accepted: 'Written to Kafka and acknowledged',
  counting: 'Waiting until it is counted',
  counted: 'Counted within',
  hopTimes: 'Time of each hop',
  hopTimesHint: 'Each time includes those below it; “kafka” is the wait for the acknowledgement.',
  notCounted: 'Accepted, but not counted within {seconds} s. The figures follow as soon as the aggregator catches up.',
  refused: 'Not accepted ({status}): {detail}',
  unanswered: 'No answer. The sale may have been written; send it again with the same button: it counts once.',
  topProducts: 'Top products',
  unitsSoldInAll: 'Units sold, all categories',
  unitsSold: 'Units sold',
  noProducts: 'No sales yet',
  byCategory: 'One category',
  prices: 'Price of the monitored product',
  pricesOf: '{product} · {count} latest sales',
  noPrices: 'The first product sold here is monitored',
  pricesSummary: '{count} prices of {product}, from {min} to {max}; the latest is {last}',
  priceAxis: 'Price',
  salesAxis: 'Sales in the order in which they were counted',
  pipeline: 'Pipeline',
  healthy: 'Healthy',
  stalled: 'Counting has stopped',
  unwritable: 'Kafka does not accept sales',
  unassigned: 'No partition is read',
  behind: 'Counting is behind',
  retrying: 'Batches are retried',
  refusing: 'Requests are refused',
  pipelineNotice: 'The metrics of the pipeline cannot be read at the moment, so its figures are not up to date. The sales are not affected.',
  requestsPerSecond: 'requests accepted/s',
  salesWrittenPerSecond: 'sales written/s',
  salesReadPerSecond: 'sales read/s',
  salesCountedPerSecond: 'sales counted/s',
  refusedPerSecond: 'Refused/s',
  failedPerSecond: 'Failed/s',
  retriesPerSecond: 'Retries/s',
  meanTime: 'Mean time, ms',
  waiting: 'Waiting',
  instances: 'Instances',
  partitions: 'Partitions read',
  lag: 'Sales not yet counted',
  oldest: 'Age of the oldest one, in seconds',
  deadLetters: 'Dead letters',
  retries: 'Retried batches',
  lettersHint: 'Records that could not be counted: {rejected} are not valid sales, {poison} made the component fail, {skipped} were skipped. “doorbuster dlq” shows the dead letters and their reasons.',
  letters: 'Open dead letters',
  lettersCount: '{open} open, {all} in all',
  lettersNewest: '{open} open, {all} in all; the newest {shown} are shown',
  refresh: 'Refresh',
  sendBack: 'Send back',
  sendBackConfirm: 'Send the open letters back to their topics? Open: {open}. One run sends at most 1,000.',
  sendingBack: 'The letters are being sent back',
  sentBack: 'Letters sent back to their topics: {sent}.',
  sentBackInPart: 'Letters sent back to their topics: {sent}. Letters that could not be sent back and remain open: {failed}. First reason: {reason}',
  sentBackLimited: 'A limit or a failure ended the run, so other letters may still be open.',
  lettersUnreadable: 'These topics cannot be read: {topics}',
  lettersRefused: 'The request failed ({status}): {detail}',
  lettersUnanswered: 'No answer. Refresh the list to see which letters are open.',
  written: 'Written',
  source: 'Source',
  reason: 'Reason',
  key: 'Key',
  value: 'Value',
  ofBytes: '({bytes} bytes in all)',
  omitted: 'The letter does not contain the record of {bytes} bytes',
  refusals: 'Refused by the host:',
  role_ingest: 'receives sales over HTTP',
  role_bridge: 'converts HTTP to gRPC',
  role_writer: 'writes sales to Kafka',
  role_pipeline: 'receives sales and writes them to Kafka',
  role_Kafka: 'keeps the sales in order',
  role_aggregator: 'combines sales into counts',
  role_Valkey: 'holds the counts',
  traceId: 'Trace ID',
  currency: 'Prices are in the shop’s currency. An average price is per sale, whatever its units. Revenue is the price multiplied by the units.',
  totalsLink: 'Totals as JSON',
  Electronica: 'Electronics',
  Ropa: 'Clothing',
  Hogar: 'Home',
  Belleza: 'Beauty',
  Otros: 'Other',
};

const ES = {
  skip: 'Ir a las cifras',
  tagline: 'Ventas recibidas por HTTP, contadas exactamente una vez',
  connecting: 'Conectando',
  live: 'En vivo',
  stale: 'Sin actualizar',
  lost: 'Sin conexión',
  staleNotice: 'En este momento no se puede leer el almacén de datos. Las cifras son de las {time}; la página las actualizará en cuanto vuelva a responder.',
  staleNoticeEmpty: 'En este momento no se puede leer el almacén de datos. La página mostrará las cifras en cuanto responda.',
  lostNotice: 'Se ha perdido la conexión. Las cifras son de las {time}; la página sigue intentando conectarse.',
  lostNoticeEmpty: 'El servidor no responde. La página sigue intentando conectarse.',
  totals: 'Totales',
  salesCounted: 'Ventas contadas',
  empty: 'Todavía no se ha contado ninguna venta. Envíe la primera con el formulario.',
  salesPerSecond: 'Ventas por segundo',
  rateSummary: 'Ventas por segundo en el último minuto: ahora {now}, como máximo {max}',
  aMinuteAgo: 'hace 60 s',
  now: 'ahora',
  units: 'Unidades vendidas',
  averagePrice: 'Precio medio',
  revenue: 'Ingresos',
  revenueHint: 'Faltan los ingresos donde una versión anterior del agregador contó ventas sin ellos. Al vaciar Valkey se vuelven a contar todas las ventas que Kafka aún conserva.',
  priceMin: 'Precio mínimo',
  priceMax: 'Precio máximo',
  categories: 'Categorías',
  category: 'Categoría',
  salesShort: 'Ventas',
  unitsShort: 'Unidades',
  unitsPerSale: 'Unidades por venta',
  share: 'Proporción de las unidades',
  sell: 'Enviar una venta',
  product: 'Producto',
  priceOfUnit: 'Precio por unidad',
  send: 'Enviar',
  sellHint: 'La venta pasa por HTTP a Kafka y después se cuenta en Valkey. Aquí aparecerá cuánto tardan ambos pasos y cada componente.',
  accepted: 'Escrita en Kafka y confirmada',
  counting: 'Esperando a que se cuente',
  counted: 'Contada en menos de',
  hopTimes: 'Tiempo en cada componente',
  hopTimesHint: 'Cada tiempo incluye los siguientes; «kafka» es la espera de la confirmación.',
  notCounted: 'Aceptada, pero no contada en {seconds} s. Las cifras la incluirán en cuanto el agregador se ponga al día.',
  refused: 'No aceptada ({status}): {detail}',
  unanswered: 'No hubo respuesta. Es posible que la venta se haya escrito; envíela otra vez con el mismo botón: se contará una sola vez.',
  topProducts: 'Productos más vendidos',
  unitsSoldInAll: 'Unidades vendidas, todas las categorías',
  unitsSold: 'Unidades vendidas',
  noProducts: 'Todavía no hay ventas',
  byCategory: 'Una categoría',
  prices: 'Precio del producto monitoreado',
  pricesOf: '{product} · últimas {count} ventas',
  noPrices: 'Se monitorea el primer producto que se venda aquí',
  pricesSummary: '{count} precios de {product}, de {min} a {max}; el último es {last}',
  priceAxis: 'Precio',
  salesAxis: 'Ventas en el orden en que se contaron',
  pipeline: 'Recorrido de las ventas',
  healthy: 'Funciona bien',
  stalled: 'El recuento se ha detenido',
  unwritable: 'Kafka no acepta ventas',
  unassigned: 'No se lee ninguna partición',
  behind: 'El recuento va con retraso',
  retrying: 'Se reintentan lotes',
  refusing: 'Se rechazan peticiones',
  pipelineNotice: 'En este momento no se pueden leer las métricas del recorrido, por lo que sus cifras no están al día. Las ventas no se ven afectadas.',
  requestsPerSecond: 'peticiones aceptadas/s',
  salesWrittenPerSecond: 'ventas escritas/s',
  salesReadPerSecond: 'ventas leídas/s',
  salesCountedPerSecond: 'ventas contadas/s',
  refusedPerSecond: 'Rechazadas/s',
  failedPerSecond: 'Fallidas/s',
  retriesPerSecond: 'Reintentos/s',
  meanTime: 'Tiempo medio, ms',
  waiting: 'En espera',
  instances: 'Instancias',
  partitions: 'Particiones leídas',
  lag: 'Ventas aún no contadas',
  oldest: 'Antigüedad de la primera, en segundos',
  deadLetters: 'Mensajes fallidos (dead letters)',
  retries: 'Lotes reintentados',
  lettersHint: 'Registros que no se pudieron contar: {rejected} no son ventas válidas, {poison} hicieron fallar el componente, {skipped} se omitieron. «doorbuster dlq» muestra los mensajes fallidos y sus motivos.',
  letters: 'Mensajes fallidos pendientes',
  lettersCount: '{open} pendientes de un total de {all}',
  lettersNewest: '{open} pendientes de un total de {all}; se muestran los {shown} más recientes',
  refresh: 'Actualizar',
  sendBack: 'Reenviar',
  sendBackConfirm: '¿Reenviar los mensajes pendientes a sus temas? Pendientes: {open}. Cada envío incluye 1000 como máximo.',
  sendingBack: 'Se están reenviando los mensajes',
  sentBack: 'Mensajes reenviados a sus temas: {sent}.',
  sentBackInPart: 'Mensajes reenviados a sus temas: {sent}. No se pudieron reenviar y siguen pendientes: {failed}. El primer motivo: {reason}',
  sentBackLimited: 'El envío se interrumpió por un límite o un fallo, así que puede que queden otros mensajes pendientes.',
  lettersUnreadable: 'No se pueden leer estos temas: {topics}',
  lettersRefused: 'La petición ha fallado ({status}): {detail}',
  lettersUnanswered: 'No hubo respuesta. Actualice la lista para ver qué mensajes están pendientes.',
  written: 'Escrito',
  source: 'Origen',
  reason: 'Motivo',
  key: 'Clave',
  value: 'Valor',
  ofBytes: '({bytes} bytes en total)',
  omitted: 'El mensaje no contiene el registro de {bytes} bytes',
  refusals: 'Rechazadas por el servidor:',
  role_ingest: 'recibe ventas por HTTP',
  role_bridge: 'convierte HTTP en gRPC',
  role_writer: 'escribe las ventas en Kafka',
  role_pipeline: 'recibe ventas y las escribe en Kafka',
  role_Kafka: 'guarda las ventas en orden',
  role_aggregator: 'agrupa las ventas en recuentos',
  role_Valkey: 'guarda los recuentos',
  traceId: 'Id. de la traza',
  currency: 'Los precios están en la moneda de la tienda. El precio medio es por venta, sin importar sus unidades. Los ingresos son el precio multiplicado por las unidades.',
  totalsLink: 'Totales en JSON',
  Electronica: 'Electrónica',
  Ropa: 'Ropa',
  Hogar: 'Hogar',
  Belleza: 'Belleza',
  Otros: 'Otros',
};

const LANGUAGES = { en: EN, es: ES };
const KEPT = 'doorbuster-language';

let language = 'en';
let formats;

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // The browser keeps nothing for this page.
  }
}

/** The chosen language, otherwise the first supported one of the browser, otherwise English. */
export function preferredLanguage() {
  const wanted = [kept(), ...navigator.languages].filter(Boolean);
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES) ?? 'en';
}

/** Writes the page's fixed texts in this language. */
export function setLanguage(chosen, { keep = false } = {}) {
  language = chosen;
  if (keep) {
    try {
      localStorage.setItem(KEPT, chosen);
    } catch {
      // Without storage the choice is kept only until the page is loaded again.
    }
  }
  const locale = navigator.languages.find((tag) => tag.toLowerCase().startsWith(chosen)) ?? chosen;
  const format = (options) => new Intl.NumberFormat(locale, options);
  formats = {
    whole: format({ maximumFractionDigits: 0, useGrouping: true }),
    rate: format({ minimumFractionDigits: 1, maximumFractionDigits: 1 }),
    price: format({ minimumFractionDigits: 2, maximumFractionDigits: 2 }),
    time: new Intl.DateTimeFormat(locale, { timeStyle: 'medium' }),
    moment: new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeStyle: 'medium' }),
  };
  document.documentElement.lang = chosen;
  for (const element of document.querySelectorAll('[data-text]')) {
    element.textContent = text(element.dataset.text);
  }
  for (const button of document.querySelectorAll('[data-language]')) {
    button.setAttribute('aria-pressed', String(button.dataset.language === chosen));
  }
}

/** A text, with its `{places}` filled. */
export function text(name, places = {}) {
  return LANGUAGES[language][name].replace(/\{(\w+)\}/g, (_, place) => places[place]);
}

const NONE = '–';
const formatted = (kind, value) => (value === null || value === undefined ? NONE : formats[kind].format(value));

export const whole = (value) => formatted('whole', value);
export const rate = (value) => formatted(value >= 100 ? 'whole' : 'rate', value);
export const price = (value) => formatted('price', value);
export const time = (milliseconds) => formatted('time', milliseconds);
export const moment = (milliseconds) => formatted('moment', milliseconds);
