//! The fault suite with components that have deliberate bugs: it must detect each of them.

use std::process::Stdio;
use std::time::{Duration, Instant};

use pipeline_tests::chaos::{Books, Episode, Fault, Link, Setup, Verdict, World, mutant};
use pipeline_tests::{eventually, program};
use test_servers::free_port;
use tokio::process::Command;

/// Maximum number of faults until the bug must have been detected.
const TRIES: u64 = 5;
/// Maximum time after a fault until the bug is visible.
const SHOWS_WITHIN: Duration = Duration::from_secs(20);

/// Causes faults until the books show the error.
async fn must_show(world: &mut World, fault: Fault, wrong: impl Fn(&Verdict) -> bool) {
    let mut books = Books::default();
    for seed in 0..TRIES {
        Episode { fault, seed }.happen(world, &mut books).await.unwrap();
        let injected = Instant::now();
        while injected.elapsed() < SHOWS_WITHIN {
            let is_counted = world.has_counted().await.unwrap();
            let mut verdict = books.check(world).await.unwrap();
            if !is_counted {
                // What is not counted yet is not lost.
                (verdict.sales.lost, verdict.texts.lost) = (0, 0);
            }
            if wrong(&verdict) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    panic!("{}: not found out in {TRIES} tries\n{}", fault.describe(), world.logs());
}

async fn broken(changes: &[(&str, &str)], fault: Fault) {
    let folder = tempfile::tempdir().unwrap();
    let component = |file| mutant::component(file, folder.path(), changes).unwrap();
    let setup = Setup {
        aggregator: Some(component("aggregator.wasm")),
        words: Some(component("counts_words.wasm")),
    };
    let mut world = World::start(&setup).await.unwrap();
    must_show(&mut world, fault, |verdict| verdict.sales.doubled > 0 && verdict.texts.doubled > 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_stored_after_the_result_is_detected() {
    // This bug stores the position only with the next batch.
    let changes = [
        ("{ 'HSET', KEYS[1], partition, ARGV[4] }", "{ 'HSET', KEYS[1], partition, ARGV[3] }"),
        ("if position < start then return { 'rewind', stored } end", ""),
    ];
    broken(&changes, Fault::CounterCrash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchecked_position_is_detected() {
    let check = "position = tonumber(stored)";
    broken(&[(check, "position = start")], Fault::Mute(Link::Store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_idempotency_key_is_detected() {
    let memory = "commands[#commands + 1] =\n      { 'SADD', KEYS[3], fingerprints[first], first = first, last = last }";
    broken(&[(memory, "")], Fault::Repeats).await;
}

/// The pipeline without WebAssembly, whose producer can be configured to wait only for the leader.
fn native(kafka: &str, valkey: &str, port: u16) -> Command {
    let mut command = Command::new(program("native-bench"));
    command.args(["accept", "--acks", "leader", "--topic", "sales"]);
    command.args(["--kafka", kafka, "--valkey", valkey]);
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_by_the_leader_alone_and_forgotten_watermarks_are_detected() {
    // The defects do not affect the same function, so they share the servers. Only the progress of
    // windows is a value that is set in a hash; instead, it is deleted.
    let folder = tempfile::tempdir().unwrap();
    let changes = [("if operation == '-'", "if operation == '='")];
    let words = Some(mutant::component("counts_words.wasm", folder.path(), &changes).unwrap());
    let mut world = World::start(&Setup { words, ..Setup::default() }).await.unwrap();
    let port = free_port().unwrap();
    let _server = native(&world.kafka.bootstrap(), &world.store.url(), port).spawn().unwrap();
    eventually("the server listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
    })
    .await;
    world.send_clients_to(port);
    let wrong = |verdict: &Verdict| verdict.sales.lost > 0 && verdict.texts.doubled > 0;
    must_show(&mut world, Fault::LeaderLost, wrong).await;
}
