//! The help text of the terminal.

/// What the keys do and what the figures mean, one line each. The lines fit a terminal of 80
/// columns.
pub const LINES: [&str; 18] = [
    "q, Ctrl-C   quit",
    "p           pause: the figures stand still",
    "Tab, arrows select a panel (▶), scroll its rows; PgUp, PgDn, Home, End",
    "?           show or close this help",
    "",
    "Sales     counted by the aggregator; the price is the mean of the unit",
    "          prices (lowest to highest). MONITORED is the first product sold",
    "          in the category, with its latest prices, oldest first.",
    "HTTP      answers per second by status: OK is below 400; 99 % of the",
    "          requests were answered within P99; WAIT: requests that wait for",
    "          an instance; INST: instances.",
    "Kafka     LAG: records left to apply; OLDEST: age of the oldest record that",
    "          was read and is not applied. Counts begin at the start of the",
    "          process. `doorbuster dlq` shows the dead letters.",
    "",
    "Rates are means of 3 s; - is unknown. Healthy: the read API and every",
    "operator port answer, and every /readyz is 200. When a source fails, its",
    "last figures remain, marked as stale, until it answers again.",
];
