//! What `doorbuster up` says once everything runs.

use component_host::App;
use runner::Parts;
use serde_json::Value;

use super::backends::Backends;

/// The route that the text shows how to call.
const PURCHASE: &str = "/purchase";

/// Prints the addresses, what to try and what to expect.
pub fn print(app: &App, parts: &Parts, backends: &Backends) {
    let sells = app.triggers("http").any(|trigger| {
        trigger.trigger_config.get("route").and_then(Value::as_str) == Some(PURCHASE)
    });
    let place = parts.address().map(|address| format!(": http://{address}"));
    let route = if sells { PURCHASE } else { "" };
    println!("\nDoorbuster is running{}{route}", place.unwrap_or_default());
    if let Some(brokers) = backends.brokers() {
        println!("  Kafka   {brokers}");
    }
    if let Some(url) = backends.valkey_public_url() {
        println!("  Valkey  {url}");
    }
    println!();
    if let (true, Some(address)) = (sells, parts.address()) {
        print_sale(&address.to_string());
    }
    for operator in parts.operators() {
        println!("Operators: http://{operator}/metrics, /healthz, /readyz\n");
    }
    if backends.forgets() {
        println!(
            "These are embedded servers, for a look around: everything is forgotten at the end.\n\
             `--local DIR` keeps it; `--kafka` and `--valkey` use your own.\n"
        );
    }
    println!("Ctrl-C ends it.");
}

fn print_sale(address: &str) {
    println!(
        r#"Try, in another terminal:
  curl -i http://{address}{PURCHASE} -H 'content-type: application/json' \
       -d '{{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}}'
and expect, once the broker has acknowledged the sale:
  HTTP/1.1 200 OK
  {{"status":"Procesado"}}
A moment later the sale is counted: the Valkey key `total_ventas` is 1.
"#
    );
}
