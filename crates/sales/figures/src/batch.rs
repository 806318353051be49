//! Several commands in one call of a script, and their replies.

use std::vec::IntoIter;

use crate::Error;

/// The script.
pub(crate) const SCRIPT: &str = include_str!("read.lua");

/// The commands for one call of the script.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The start of all keys.
    prefix: String,
    keys: Vec<String>,
    arguments: Vec<String>,
}

impl Batch {
    /// No commands. If the prefix is not empty, the keys are `PREFIX:KEY`.
    pub fn new(prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}:") };
        Self { prefix, ..Self::default() }
    }

    /// Adds a command without keys.
    pub fn add(&mut self, words: &[&str]) {
        self.arguments.push(words.len().to_string());
        self.arguments.extend(words.iter().map(|word| (*word).to_owned()));
    }

    /// Adds a command with one key: `command key rest…`.
    pub fn add_keyed(&mut self, command: &str, key: &str, rest: &[&str]) {
        let key = format!("{}{key}", self.prefix);
        self.add(&[&[command, &key], rest].concat());
        self.keys.push(key);
    }

    /// Adds an `MGET`.
    pub fn add_mget(&mut self, keys: &[String]) {
        let keys: Vec<String> = keys.iter().map(|key| format!("{}{key}", self.prefix)).collect();
        let words: Vec<&str> =
            std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
        self.add(&words);
        self.keys.extend(keys);
    }

    /// The command that runs the script. The server ensures that it writes nothing.
    pub fn command(self) -> Vec<Vec<u8>> {
        let head = ["EVAL_RO".to_owned(), SCRIPT.to_owned(), self.keys.len().to_string()];
        let words = head.into_iter().chain(self.keys).chain(self.arguments);
        words.map(String::into_bytes).collect()
    }
}

/// The replies to a batch, in the order of the commands.
pub(crate) struct Replies(IntoIter<String>);

impl Replies {
    /// Creates the replies from the values that the script returned.
    pub fn new(values: Vec<String>) -> Self {
        Self(values.into_iter())
    }

    /// The values of the next command's reply.
    pub fn take(&mut self) -> Result<Vec<String>, Error> {
        let count = self.0.next().and_then(|count| count.parse().ok()).ok_or(Error::Unexpected)?;
        let values: Vec<String> = self.0.by_ref().take(count).collect();
        if values.len() == count { Ok(values) } else { Err(Error::Unexpected) }
    }

    /// The single value of the next command's reply; an empty string if the key does not exist.
    pub fn take_value(&mut self) -> Result<String, Error> {
        self.take()?.into_iter().next().ok_or(Error::Unexpected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(words: &[&str]) -> Replies {
        Replies::new(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn a_batch_names_its_keys_and_the_length_of_each_command() {
        let mut batch = Batch::default();
        batch.add_mget(&["a".into(), "b".into()]);
        batch.add_keyed("ZCARD", "c", &[]);
        let command = batch.command();
        let words: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
        assert_eq!(words[0], "EVAL_RO");
        assert_eq!(words[2..], ["3", "a", "b", "c", "3", "MGET", "a", "b", "2", "ZCARD", "c"]);
    }

    #[test]
    fn all_keys_begin_with_the_prefix() {
        let mut batch = Batch::new("shop");
        batch.add_mget(&["a".into()]);
        batch.add_keyed("ZCARD", "c", &[]);
        let command = batch.command();
        let words: Vec<_> = command.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let expected = ["2", "shop:a", "shop:c", "2", "MGET", "shop:a", "2", "ZCARD", "shop:c"];
        assert_eq!(words[2..], expected);
    }

    #[test]
    fn replies_are_taken_command_by_command() {
        let mut replies = replies(&["2", "x", "", "0", "1", "7"]);
        assert_eq!(replies.take(), Ok(vec!["x".into(), String::new()]));
        assert_eq!(replies.take(), Ok(vec![]));
        assert_eq!(replies.take_value(), Ok("7".into()));
        assert_eq!(replies.take(), Err(Error::Unexpected));
    }

    #[test]
    fn a_reply_that_is_cut_short_is_an_error() {
        for words in [&["2", "x"][..], &["x"], &[]] {
            assert_eq!(replies(words).take(), Err(Error::Unexpected), "{words:?}");
        }
        assert_eq!(replies(&["0"]).take_value(), Err(Error::Unexpected));
    }
}
