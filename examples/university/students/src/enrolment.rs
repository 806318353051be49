//! The report about all students.

use serde::Serialize;

use crate::Sex;

/// How many students of a sex have enrolled in a year. The fields have names like those of a student.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrolment {
    /// The year of the date of enrolment.
    pub anio_ingreso: i64,
    /// The sex.
    pub sexo: Sex,
    /// The number of students.
    pub alumnos: i64,
}

impl Enrolment {
    /// The most rows of the report: the years that a [`Date`](crate::Date) may have, with each sex.
    pub const ROWS_MAX: usize = 200 * 3;

    /// The report as JSON.
    pub fn to_json(report: &[Self]) -> Vec<u8> {
        // This cannot fail: texts and numbers are written to memory.
        serde_json::to_vec(report).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_a_list() {
        let row = Enrolment { anio_ingreso: 1998, sexo: Sex::Other, alumnos: 3 };
        let expected = r#"[{"anio_ingreso":1998,"sexo":"X","alumnos":3}]"#;
        assert_eq!(Enrolment::to_json(&[row]), expected.as_bytes());
        assert_eq!(Enrolment::to_json(&[]), b"[]");
    }
}
