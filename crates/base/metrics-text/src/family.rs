//! Metrics with their descriptions.

use crate::{Line, NotASample, Sample};

/// A metric with its description and its samples.
#[derive(Debug, Default, PartialEq)]
pub struct Family<'a> {
    /// The name, without the suffixes that samples have, such as `_total` or `_bucket`.
    pub name: &'a str,
    /// What the metric means; empty if the text does not say it.
    pub help: &'a str,
    /// The type, such as `counter`; empty if the text does not say it.
    pub kind: &'a str,
    /// The unit, such as `seconds`; empty if there is none.
    pub unit: &'a str,
    /// The samples: what their names have in addition to the name of the metric, and the values.
    pub samples: Vec<(&'a str, Sample<'a>)>,
}

/// Reads metrics with their descriptions. A description precedes the samples of its metric. A
/// sample without a description begins another metric.
pub fn families(text: &str) -> Result<Vec<Family<'_>>, NotASample> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            describe(&mut families, comment);
            continue;
        }
        let line = Line::new(index + 1, line);
        let sample = line.sample()?;
        let last = families.last_mut().and_then(|family| {
            let suffix = line.name.strip_prefix(family.name)?;
            (suffix.is_empty() || suffix.starts_with('_')).then_some((family, suffix))
        });
        match last {
            Some((family, suffix)) => family.samples.push((suffix, sample)),
            None => {
                let samples = vec![("", sample)];
                families.push(Family { name: line.name, samples, ..Family::default() });
            }
        }
    }
    Ok(families)
}

/// Reads ` HELP name text`, ` TYPE name type` or ` UNIT name unit`. Other comments are skipped.
fn describe<'a>(families: &mut Vec<Family<'a>>, comment: &'a str) {
    let mut words = comment.trim_start().splitn(3, ' ');
    let (Some(word), Some(name)) = (words.next(), words.next()) else { return };
    if !["HELP", "TYPE", "UNIT"].contains(&word) {
        return;
    }
    if families.last().is_none_or(|family| family.name != name) {
        families.push(Family { name, ..Family::default() });
    }
    let Some(family) = families.last_mut() else { return };
    let text = words.next().unwrap_or_default();
    match word {
        "HELP" => family.help = text,
        "TYPE" => family.kind = text,
        _ => family.unit = text,
    }
}
