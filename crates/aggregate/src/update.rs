//! One batch on its way into Valkey.

use sale::{Category, Sale};

use crate::script::{By, Command};
use crate::{Error, Monitored, Source};

/// Calls of the script for one batch, at most. Alone it takes three: the first, one with the
/// source if Valkey does not know it, one after the monitored products or a position inside
/// the batch were told. A second owner of the partition may move the position in between.
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
        let step = match reply {
            Reply::Answer(answer) => self.answer(&answer, monitored)?,
            Reply::Error(text) if text.starts_with("NOSCRIPT") && self.by == By::Name => {
                self.by = By::Source;
                Step::Again
            }
            Reply::Error(text) => return Err(Error::Refused(text)),
        };
        if step == Step::Again && self.calls == CALLS_MAX {
            return Err(Error::Contended { calls: self.calls });
        }
        Ok(step)
    }

    fn answer(&mut self, answer: &[String], monitored: &mut Monitored) -> Result<Step, Error> {
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
                let position = position()?;
                self.learn(rest.get(1..).unwrap_or_default(), monitored);
                self.skip_to(position);
                Ok(Step::Again)
            }
            "monitored" => {
                self.learn(rest, monitored);
                Ok(Step::Again)
            }
            _ => Err(unexpected()),
        }
    }

    /// The records that are no sales.
    pub fn rejections(self) -> Vec<Rejection> {
        self.rejections
    }

    /// The script told the names of the monitored products.
    fn learn(&self, names: &[String], monitored: &mut Monitored) {
        for (category, name) in self.categories().into_iter().zip(names) {
            monitored.set(category, name);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Update {
        let source =
            Source { group: "g".into(), topic: "t".into(), log_id: "l".into(), partition: 3 };
        let sale = |category: i32, product: &str| {
            let product_id = product.into();
            Sale { category, product_id, price: 2.5, quantity: 1 }.to_json()
        };
        let values = [sale(1, "a"), b"{}".to_vec(), sale(2, "b"), sale(2, "c")];
        let records = values.iter().zip(10..).map(|(value, offset)| (offset, Some(&value[..])));
        Update::read(source, (10, 14), records)
    }

    fn answer(words: &[&str]) -> Reply {
        Reply::Answer(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn has(command: &[Vec<u8>], word: &str) -> bool {
        command.iter().any(|argument| argument == word.as_bytes())
    }

    #[test]
    fn goes_by_name_and_once_by_source() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        assert_eq!(update.command(&monitored)[0], b"EVALSHA");
        assert_eq!(update.command(&monitored)[1].len(), 40);
        let unknown = || Reply::Error("NOSCRIPT No matching script.".into());
        assert_eq!(update.reply(unknown(), &mut monitored), Ok(Step::Again));
        assert_eq!(update.command(&monitored)[0], b"EVAL");
        // A server that does not know what it was given has another trouble.
        assert!(matches!(update.reply(unknown(), &mut monitored), Err(Error::Refused(_))));
    }

    #[test]
    fn a_position_inside_leaves_out_what_is_applied() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let inside = answer(&["inside", "12", "a", "z"]);
        assert_eq!(update.reply(inside, &mut monitored), Ok(Step::Again));
        let command = update.command(&monitored);
        assert!(has(&command, "12") && has(&command, "c") && has(&command, "z"));
        assert!(!has(&command, "a"), "Electronica is no longer in the batch");
        assert_eq!(monitored.get(Category::Electronica), Some("a"));
        assert_eq!(update.rejections(), [], "that record was told of when it was passed over");
    }

    #[test]
    fn learns_the_monitored_products() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let told = answer(&["monitored", "", "c"]);
        assert_eq!(update.reply(told, &mut monitored), Ok(Step::Again));
        assert_eq!(monitored.get(Category::Ropa), Some("c"));
        assert_eq!(update.reply(answer(&["applied"]), &mut monitored), Ok(Step::Done));
        assert_eq!(monitored.get(Category::Electronica), Some("a"), "the first of its category");
        assert_eq!(update.rejections().iter().map(|r| r.offset).collect::<Vec<_>>(), [11]);
    }

    #[test]
    fn ends_where_the_script_says() {
        for (words, step) in [
            (&["applied"][..], Step::Done),
            (&["duplicate", "14"], Step::Done),
            (&["rewind", "4"], Step::Rewind(4)),
        ] {
            assert_eq!(update().reply(answer(words), &mut Monitored::default()), Ok(step));
        }
    }

    #[test]
    fn an_answer_the_script_never_gives_is_an_error() {
        for words in [&[][..], &["ok"], &["rewind"], &["rewind", "x"], &["inside"]] {
            let result = update().reply(answer(words), &mut Monitored::default());
            assert!(matches!(result, Err(Error::Unexpected(_))), "{words:?}: {result:?}");
        }
    }

    #[test]
    fn does_not_try_for_ever() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        for call in 1..CALLS_MAX {
            let step = update.reply(answer(&["monitored", "x", "y"]), &mut monitored);
            assert_eq!(step, Ok(Step::Again), "{call}");
        }
        let result = update.reply(answer(&["monitored", "x", "y"]), &mut monitored);
        assert_eq!(result, Err(Error::Contended { calls: CALLS_MAX }));
    }
}
