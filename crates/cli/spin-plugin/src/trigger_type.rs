//! The type of the triggers that this program runs.

use std::env::args_os;
use std::path::Path;

/// The type of the triggers that this program runs. The executable is the same for both: Spin starts
/// it under the name that it derives from the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerType {
    /// `[[trigger.kafka]]`, as `trigger-kafka` or under another name.
    Kafka,
    /// `[[trigger.amqp]]`, as `trigger-amqp`.
    Amqp,
}

impl TriggerType {
    /// The type that belongs to the name of the program.
    pub fn of_program() -> Self {
        let program = args_os().next().unwrap_or_default();
        if Path::new(&program).file_name() == Some(Self::Amqp.program().as_ref()) {
            Self::Amqp
        } else {
            Self::Kafka
        }
    }

    /// The name of the program, and of the plugin.
    pub fn program(self) -> &'static str {
        match self {
            Self::Kafka => "trigger-kafka",
            Self::Amqp => "trigger-amqp",
        }
    }

    /// The name of the type in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Amqp => "amqp",
        }
    }
}
