//! The statements, through `spin:postgres`.

use std::str::FromStr;

use guest_http::{Variable, report};
use intake::{IntakeError, Problem};
use spin_sdk::pg::{Connection, DbValue, Error, ParameterValue, PgError, QueryError};
use spin_sdk::wit_bindgen::StreamResult;
use students::{Date, Enrolment, Page, Start, StoreError, Student, sql};

use crate::answers::no_settings;

/// `postgres://[user:password@]host:port/database`.
static URL: Variable = Variable::new("database_url");

/// The number of columns of a student.
const COLUMNS: usize = 9;

/// A connection of the host's pool.
pub struct Store(Connection);

impl Store {
    /// Takes a connection.
    pub async fn open() -> Result<Self, Problem> {
        let url = URL.get().await.map_err(|error| {
            report(&error);
            no_settings()
        })?;
        Connection::open(url).await.map(Self).map_err(failure)
    }

    /// The students of a page.
    pub async fn page(&self, page: Page) -> Result<Vec<Student>, Problem> {
        let (statement, position) = match page.start {
            Start::After(id) => (sql::PAGE_AFTER, id),
            Start::Offset(offset) => (sql::PAGE_AT_OFFSET, offset),
        };
        let parameters = [position.into(), i64::from(page.limit).into()];
        let rows = self.query(statement, parameters, page.limit.into()).await?;
        let mut students = Vec::with_capacity(rows.len());
        for row in rows {
            students.push(student(row).ok_or_else(other_row)?);
        }
        Ok(students)
    }

    /// A student, and the version of the row.
    pub async fn find(&self, id: i64) -> Result<Option<(Student, i64)>, Problem> {
        let mut rows = self.query(sql::ONE, [id.into()], 1).await?;
        let Some(mut row) = rows.pop() else { return Ok(None) };
        let Some(DbValue::Int64(version)) = row.pop() else { return Err(other_row()) };
        Ok(Some((student(row).ok_or_else(other_row)?, version)))
    }

    /// Creates a student, and returns the id.
    pub async fn create(&self, student: &Student) -> Result<i64, Problem> {
        let rows = self.query(sql::CREATE, values(student), 1).await?;
        match rows.as_slice() {
            [row] if let [DbValue::Int64(id)] = row.as_slice() => Ok(*id),
            _ => Err(other_row()),
        }
    }

    /// Replaces a student if the row has this version; says whether it had.
    pub async fn replace(&self, id: i64, student: &Student, version: i64) -> Result<bool, Problem> {
        let mut parameters = Vec::from(values(student));
        parameters.extend([id.into(), version.into()]);
        self.execute(sql::REPLACE, parameters).await
    }

    /// Deletes a student if the row has this version; says whether it had.
    pub async fn delete(&self, id: i64, version: i64) -> Result<bool, Problem> {
        self.execute(sql::DELETE, [id.into(), version.into()]).await
    }

    /// How many students of each sex have enrolled in each year.
    pub async fn count_enrolment(&self) -> Result<Vec<Enrolment>, Problem> {
        let rows = self.query(sql::ENROLMENT, [], Enrolment::ROWS_MAX).await?;
        rows.into_iter().map(|row| enrolment(row).ok_or_else(other_row)).collect()
    }

    async fn execute(
        &self,
        statement: &str,
        parameters: impl Into<Vec<ParameterValue>>,
    ) -> Result<bool, Problem> {
        self.0.execute(statement, parameters).await.map(|rows| rows > 0).map_err(failure)
    }

    /// The rows of a statement, which are at most `rows_max`. They are read many at a time.
    async fn query(
        &self,
        statement: &str,
        parameters: impl Into<Vec<ParameterValue>>,
        rows_max: usize,
    ) -> Result<Vec<Vec<DbValue>>, Problem> {
        let mut result = self.0.query(statement, parameters).await.map_err(failure)?;
        // Not more than that, but one free place, without which the end would not be noticed.
        let mut rows = Vec::with_capacity(rows_max + 1);
        loop {
            let (state, read) = result.rows().read(rows).await;
            rows = read;
            if !matches!(state, StreamResult::Complete(_)) || rows.len() > rows_max {
                break;
            }
        }
        result.result().await.map_err(failure)?;
        Ok(rows)
    }
}

/// The columns without the id, in the order of the statements.
fn values(student: &Student) -> [ParameterValue; 8] {
    let date = |date: Date| ParameterValue::Date(date.parts());
    [
        student.apellido.clone().into(),
        student.nombre.clone().into(),
        student.nro_documento.into(),
        student.tipo_documento.as_str().to_owned().into(),
        date(student.fecha_nacimiento),
        student.sexo.as_str().to_owned().into(),
        student.nro_legajo.into(),
        date(student.fecha_ingreso),
    ]
}

/// The student of a row; `None` if the columns are others.
fn student(row: Vec<DbValue>) -> Option<Student> {
    let row: [DbValue; COLUMNS] = row.try_into().ok()?;
    let [id, apellido, nombre, nro_documento, tipo_documento, born, sexo, nro_legajo, enrolled] =
        row;
    Some(Student {
        id: Some(number(id)?),
        apellido: text(apellido)?,
        nombre: text(nombre)?,
        nro_documento: number(nro_documento)?,
        tipo_documento: case(tipo_documento)?,
        fecha_nacimiento: date(born)?,
        sexo: case(sexo)?,
        nro_legajo: number(nro_legajo)?,
        fecha_ingreso: date(enrolled)?,
    })
}

/// A row of the report; `None` if the columns are others.
fn enrolment(row: Vec<DbValue>) -> Option<Enrolment> {
    let [year, sexo, students] = row.try_into().ok()?;
    Some(Enrolment { anio_ingreso: number(year)?, sexo: case(sexo)?, alumnos: number(students)? })
}

fn number(value: DbValue) -> Option<i64> {
    if let DbValue::Int64(number) = value { Some(number) } else { None }
}

fn text(value: DbValue) -> Option<String> {
    if let DbValue::Str(text) = value { Some(text) } else { None }
}

fn case<T: FromStr>(value: DbValue) -> Option<T> {
    text(value)?.parse().ok()
}

fn date(value: DbValue) -> Option<Date> {
    if let DbValue::Date((year, month, day)) = value { Date::new(year, month, day) } else { None }
}

/// The problem for a row that has other columns than the schema.
fn other_row() -> Problem {
    problem_of(&StoreError::Refused("a row does not have the columns of a student".into()))
}

fn failure(error: Error) -> Problem {
    problem_of(&match error {
        Error::PgError(PgError::ConnectionFailed(text)) => StoreError::Unavailable(text),
        Error::PgError(PgError::QueryFailed(QueryError::DbError(error))) => {
            StoreError::from_sqlstate(&error.code, error.as_text)
        }
        Error::PgError(PgError::QueryFailed(QueryError::Text(text))) => StoreError::from_text(text),
        other => StoreError::Refused(other.to_string()),
    })
}

/// The problem for the client. The log has the details.
fn problem_of(error: &StoreError) -> Problem {
    if !matches!(error, StoreError::Duplicate(_)) {
        report(&IntakeError::Other(error.to_string()));
    }
    error.into()
}
