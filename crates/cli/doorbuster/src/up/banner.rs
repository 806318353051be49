//! The text that `doorbuster up` prints when everything runs.

use runner::Parts;
use serde_json::Value;
use spin_app::App;

use super::backends::Backends;

/// The route for which the text shows an example call.
const PURCHASE: &str = "/purchase";

/// The route of the live page, and of everything that no other component serves.
const EVERYTHING_ELSE: &str = "/...";

/// Prints the addresses, an example call, and the expected result.
pub fn print(app: &App, parts: &Parts, backends: &Backends) {
    printing::announce(text(app, parts, backends));
}

fn text(app: &App, parts: &Parts, backends: &Backends) -> String {
    let serves = |route: &str| {
        app.triggers("http").any(|trigger| {
            trigger.trigger_config.get("route").and_then(Value::as_str) == Some(route)
        })
    };
    let sells = serves(PURCHASE);
    let place = parts.address().map(|address| format!(": http://{address}")).unwrap_or_default();
    let route = if sells { PURCHASE } else { "" };
    let mut text = format!("\nDoorbuster is running{place}{route}\n");
    if let Some(brokers) = backends.brokers() {
        text += &format!("  Kafka   {brokers}\n");
    }
    if let Some(url) = backends.valkey_public_url() {
        text += &format!("  Valkey  {url}\n");
    }
    text += "\n";
    if let (true, Some(address)) = (sells, parts.address()) {
        if serves(EVERYTHING_ELSE) {
            text += &format!("Open http://{address}/ to see the sales live and to send one.\n\n");
        }
        text += &sale(&address.to_string());
    }
    for operator in parts.operators() {
        text += &format!("Operators: http://{operator}/metrics, /healthz, /readyz\n\n");
    }
    if backends.forgets() {
        text += "Kafka and Valkey are embedded: their data is lost at the end. Use --kafka and\n\
                 --valkey for servers that keep it.\n\n";
    }
    text + "Ctrl-C ends it."
}

fn sale(address: &str) -> String {
    format!(
        r#"Try, in another terminal:
  curl -i http://{address}{PURCHASE} -H 'content-type: application/json' \
       -d '{{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}}'
and expect, once the broker has acknowledged the sale:
  HTTP/1.1 200 OK
  {{"status":"Procesado"}}
A moment later the sale is counted: the Valkey key `total_ventas` is 1.

"#
    )
}
