//! The load: workers that share a sequence of sales.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use ledger::{Entry, Outcome};
use printing::Progress;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::connection::Answer;
use crate::ledger_file;
use crate::repeats::{Repeats, Request};
use crate::sales::draw;
use crate::sender::{Sender, Sent};
use crate::summary::{Summary, Tally};

/// Stops a load before it is complete: no further sales are started.
pub enum Stop {
    /// Sales that were started are retried as usual until they are accepted.
    Finish(BoxFuture<'static, ()>),
    /// No sale is retried, and responses must arrive within a few seconds.
    Interrupt(BoxFuture<'static, ()>),
}

impl Stop {
    /// The load runs until it is complete.
    pub fn never() -> Self {
        Self::Finish(pending().boxed())
    }
}

/// Sends the load until it is complete or stopped.
pub async fn run(args: Args, stop: Stop) -> Result<Summary> {
    let (entries, writer) = match &args.ledger {
        Some(path) => {
            let (entries, writer) = ledger_file::open(path)?;
            (Some(entries), Some(writer))
        }
        None => (None, None),
    };
    let shared = Arc::new(Shared::new(args));
    let mut workers = JoinSet::new();
    for _ in 0..shared.args.connections {
        workers.spawn(worker(shared.clone(), entries.clone()));
    }
    drop(entries);
    let (mut stop, ended) = match stop {
        Stop::Finish(stop) => (stop, &shared.finish),
        Stop::Interrupt(stop) => (stop, &shared.interrupt),
    };
    let (mut tally, mut failed) = (Tally::default(), None);
    loop {
        tokio::select! {
            () = &mut stop, if !ended.is_cancelled() => ended.cancel(),
            done = workers.join_next() => match done {
                Some(done) => match done.context("a sender failed")? {
                    Ok(done) => tally.merge(&done),
                    Err(error) => {
                        shared.interrupt.cancel();
                        failed.get_or_insert(error);
                    }
                },
                None => break,
            },
        }
    }
    let elapsed = shared.start.elapsed();
    shared.progress.finish();
    if let Some(writer) = writer {
        // If the senders failed because the ledger could not be written, this error says why.
        writer.await.context("the ledger's writer failed")??;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(Summary::new(tally, elapsed))
}

/// The state that the workers share.
struct Shared {
    args: Args,
    next: AtomicU64,
    /// Cancelled when no further sales are started.
    finish: CancellationToken,
    /// Cancelled when no sale is retried either.
    interrupt: CancellationToken,
    start: Instant,
    progress: Progress,
    run: u32,
}

impl Shared {
    fn new(args: Args) -> Self {
        let progress = match args.seconds {
            _ if args.quiet || args.json => Progress::hidden(),
            Some(_) => Progress::count("sales"),
            None => Progress::of_total(args.count, "sales"),
        };
        let interrupt = CancellationToken::new();
        Self {
            args,
            next: AtomicU64::new(0),
            finish: interrupt.child_token(),
            interrupt,
            start: Instant::now(),
            progress,
            run: rand::random(),
        }
    }

    /// The next sale's number and the time at which it is due; None when the load is complete.
    fn take(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.args.rate {
            Some(rate) => self.start + Duration::from_secs_f64(number as f64 / rate as f64),
            None => Instant::now(),
        };
        let done = match self.args.seconds {
            Some(seconds) => due >= self.start + Duration::from_secs(seconds),
            None => number >= self.args.count,
        };
        (!done && !self.finish.is_cancelled()).then_some((number, due))
    }
}

async fn worker(shared: Arc<Shared>, entries: Option<mpsc::Sender<Entry>>) -> Result<Tally> {
    let mut sender = Sender::new(&shared.args, shared.interrupt.clone())?;
    let mut repeats = Repeats::new(shared.args.repeat);
    let mut tally = Tally::default();
    while let Some((number, due)) = shared.take() {
        if shared.args.rate.is_some() {
            tokio::select! {
                () = shared.finish.cancelled() => break,
                () = tokio::time::sleep_until(due) => {}
            }
        }
        let sale = draw(shared.args.seed, number, shared.args.products);
        let request = Request {
            key: format!("{}-{:08x}-{number}", shared.args.seed, shared.run),
            keyed: !shared.args.without_keys,
            body: sale.to_json().into(),
        };
        let Sent { answer, took, unsure } = sender.send(&request).await?;
        tally.record(&answer, due.elapsed(), took);
        shared.progress.add(1);
        let outcome = match answer {
            Answer::Accepted => Outcome::Accepted,
            _ if unsure => Outcome::Unknown,
            _ => continue,
        };
        if let Some(entries) = &entries {
            let entry = Entry { key: request.key.clone(), outcome, sale };
            entries.send(entry).await.context("the ledger cannot be written")?;
        }
        if outcome == Outcome::Accepted
            && !shared.interrupt.is_cancelled()
            && let Some(earlier) = repeats.next(request)
        {
            tally.repeated(&sender.send(&earlier).await?.answer);
        }
    }
    tally.retries = sender.retries;
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use clap::Parser as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    const UNAVAILABLE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

    /// A server that answers every request like this, and reports when a request arrived.
    async fn server(answer: &'static [u8]) -> (String, mpsc::Receiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/purchase", listener.local_addr().unwrap());
        let (came, comes) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let came = came.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    // The requests are so small that each arrives at once.
                    while stream.read(&mut request).await.unwrap_or(0) > 0 {
                        let _ = came.try_send(());
                        stream.write_all(answer).await.unwrap();
                    }
                });
            }
        });
        (url, comes)
    }

    fn args(url: &str, more: &[&str]) -> Args {
        let all = ["load", "--quiet", "-c", "1", "--url", url];
        Cli::try_parse_from(all.iter().chain(more)).unwrap().args
    }

    #[tokio::test]
    async fn an_interrupt_ends_the_retries() {
        let (url, mut comes) = server(UNAVAILABLE).await;
        let interrupt = Stop::Interrupt(async move { _ = comes.recv().await }.boxed());
        let summary = run(args(&url, &["--retries", "86400"]), interrupt).await.unwrap();
        assert_eq!((summary.requests, summary.accepted), (1, 0));
        assert_eq!(summary.failed.get("503"), Some(&1));
    }

    #[tokio::test]
    async fn the_times_of_refusals_are_listed() {
        let (url, comes) = server(UNAVAILABLE).await;
        drop(comes);
        let args = Args { count: 3, ..args(&url, &[]) };
        let summary = run(args, Stop::never()).await.unwrap();
        assert_eq!(summary.failed.get("503"), Some(&3));
        assert!(summary.refusal_ms.contains_key("p99"), "{summary:?}");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_unknown() {
        let (url, mut comes) = server(b"").await;
        let interrupt = Stop::Interrupt(async move { _ = comes.recv().await }.boxed());
        let ledger = tempfile::NamedTempFile::new().unwrap();
        let path = ledger.path().to_str().unwrap();
        let more = ["--timeout", "86400", "--retries", "86400", "--ledger", path];
        let summary = run(args(&url, &more), interrupt).await.unwrap();
        assert_eq!((summary.requests, summary.accepted), (1, 0));
        let entries: Vec<Entry> =
            ledger::read(ledger.path()).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].outcome, Outcome::Unknown);
        assert!(summary.refusal_ms.is_empty(), "{summary:?}");
    }

    #[tokio::test]
    async fn a_rate_that_lets_nothing_begin_for_long_is_stopped() {
        let (url, comes) = server(UNAVAILABLE).await;
        drop(comes);
        // One request is due each second, so the last connection would wait for hours.
        let args = Args { connections: 10_000, ..args(&url, &["--rate", "1"]) };
        let summary = run(args, Stop::Finish(ready(()).boxed())).await.unwrap();
        assert!(summary.requests <= 1, "{summary:?}");
    }
}
