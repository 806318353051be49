//! The view as plain text.

use crate::view::View;

/// Width of the tables, in characters.
const WIDTH: usize = 80;

/// The text of a view, without a line break at its end.
pub fn text(view: &View) -> String {
    let mut lines = vec![format!("{} at {}: {}", view.app, view.time, view.health.words())];
    lines.extend(view.problems.iter().map(|problem| format!("  {problem}")));
    for panel in &view.panels {
        lines.extend([String::new(), panel.title()]);
        if panel.rows.is_empty() {
            lines.push(format!("  {}", panel.empty));
            continue;
        }
        let table = std::iter::once(panel.header(WIDTH)).chain(panel.lines(WIDTH));
        lines.extend(table.map(|line| line.trim_end().to_owned()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Now, State};
    use crate::testing::{broken, sources, state};
    use crate::text::clock;

    #[test]
    fn the_text_contains_all_panels() {
        let (state, now) = state(1);
        let text = text(&View::new(&state, now));
        let first = format!("http://shop:3000 at {}: healthy", clock(now.time));
        assert_eq!(text.lines().next().unwrap(), first);
        for line in ["Sales: 1,010 counted", "Products: top of 512", "HTTP", "Kafka: lag 12"] {
            assert!(text.lines().any(|found| found.starts_with(line)), "{line}\n{text}");
        }
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }

    #[test]
    fn the_text_names_the_problems() {
        let mut state = State::new(&sources(1));
        for update in broken(1) {
            state.apply(update, Now::read());
        }
        let text = text(&View::new(&state, Now::read()));
        for part in [
            "NOT HEALTHY\n  read API",
            "\n  operator port http://shop:3001: cannot connect",
            "no figures yet",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
