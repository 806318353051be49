//! The load itself: workers that share a sequence of sales.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use http::HeaderValue;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledger::{Entry, Outcome};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::Args;
use crate::connection::{Answer, Connection};
use crate::repeats::{Repeats, Request};
use crate::sales::draw;
use crate::summary::{Summary, Tally};

/// Ledger entries waiting to be written; past it the senders wait.
const LEDGER_QUEUE: usize = 4_096;

/// Pause before a retry or after a refused connection: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Sends the load until it is done or `shutdown`.
pub async fn run(args: Args, mut shutdown: BoxFuture<'static, ()>) -> Result<Summary> {
    let (entries, writer) = match &args.ledger {
        Some(path) => {
            let (sender, receiver) = mpsc::channel(LEDGER_QUEUE);
            let out = File::create(path)
                .with_context(|| format!("cannot write the ledger {}", path.display()))?;
            let path = path.clone();
            let writer = tokio::task::spawn_blocking(move || write_ledger(out, receiver, &path));
            (Some(sender), Some(writer))
        }
        None => (None, None),
    };
    let shared = Arc::new(Shared::new(args));
    let mut workers = JoinSet::new();
    for _ in 0..shared.args.connections {
        workers.spawn(worker(shared.clone(), entries.clone()));
    }
    drop(entries);
    let (mut tally, mut failed) = (Tally::default(), None);
    loop {
        tokio::select! {
            () = &mut shutdown, if !shared.stopped() => shared.stop.store(true, Ordering::Relaxed),
            done = workers.join_next() => match done {
                Some(done) => match done.context("a sender failed")? {
                    Ok(done) => tally.merge(&done),
                    Err(error) => {
                        shared.stop.store(true, Ordering::Relaxed);
                        failed.get_or_insert(error);
                    }
                },
                None => break,
            },
        }
    }
    let elapsed = shared.start.elapsed();
    shared.bar.finish_and_clear();
    if let Some(writer) = writer {
        // If the senders failed for want of it, it says why.
        writer.await.context("the ledger's writer failed")??;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(Summary::new(tally, elapsed))
}

/// What the workers share.
struct Shared {
    args: Args,
    next: AtomicU64,
    stop: AtomicBool,
    start: Instant,
    bar: ProgressBar,
    run: u32,
}

impl Shared {
    fn new(args: Args) -> Self {
        let bar = match args.seconds {
            Some(_) => ProgressBar::no_length(),
            None => ProgressBar::new(args.count),
        };
        if args.quiet || args.json {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {eta}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self {
            args,
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            start: Instant::now(),
            bar,
            run: rand::random(),
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The next number to send, and when it is due; none when the load is done.
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
        (!done && !self.stopped()).then_some((number, due))
    }
}

async fn worker(shared: Arc<Shared>, entries: Option<mpsc::Sender<Entry>>) -> Result<Tally> {
    let limit = Duration::from_secs(shared.args.timeout);
    let mut sender = Sender {
        connection: Connection::new(&shared.args.url, limit)?,
        retries_max: shared.args.retries,
        retries: 0,
    };
    let mut repeats = Repeats::new(shared.args.repeat);
    let mut tally = Tally::default();
    while let Some((number, due)) = shared.take() {
        if shared.args.rate.is_some() {
            tokio::time::sleep_until(due).await;
        }
        let sale = draw(shared.args.seed, number, shared.args.products);
        let request = Request {
            key: format!("{}-{:08x}-{number}", shared.args.seed, shared.run),
            keyed: !shared.args.without_keys,
            body: sale.to_json().into(),
        };
        let (answer, unsure) = sender.send(&request).await?;
        tally.record(&answer, due.elapsed());
        shared.bar.inc(1);
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
            && let Some(earlier) = repeats.next(request)
        {
            let (answer, _) = sender.send(&earlier).await?;
            tally.repeated(&answer);
        }
    }
    tally.retries = sender.retries;
    Ok(tally)
}

/// Sends requests over one connection, again if they fail.
struct Sender {
    connection: Connection,
    retries_max: u32,
    retries: u64,
}

impl Sender {
    /// Posts a sale, with retries; also tells whether some try may have been written.
    async fn send(&mut self, request: &Request) -> Result<(Answer, bool)> {
        let key = HeaderValue::from_str(&request.key)?;
        let key = request.keyed.then_some(&key);
        let mut unsure = false;
        let mut pause = PAUSE;
        for attempt in 0.. {
            let answer = self.connection.post(key, request.body.clone()).await;
            unsure |= answer.may_be_written();
            if matches!(answer, Answer::NotSent(_)) {
                // Nobody listens: do not spin.
                tokio::time::sleep(pause).await;
            }
            if attempt >= self.retries_max || !answer.may_pass() {
                return Ok((answer, unsure));
            }
            self.retries += 1;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok((Answer::Broken, unsure))
    }
}

fn write_ledger(file: File, mut entries: mpsc::Receiver<Entry>, path: &Path) -> Result<()> {
    let place = || format!("cannot write the ledger {}", path.display());
    let mut out = BufWriter::new(file);
    while let Some(entry) = entries.blocking_recv() {
        ledger::write(&mut out, &entry).with_context(place)?;
    }
    out.flush().with_context(place)?;
    out.get_ref().sync_all().with_context(place)
}
