//! One student.

use std::str::FromStr;

use sale::Violation;
use serde::{Deserialize, Serialize};
use strict_json::Strict;

use crate::Date;

/// The longest body with a student, in bytes.
pub const BODY_BYTES_MAX: usize = 4 << 10;

/// The longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

/// The largest number of a document or of a file.
const NUMBER_MAX: i64 = 999_999_999;

/// A student. The fields have the names of the original service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Student {
    /// The id, which PostgreSQL assigns; `None` for a student who is to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// The family name.
    pub apellido: String,
    /// The given name.
    pub nombre: String,
    /// The number of the identity document.
    pub nro_documento: i64,
    /// The kind of the identity document.
    pub tipo_documento: DocumentKind,
    /// The date of birth.
    pub fecha_nacimiento: Date,
    /// The sex.
    pub sexo: Sex,
    /// The number of the student's file.
    pub nro_legajo: i64,
    /// The date of enrolment.
    pub fecha_ingreso: Date,
}

macro_rules! texts {
    ($(#[$meta:meta])* $name:ident { $($(#[$case_meta:meta])* $case:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$case_meta])* #[serde(rename = $text)] $case,)+
        }

        impl $name {
            /// The text in JSON and in PostgreSQL.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$case),)+
                    other => Err(format!("`{other}` is not one of {}", [$($text),+].join(", "))),
                }
            }
        }
    };
}

texts! {
    /// The kinds of identity documents in Argentina.
    DocumentKind {
        /// Documento nacional de identidad.
        National = "DNI",
        /// Libreta cívica.
        Civic = "LC",
        /// Libreta de enrolamiento.
        Enrolment = "LE",
        /// A passport.
        Passport = "PASAPORTE",
    }
}

texts! {
    /// The sex in the identity document.
    Sex {
        /// Female.
        Female = "F",
        /// Male.
        Male = "M",
        /// Another one, or not stated.
        Other = "X",
    }
}

impl Student {
    /// Reads and checks a student whose id is `id`, or who has none yet. The body may contain the id.
    pub fn from_json(body: &[u8], id: Option<i64>) -> Result<Self, Violation> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let student: Self =
            serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
                let path = error.path().to_string();
                // The path of an error outside of the fields is `.` or `?`.
                let is_field = path.starts_with(|first: char| first.is_ascii_alphabetic());
                let field = if is_field { path } else { "body".into() };
                Violation::new(field, error.inner().to_string())
            })?;
        json.end().map_err(|error| Violation::new("body", error.to_string()))?;
        student.check(id)?;
        Ok(Self { id, ..student })
    }

    /// The student as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // This cannot fail: texts and numbers are written to memory.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn check(&self, id: Option<i64>) -> Result<(), Violation> {
        if self.id.is_some() && self.id != id {
            return Err(Violation::new("id", "must be absent, or that of the path"));
        }
        for (field, name) in [("apellido", &self.apellido), ("nombre", &self.nombre)] {
            let is_valid = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
                && name.trim() == name
                && !name.chars().any(char::is_control);
            if !is_valid {
                let reason = format!(
                    "must be 1 to {NAME_CHARS_MAX} characters, without control characters and without \
                     spaces at its ends"
                );
                return Err(Violation::new(field, reason));
            }
        }
        for (field, number) in
            [("nro_documento", self.nro_documento), ("nro_legajo", self.nro_legajo)]
        {
            if !(1..=NUMBER_MAX).contains(&number) {
                return Err(Violation::new(field, format!("must be from 1 to {NUMBER_MAX}")));
            }
        }
        if self.fecha_ingreso <= self.fecha_nacimiento {
            return Err(Violation::new("fecha_ingreso", "must be after `fecha_nacimiento`"));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(crate) fn valid() -> Value {
        json!({
            "apellido": "Núñez", "nombre": "Inés", "nro_documento": 30_111_222,
            "tipo_documento": "DNI", "fecha_nacimiento": "2001-02-03", "sexo": "F",
            "nro_legajo": 7, "fecha_ingreso": "2020-03-01",
        })
    }

    fn read(json: &Value, id: Option<i64>) -> Result<Student, Violation> {
        Student::from_json(json.to_string().as_bytes(), id)
    }

    #[test]
    fn what_was_read_can_be_sent_back() {
        let student = read(&valid(), Some(5)).unwrap();
        let json: Value = serde_json::from_slice(&student.to_json()).unwrap();
        assert_eq!(json["id"], 5);
        assert_eq!(read(&json, Some(5)).unwrap(), student);
        // Not as another student, and not as a new one.
        assert_eq!(read(&json, Some(6)).unwrap_err().field, "id");
        assert_eq!(read(&json, None).unwrap_err().field, "id");
        for kind in ["DNI", "LC", "LE", "PASAPORTE"] {
            assert_eq!(kind.parse::<DocumentKind>().unwrap().as_str(), kind);
            assert_eq!(json!(kind.parse::<DocumentKind>().unwrap()), json!(kind));
        }
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        for (field, value) in [
            ("apellido", json!("")),
            ("apellido", json!("a".repeat(101))),
            ("nombre", json!("a\u{0}b")),
            ("nombre", json!(" Ana")),
            ("nro_documento", json!(0)),
            ("nro_documento", json!("30111222")),
            ("nro_documento", json!(1.5)),
            ("tipo_documento", json!("dni")),
            ("fecha_nacimiento", json!("2001-02-30")),
            ("sexo", json!("")),
            ("nro_legajo", json!(1_000_000_000)),
            ("fecha_ingreso", json!("2001-02-03")),
            ("otro", json!(1)),
        ] {
            let mut student = valid();
            student[field] = value.clone();
            let violation = read(&student, None).unwrap_err();
            assert_eq!(violation.field, field, "{value}: {violation}");
        }
        let mut student = valid();
        student.as_object_mut().unwrap().remove("sexo");
        assert!(read(&student, None).unwrap_err().reason.contains("sexo"));
        let values = valid().as_object().unwrap().values().cloned().collect::<Value>().to_string();
        for body in ["", "[]", &values, "null", "{", "\u{feff}{}"] {
            assert_eq!(Student::from_json(body.as_bytes(), None).unwrap_err().field, "body");
        }
        let twice = format!("{0}{0}", valid());
        assert_eq!(Student::from_json(twice.as_bytes(), None).unwrap_err().field, "body");
    }
}
