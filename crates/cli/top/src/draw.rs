//! Draws the view.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use crate::help;
use crate::keys::Choices;
use crate::table::Panel;
use crate::text::{Align, fit};
use crate::view::{Health, View};

/// Lines of the panel of the sales: title, header, five categories.
const SALES_LINES: u16 = 7;

/// Lines of the title and the header of a panel.
const HEAD_LINES: u16 = 2;

/// Width of the panel of the products, with the blank column beside it.
const PRODUCTS_COLUMNS: u16 = 25;

/// Size of the help with its border.
const HELP_COLUMNS: u16 = 78;

const KEYS: &str = "q quit  p pause  Tab panel  ↑↓ scroll  ? help";

/// Whether colours are used. Everything can be understood without them.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    has_colors: bool,
}

impl Palette {
    /// Without colours if the environment variable `NO_COLOR` is set.
    pub fn of_environment() -> Self {
        Self { has_colors: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    fn health(self, health: Health) -> Style {
        let color = match health {
            Health::Unknown => Color::Yellow,
            Health::Healthy => Color::Green,
            Health::Unhealthy | Health::Stale => Color::Red,
        };
        self.color(color).add_modifier(Modifier::BOLD)
    }
}

/// Draws the view. Limits the choices of rows to what exists.
pub fn draw(frame: &mut Frame<'_>, view: &View, choices: &mut Choices, palette: Palette) {
    let problems = problem_lines(&view.problems, frame.area().height / 8);
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(problems.len()).unwrap_or(u16::MAX)),
        Constraint::Length(SALES_LINES),
        Constraint::Fill(1),
        Constraint::Length(1),
    ]);
    let [head, wrong, sales, rest, keys] = areas.areas(frame.area());
    frame.render_widget(heading(view, choices.is_paused, palette), head);
    let problems = problems.into_iter().map(|problem| {
        let line = fit(&format!("! {problem}"), usize::from(wrong.width), Align::Left);
        Line::styled(line, palette.color(Color::Red))
    });
    frame.render_widget(Paragraph::new(problems.collect::<Vec<_>>()), wrong);
    let [products, http, kafka] = below_sales(rest, view);
    for (index, (panel, area)) in view.panels.iter().zip([sales, products, http, kafka]).enumerate()
    {
        let is_chosen = choices.panel == index;
        if let Some(first) = choices.first_rows.get_mut(index) {
            draw_panel(frame, area, panel, is_chosen, first);
        }
    }
    frame.render_widget(Line::styled(KEYS, Modifier::DIM), keys);
    if choices.shows_help {
        draw_help(frame);
    }
}

fn heading(view: &View, is_paused: bool, palette: Palette) -> Line<'_> {
    let mut spans = vec![
        Span::styled("doorbuster top", Modifier::BOLD),
        Span::raw(format!("  {}  {}  ", view.app, view.time)),
        Span::styled(view.health.words(), palette.health(view.health)),
    ];
    if is_paused {
        spans.push(Span::styled("  PAUSED", Modifier::BOLD));
    }
    Line::from(spans)
}

/// The problems in at most `lines_max` lines. If there are more, the last line says so.
fn problem_lines(problems: &[String], lines_max: u16) -> Vec<String> {
    let lines_max = usize::from(lines_max).max(1);
    if problems.len() <= lines_max {
        return problems.to_vec();
    }
    let shown = lines_max - 1;
    let more = format!("{} more; --once prints all of them", problems.len() - shown);
    problems.iter().take(shown).cloned().chain([more]).collect()
}

/// The areas of the products, the HTTP components and the partitions.
fn below_sales(area: Rect, view: &View) -> [Rect; 3] {
    let [_, products, http, _] = &view.panels;
    let rows = products.rows.len().max(http.rows.len());
    let wanted = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(HEAD_LINES);
    let height = wanted.min(area.height.saturating_mul(2) / 3);
    let [middle, kafka] =
        Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(area);
    let columns = [Constraint::Length(PRODUCTS_COLUMNS - 1), Constraint::Fill(1)];
    let [products, http] = Layout::horizontal(columns).spacing(1).areas(middle);
    [products, http, kafka]
}

/// Draws a panel from the row `first` on, which is limited so that the last rows fill the panel.
fn draw_panel(
    frame: &mut Frame<'_>,
    area: Rect,
    panel: &Panel,
    is_chosen: bool,
    first: &mut usize,
) {
    let room = usize::from(area.height.saturating_sub(HEAD_LINES));
    *first = (*first).min(panel.rows.len().saturating_sub(room));
    let width = usize::from(area.width);
    let shown = if panel.rows.len() > room && room > 0 {
        format!(" {}-{} of {} ", *first + 1, *first + room, panel.rows.len())
    } else {
        String::new()
    };
    let lines = if panel.rows.is_empty() {
        vec![Line::styled(format!("  {}", panel.empty), Modifier::DIM)]
    } else {
        let header = Line::styled(panel.header(width), Modifier::DIM);
        let rows = panel.lines(width).into_iter().skip(*first).take(room).map(Line::from);
        std::iter::once(header).chain(rows).collect()
    };
    let block = head(&panel.title(), shown, is_chosen, width);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The line above a panel, with its title and the rows that are shown.
fn head(title: &str, shown: String, is_chosen: bool, width: usize) -> Block<'static> {
    let mark = if is_chosen { "▶" } else { "─" };
    let room = width.saturating_sub(shown.len() + 1);
    let title = fit(&format!("{mark} {title}"), room, Align::Left).trim_end().to_owned() + " ";
    let weight = if is_chosen { Modifier::BOLD } else { Modifier::empty() };
    Block::new()
        .borders(Borders::TOP)
        .title_top(Line::styled(title, weight))
        .title_top(Line::from(shown).right_aligned())
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines = help::LINES.map(Line::from);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = frame.area().centered(Constraint::Length(HELP_COLUMNS), Constraint::Length(height));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" Help ");
    frame.render_widget(Paragraph::new(lines.to_vec()).block(block), area);
}

#[cfg(test)]
mod tests;
