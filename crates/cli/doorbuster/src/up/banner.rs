//! The text that `doorbuster up` prints when everything runs.

use runner::{PreparedApp, Session};
use serde_json::Value;

use super::backends::Backends;

/// The route for which the text shows an example call.
const PURCHASE: &str = "/purchase";

/// The route of the component that serves the live page and every path without another component.
const EVERYTHING_ELSE: &str = "/...";

/// The most routes that are listed.
const ROUTES_MAX: usize = 20;

/// Prints the addresses, an example call, and the expected result.
pub fn print(prepared: &PreparedApp, session: &Session, backends: &Backends) {
    printing::announce(text(prepared, session, backends));
}

fn text(prepared: &PreparedApp, session: &Session, backends: &Backends) -> String {
    let app = prepared.app();
    let routes = || {
        let routes = app.triggers("http").map(|trigger| trigger.trigger_config.get("route"));
        routes.filter_map(|route| route.and_then(Value::as_str))
    };
    let serves = |route: &str| routes().any(|served| served == route);
    let has_purchase = serves(PURCHASE);
    let url =
        session.http_address().map(|address| format!(": http://{address}")).unwrap_or_default();
    let route = if has_purchase { PURCHASE } else { "" };
    let mut text = format!("\nDoorbuster is running{url}{route}\n");
    if let Some(brokers) = backends.brokers() {
        text += &format!("  Kafka   {brokers}\n");
    }
    if let Some(url) = backends.valkey_public_url() {
        text += &format!("  Valkey  {url}\n");
    }
    for trigger in prepared.amqp_triggers() {
        text += &format!("  AMQP    {}, queue {}\n", trigger.address, trigger.consumer.queue);
    }
    for server in prepared.redis_servers() {
        let channels: Vec<&str> = server.channels.keys().map(String::as_str).collect();
        let channels = channels.join(", ");
        text += &format!("  Redis   {}, channels {channels}\n", server.servers);
    }
    if !has_purchase {
        for route in routes().take(ROUTES_MAX) {
            text += &format!("  HTTP    {route}\n");
        }
    }
    text += "\n";
    if let (true, Some(address)) = (has_purchase, session.http_address()) {
        if serves(EVERYTHING_ELSE) {
            text += &format!("Open http://{address}/ to see the sales live and to send one.\n\n");
        }
        text += &example(&address.to_string());
    }
    for operator in session.operator_addresses() {
        text += &format!("Operator port: http://{operator}/metrics, /healthz, /readyz\n\n");
    }
    if backends.are_temporary() {
        text += "Kafka and Valkey are embedded: their data is deleted at the end. Use\n\
                 --kafka and --valkey for servers that keep it.\n\n";
    }
    text + "Press Ctrl-C to stop."
}

fn example(address: &str) -> String {
    format!(
        r#"Send a sale from another terminal:
  curl -i http://{address}{PURCHASE} -H 'content-type: application/json' \
       -d '{{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}}'
The answer arrives after the broker has acknowledged the sale:
  HTTP/1.1 200 OK
  {{"status":"Procesado"}}
Shortly afterwards the sale is counted: the Valkey key `total_ventas` is 1.

"#
    )
}
