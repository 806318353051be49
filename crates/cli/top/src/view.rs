//! Everything that is shown, as text.

use crate::panels;
use crate::state::{Now, State};
use crate::table::Panel;
use crate::text::{clock, printable};

/// What is shown. It contains no more than the latest answers.
#[derive(Debug, Clone)]
pub struct View {
    /// The URL of the application.
    pub app: String,
    /// Whether the pipeline is healthy.
    pub health: Health,
    /// What is wrong, one line each.
    pub problems: Vec<String>,
    /// When this was true.
    pub time: String,
    /// The sales, the products, the HTTP components, and the partitions.
    pub panels: [Panel; PANELS],
}

/// The number of panels.
pub const PANELS: usize = 4;

/// Whether the pipeline is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Some source has not answered yet.
    Unknown,
    /// Nothing is wrong.
    Healthy,
    /// Something is wrong, but the figures are current.
    Unhealthy,
    /// Something is wrong, and some figures are not current.
    Stale,
}

impl Health {
    /// The health in words.
    pub fn words(self) -> &'static str {
        match self {
            Health::Unknown => "waiting for answers",
            Health::Healthy => "healthy",
            Health::Unhealthy => "NOT HEALTHY",
            Health::Stale => "NOT HEALTHY, STALE",
        }
    }
}

impl View {
    /// What is shown of a state at this time.
    pub fn new(state: &State, now: Now) -> Self {
        Self {
            app: state.app.to_string(),
            health: health(state),
            problems: state.problems().iter().map(|problem| printable(problem)).collect(),
            time: clock(now.time),
            panels: [
                panels::sales(state),
                panels::products(state),
                panels::http(state),
                panels::kafka(state),
            ],
        }
    }
}

fn health(state: &State) -> Health {
    let is_stale = state.snapshot.stale_since().is_some()
        || state.processes.iter().any(|process| process.metrics.stale_since().is_some());
    match (state.problems().is_empty(), is_stale) {
        (false, true) => Health::Stale,
        (false, false) => Health::Unhealthy,
        (true, _) if state.is_complete() => Health::Healthy,
        (true, _) => Health::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::Update;
    use crate::testing::{broken, sources, state};

    #[test]
    fn the_health_is_in_words() {
        let now = Now::read();
        let health = |state: &State| View::new(state, now).health;
        assert_eq!(health(&State::new(&sources(1))), Health::Unknown);
        let (mut state, _) = state(1);
        assert_eq!(health(&state), Health::Healthy);
        state.apply(Update::Readiness(0, Ok(vec!["no\x1b[2J".into()])), now);
        assert_eq!(health(&state), Health::Unhealthy);
        assert_eq!(View::new(&state, now).problems, ["no [2J"]);
        for update in broken(1) {
            state.apply(update, now);
        }
        assert_eq!(health(&state), Health::Stale);
        let mut new = State::new(&sources(1));
        for update in broken(1) {
            new.apply(update, now);
        }
        assert_eq!(health(&new), Health::Unhealthy, "there are no figures that could be stale");
    }
}
