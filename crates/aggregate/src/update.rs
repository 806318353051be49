//! One batch on its way into Valkey.

use sale::{Category, Sale};

use crate::script::{By, Command};
use crate::{Error, Monitored, Source};

/// Calls of the script for one batch, at most: the first, one with its source, one after the
/// monitored products were told, one from inside the batch, and as many again if another
/// owner of the partition gets in between.
const CALLS_MAX: u32 = 8;

/// A record that is no sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its offset.
    pub offset: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// Valkey's reply to the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The script's answer: an array of strings.
    Answer(Vec<String>),
    /// An error, with its code.
    Error(String),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The batch is applied, now or before: done.
    Done,
    /// Send [`Update::command`] again: it has changed.
    Again,
    /// The store lost its last writes: read again from this position.
    Rewind(i64),
}

/// A batch's sales, and where they belong.
#[derive(Debug)]
pub struct Update {
    source: Source,
    start: i64,
    end: i64,
    sales: Vec<Sale>,
    offsets: Vec<i64>,
    rejections: Vec<Rejection>,
    by: By,
    calls: u32,
}

impl Update {
    /// Reads the records of a batch, each an offset and a value; none is a tombstone.
    pub fn read<'a>(
        source: Source,
        (start, end): (i64, i64),
        records: impl IntoIterator<Item = (i64, Option<&'a [u8]>)>,
    ) -> Self {
        let (mut sales, mut offsets, mut rejections) = (Vec::new(), Vec::new(), Vec::new());
        for (offset, value) in records {
            let sale = match value {
                Some(value) => Sale::from_record_json(value).map_err(|e| e.to_string()),
                None => Err("a tombstone is no sale".into()),
            };
            match sale {
                Ok(sale) => {
                    sales.push(sale);
                    offsets.push(offset);
                }
                Err(reason) => rejections.push(Rejection { offset, reason }),
            }
        }
        Self { source, start, end, sales, offsets, rejections, by: By::Name, calls: 0 }
    }

    /// The command to send next: one call of the script.
    pub fn command(&self, monitored: &Monitored) -> Vec<Vec<u8>> {
        let range = (self.start, self.end);
        Command::build(self.by, &self.source, range, &self.sales, monitored)
    }

    /// Takes the reply to the command.
    pub fn reply(&mut self, reply: Reply, monitored: &mut Monitored) -> Result<Step, Error> {
        self.calls += 1;
        if self.calls > CALLS_MAX {
            return Err(Error::Refused("another consumer is applying the same batch".into()));
        }
        let answer = match reply {
            Reply::Error(text) if text.starts_with("NOSCRIPT") => {
                self.by = By::Source;
                return Ok(Step::Again);
            }
            Reply::Error(text) => return Err(Error::Refused(text)),
            Reply::Answer(answer) => answer,
        };
        let unexpected = || Error::Unexpected(answer.join(" "));
        let (word, rest) = answer.split_first().ok_or_else(unexpected)?;
        let position = || rest.first().and_then(|text| text.parse().ok()).ok_or_else(unexpected);
        match word.as_str() {
            "applied" => {
                self.remember(monitored);
                Ok(Step::Done)
            }
            "duplicate" => Ok(Step::Done),
            "rewind" => Ok(Step::Rewind(position()?)),
            "inside" => {
                self.skip_to(position()?);
                Ok(Step::Again)
            }
            "monitored" => {
                for (category, name) in self.categories().into_iter().zip(rest) {
                    monitored.set(category, name);
                }
                Ok(Step::Again)
            }
            _ => Err(unexpected()),
        }
    }

    /// The records that are no sales.
    pub fn rejections(self) -> Vec<Rejection> {
        self.rejections
    }

    /// What was a guess is now known.
    fn remember(&self, monitored: &mut Monitored) {
        for category in self.categories() {
            if monitored.get(category).is_none()
                && let Some(first) = self.of(category).next()
            {
                let name = first.product_id.clone();
                monitored.set(category, &name);
            }
        }
    }

    fn of(&self, category: Category) -> impl Iterator<Item = &Sale> {
        self.sales.iter().filter(move |sale| Category::of(sale.category) == category)
    }

    /// The categories that occur, in the order in which the script takes them.
    fn categories(&self) -> Vec<Category> {
        Category::ALL.into_iter().filter(|c| self.of(*c).next().is_some()).collect()
    }

    /// Leaves out what is applied already.
    fn skip_to(&mut self, position: i64) {
        let applied = self.offsets.partition_point(|offset| *offset < position);
        self.sales.drain(..applied);
        self.offsets.drain(..applied);
        self.rejections.retain(|rejection| rejection.offset >= position);
        self.start = position;
    }
}
