//! Numbers, times and names as text.

use jiff::Timestamp;
use unicode_width::UnicodeWidthChar as _;

/// What stands for a value that is not known.
pub const UNKNOWN: &str = "-";

/// The blocks of a chart, from the lowest value to the highest.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// An integer with commas between groups of three digits.
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A counter or a gauge without decimals.
pub fn count(number: f64) -> String {
    // The conversion saturates, and makes a value that is not a number zero.
    whole(number.round() as u64)
}

/// A rate per second, without the unit.
pub fn rate(rate: Option<f64>) -> String {
    match rate {
        None => UNKNOWN.into(),
        Some(rate) if rate > 0.0 && rate < 99.95 => format!("{rate:.1}"),
        Some(rate) => count(rate),
    }
}

/// A price.
pub fn price(price: Option<f64>) -> String {
    price.map_or_else(|| UNKNOWN.into(), |price| format!("{price:.2}"))
}

/// A duration with its unit.
pub fn duration(seconds: f64) -> String {
    match seconds {
        ..0.01 => format!("{:.1} ms", seconds.max(0.0) * 1_000.0),
        ..1.0 => format!("{:.0} ms", seconds * 1_000.0),
        ..120.0 => format!("{seconds:.1} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

/// The time of day.
pub fn clock(time: Timestamp) -> String {
    format!("{} UTC", time.strftime("%H:%M:%S"))
}

/// Replaces characters that could manipulate the terminal or change the order of the text.
pub fn printable(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

/// A chart of the latest values that fit into `width` columns, between their lowest and highest.
pub fn chart(values: &[f64], width: usize) -> String {
    let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let low = shown.iter().copied().fold(f64::INFINITY, f64::min);
    let high = shown.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let last = BLOCKS.len() - 1;
    let block = |value: &f64| {
        let height = if high > low { (value - low) / (high - low) } else { 0.5 };
        let index = (height * last as f64).round() as usize;
        BLOCKS.get(index.min(last)).copied().unwrap_or(' ')
    };
    shown.iter().map(block).collect()
}

/// Side to which a text is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// To the left: names.
    Left,
    /// To the right: numbers.
    Right,
}

/// Fits a text into exactly `width` columns of the terminal.
pub fn fit(text: &str, width: usize, align: Align) -> String {
    let columns = |c: char| c.width().unwrap_or(0);
    let is_cut = text.chars().map(columns).sum::<usize>() > width;
    let room = width.saturating_sub(usize::from(is_cut));
    let (mut fitted, mut used) = (String::new(), 0);
    for c in text.chars() {
        if used + columns(c) > room {
            break;
        }
        fitted.push(c);
        used += columns(c);
    }
    if is_cut && width > 0 {
        fitted.push('…');
        used += 1;
    }
    let blanks = " ".repeat(width.saturating_sub(used));
    match align {
        Align::Left => fitted + &blanks,
        Align::Right => blanks + &fitted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(whole(number), text);
        }
        assert_eq!([count(-1.0), count(f64::NAN), count(1_000.4)], ["0", "0", "1,000"]);
    }

    #[test]
    fn rates_have_a_decimal_while_they_are_low() {
        let rates = [None, Some(0.0), Some(0.25), Some(99.94), Some(99.96), Some(5_000.4)];
        assert_eq!(rates.map(rate), ["-", "0", "0.2", "99.9", "100", "5,000"]);
    }

    #[test]
    fn durations_have_a_unit() {
        let seconds = [0.0, 0.0042, 0.042, 0.9994, 1.0, 119.0, 120.0, 7_200.0];
        let texts = ["0.0 ms", "4.2 ms", "42 ms", "999 ms", "1.0 s", "119.0 s", "2 min", "2.0 h"];
        assert_eq!(seconds.map(duration), texts);
    }

    #[test]
    fn names_cannot_manipulate_the_terminal() {
        assert_eq!(printable("a\x1b[2J\nb\u{202e}c\u{9b}ñ🛒"), "a [2J b c ñ🛒");
    }

    #[test]
    fn a_chart_shows_the_latest_values() {
        assert_eq!(chart(&[], 5), "");
        assert_eq!(chart(&[3.0, 3.0], 5), "▅▅");
        assert_eq!(chart(&[0.0, 7.0, 1.0], 5), "▁█▂");
        assert_eq!(chart(&[100.0, 0.0, 7.0], 2), "▁█");
        assert_eq!(chart(&[1.0], 0), "");
    }

    #[test]
    fn a_text_fits_its_columns() {
        for (text, width, left, right) in [
            ("abc", 5, "abc  ", "  abc"),
            ("abc", 3, "abc", "abc"),
            ("abcd", 3, "ab…", "ab…"),
            ("日本語", 6, "日本語", "日本語"),
            ("日本語", 5, "日本…", "日本…"),
            ("日本語", 4, "日… ", " 日…"),
            ("abc", 1, "…", "…"),
            ("abc", 0, "", ""),
        ] {
            assert_eq!(fit(text, width, Align::Left), left, "{text} {width}");
            assert_eq!(fit(text, width, Align::Right), right, "{text} {width}");
        }
    }
}
