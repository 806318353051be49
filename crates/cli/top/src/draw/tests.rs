//! What is drawn on a terminal of a given size.

use crossterm::event::{Event, KeyCode};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::sources::Update;
use crate::state::{Now, State};
use crate::testing::{broken, later, sources, state};

const PLAIN: Palette = Palette { has_colors: false };

/// The view of a state at a fixed time of day.
fn view(state: &State) -> View {
    View { time: "07:12:03 UTC".into(), ..View::new(state, Now::read()) }
}

/// The lines of a terminal, without blanks at their ends.
fn screen(view: &View, choices: &mut Choices, columns: u16, rows: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, view, choices, PLAIN)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |row| {
        let cells = (0..columns).map(|column| buffer[(column, row)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..rows).map(line).collect()
}

#[test]
fn a_healthy_pipeline_fits_80_columns_and_24_rows() {
    let lines = screen(&view(&state(1).0), &mut Choices::default(), 80, 24);
    let expected = "\
doorbuster top  http://shop:3000  07:12:03 UTC  healthy
▶ Sales: 1,010 counted, 10.0/s, 2,020 units, price 499.99 (0.50 to 999.99) ─────
CATEGORY         SALES      UNITS  AVG PRICE MONITORED      ITS PRICES
Electronica      1,000      2,000     499.99 tv-42          ▁█▅
Ropa                10         20          - -
Hogar                0          0          - -
Belleza              0          0          - -
Otros                0          0          - -
─ Products: top of 512 ─ ─ HTTP ────────────────────────────────────────────────
 # PRODUCT         UNITS COMPONENT         OK/S  4XX/S  5XX/S     P99  WAIT INST
 1 tv-42           1,500 bridge               0      0      0       -     0    0
 2 radio             520 ingest             500    1.0    2.0   99 ms     3    2
─ Kafka: lag 12, dead letters 3, retries 4, written 510/s, applied 500/s, inst…
TOPIC/PARTITION                           COMPONENT                 LAG   OLDEST
sales/0                                   aggregator                 12    1.5 s
sales/1                                   aggregator                  0   0.0 ms
sales/2                                   aggregator                  0   0.0 ms






q quit  p pause  Tab panel  ↑↓ scroll  ? help";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn a_larger_terminal_shows_more() {
    let lines = screen(&view(&state(1).0), &mut Choices::default(), 120, 40);
    assert!(lines[12].contains("written 510/s, applied 500/s, instances 1 ─"), "{}", lines[12]);
    assert_eq!(lines[39], KEYS);
    assert_eq!(lines.len(), 40);
}

#[test]
fn figures_that_are_stale_remain_with_the_reason() {
    let (mut state, now) = state(1);
    for update in broken(1) {
        state.apply(update, later(now, 60));
    }
    for (columns, rows) in [(80, 24), (120, 40)] {
        let lines = screen(&view(&state), &mut Choices::default(), columns, rows);
        assert!(lines[0].ends_with("NOT HEALTHY, STALE"), "{}", lines[0]);
        assert!(lines[1].starts_with("! read API http://shop:3000: stale since "), "{}", lines[1]);
        assert!(
            lines[2].starts_with("! operator port http://shop:3001: stale since "),
            "{}",
            lines[2]
        );
        assert!(lines[3].starts_with("▶ Sales: 1,010 counted, -/s"), "{}", lines[3]);
    }
}

#[test]
fn problems_leave_room_for_the_figures() {
    let (mut state, now) = state(1);
    let problems: Vec<_> = (0..50).map(|number| format!("problem {number}")).collect();
    state.apply(Update::Readiness(0, Ok(problems)), now);
    let lines = screen(&view(&state), &mut Choices::default(), 80, 24);
    let expected = ["! problem 0", "! problem 1", "! 48 more; --once prints all of them"];
    assert_eq!(lines[1..4], expected);
    assert!(lines[4].starts_with("▶ Sales"), "{}", lines[4]);
}

#[test]
fn an_empty_state_says_what_is_missing() {
    for (columns, rows) in [(80, 24), (120, 40)] {
        let view = view(&State::new(&sources(1)));
        let lines = screen(&view, &mut Choices::default(), columns, rows);
        assert!(lines[0].ends_with("waiting for answers"), "{}", lines[0]);
        let text = lines.join("\n");
        for part in ["no figures yet", "no sales yet", "no HTTP metrics", "no partitions"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}

#[test]
fn a_chosen_panel_scrolls_within_its_rows() {
    let (state, _) = state(1);
    let mut choices = Choices::default();
    for code in [KeyCode::BackTab, KeyCode::End] {
        choices.handle(&Event::Key(code.into()));
    }
    let lines = screen(&view(&state), &mut choices, 100, 16);
    assert!(lines[12].starts_with("▶ Kafka") && lines[12].ends_with(" 3-3 of 3"), "{}", lines[12]);
    assert!(lines[14].starts_with("sales/2 "), "{}", lines[14]);
    assert_eq!(choices.first_rows[3], 2);
    screen(&view(&state), &mut choices, 80, 24);
    assert_eq!(choices.first_rows[3], 0, "all rows fit");
}

#[test]
fn the_help_and_the_pause_are_shown() {
    let mut choices = Choices { shows_help: true, is_paused: true, ..Choices::default() };
    let lines = screen(&view(&state(1).0), &mut choices, 80, 24);
    assert!(lines[0].ends_with("healthy  PAUSED"), "{}", lines[0]);
    let text = lines.join("\n");
    for line in help::LINES {
        assert!(text.contains(line.trim_end()), "{line}\n{text}");
    }
}

#[test]
fn any_size_can_be_drawn() {
    let view = view(&state(1).0);
    for (columns, rows) in [(1, 1), (10, 3), (24, 12), (300, 4), (30, 100)] {
        let mut choices = Choices { shows_help: true, ..Choices::default() };
        screen(&view, &mut choices, columns, rows);
    }
}

#[test]
fn colors_are_not_used_if_they_are_not_wanted() {
    for (has_colors, is_colored) in [(true, true), (false, false)] {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let (view, palette) = (view(&state(1).0), Palette { has_colors });
        terminal.draw(|frame| draw(frame, &view, &mut Choices::default(), palette)).unwrap();
        let mut cells = terminal.backend().buffer().content().iter();
        let found = cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(found, is_colored);
    }
}
