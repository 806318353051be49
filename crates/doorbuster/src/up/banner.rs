//! What `doorbuster up` says once everything runs.

use std::net::SocketAddr;

use super::backends::Backends;

/// Prints the address, what to try and what to expect.
pub fn print(address: SocketAddr, operator: Option<SocketAddr>, backends: &Backends) {
    let brokers = backends.brokers();
    let valkey = backends.valkey_public_url();
    println!(
        r#"
Doorbuster is running: http://{address}/purchase
  Kafka   {brokers}
  Valkey  {valkey}

Try, in another terminal:
  curl -i http://{address}/purchase -H 'content-type: application/json' \
       -d '{{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}}'
and expect, once the broker has acknowledged the sale:
  HTTP/1.1 200 OK
  {{"status":"Procesado"}}
A moment later the sale is counted: the Valkey key `total_ventas` is 1.
"#
    );
    if let Some(operator) = operator {
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
