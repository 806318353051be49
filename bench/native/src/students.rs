//! The students of `examples/university`, with axum and sqlx.

use std::net::SocketAddr;

use ::students::sql::{self, ANY_VERSION};
use ::students::{
    BODY_BYTES_MAX, Date, Enrolment, IfMatch, Operation, Page, Route, Start, StoreError, Student,
    json, link,
};
use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use figures::Etag;
use intake::request::{body_too_large, check_body, check_media_type};
use intake::{PROBLEM_CONTENT_TYPE, Problem, RETRY_AFTER_SECONDS};
use jiff::ToSpan as _;
use jiff::civil::date;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgPoolOptions, PgRow, PgTypeInfo, PgValueRef};
use sqlx::query::Query;
use sqlx::{Decode, Encode, PgPool, Postgres, Row as _, Type};

use crate::accept::serve;

/// Serve the students of `examples/university`.
#[derive(clap::Args)]
pub struct Args {
    /// Address to listen on.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The database.
    #[arg(long, value_name = "postgres://…")]
    database: String,
    /// Connections to the database.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// The value of `Cache-Control` in answers to GET.
    #[arg(long, value_name = "VALUE", default_value = "private, no-cache")]
    cache_control: HeaderValue,
}

#[derive(Clone)]
struct Service {
    pool: PgPool,
    cache_control: HeaderValue,
}

/// Serves until SIGTERM or SIGINT.
#[tokio::main]
pub async fn run(args: Args) -> Result<()> {
    let pool = PgPoolOptions::new().max_connections(args.connections).connect(&args.database);
    let pool = pool.await.context("cannot connect to the database")?;
    let service = Service { pool, cache_control: args.cache_control };
    serve(args.listen, Router::new().fallback(respond).with_state(service)).await
}

async fn respond(State(service): State<Service>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    service.perform(&head, body).await.unwrap_or_else(|reason| {
        let headers = [(header::CONTENT_TYPE, PROBLEM_CONTENT_TYPE)];
        let mut refusal = (reason.status(), headers, reason.to_json()).into_response();
        insert(&mut refusal, header::CACHE_CONTROL, "no-store");
        if reason.is_temporary() {
            refusal.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        refusal
    })
}

impl Service {
    async fn perform(&self, head: &Parts, body: Body) -> Result<Response, Problem> {
        let route = Route::find(head.uri.path())?;
        match route.operation(&head.method, head.uri.query().unwrap_or_default())? {
            Operation::Read(page) => {
                let list = self.page(page).await.map_err(failure)?;
                let mut response = self.content(head, json(&list));
                if let Some(next) = link(page, &list) {
                    insert(&mut response, header::LINK, &next);
                }
                Ok(response)
            }
            Operation::ReadOne(id) => match self.find(id).await.map_err(failure)? {
                Some((student, _)) => Ok(self.content(head, student.to_json())),
                None => Err(no_student()),
            },
            Operation::Create => {
                let student = read_student(head, body, None).await?;
                let created =
                    values(sqlx::query(sql::CREATE), &student).fetch_one(&self.pool).await;
                let id: i64 = created.and_then(|row| row.try_get(0)).map_err(failure)?;
                let student = Student { id: Some(id), ..student };
                let mut response = changed(StatusCode::CREATED, &student);
                insert(&mut response, header::LOCATION, &format!("/students/{id}"));
                Ok(response)
            }
            Operation::Replace(id) => {
                let student = read_student(head, body, Some(id)).await?;
                let version = self.required_version(head, id).await?;
                let query = values(sqlx::query(sql::REPLACE), &student).bind(id).bind(version);
                match query.execute(&self.pool).await.map_err(failure)?.rows_affected() {
                    0 if version == ANY_VERSION => Err(no_student()),
                    0 => Err(was_changed()),
                    _ => Ok(changed(StatusCode::OK, &student)),
                }
            }
            Operation::Delete(id) => {
                let version = self.required_version(head, id).await?;
                let query = sqlx::query(sql::DELETE).bind(id).bind(version);
                match query.execute(&self.pool).await.map_err(failure)?.rows_affected() {
                    0 if version != ANY_VERSION => Err(was_changed()),
                    _ => Ok(StatusCode::NO_CONTENT.into_response()),
                }
            }
            Operation::CountEnrolment => {
                let rows = sqlx::query(sql::ENROLMENT).fetch_all(&self.pool).await;
                let report: Result<Vec<_>, _> =
                    rows.and_then(|rows| rows.iter().map(enrolment).collect());
                Ok(self.content(head, Enrolment::to_json(&report.map_err(failure)?)))
            }
            Operation::CheckHealth => {
                let mut healthy = StatusCode::NO_CONTENT.into_response();
                insert(&mut healthy, header::CACHE_CONTROL, "no-store");
                Ok(healthy)
            }
        }
    }

    async fn page(&self, page: Page) -> Result<Vec<Student>, sqlx::Error> {
        let (statement, position) = match page.start {
            Start::After(id) => (sql::PAGE_AFTER, id),
            Start::Offset(offset) => (sql::PAGE_AT_OFFSET, offset),
        };
        let query = sqlx::query(statement).bind(position).bind(i64::from(page.limit));
        query.fetch_all(&self.pool).await?.iter().map(student).collect()
    }

    async fn find(&self, id: i64) -> Result<Option<(Student, i64)>, sqlx::Error> {
        let row = sqlx::query(sql::ONE).bind(id).fetch_optional(&self.pool).await?;
        row.map(|row| Ok((student(&row)?, row.try_get("version")?))).transpose()
    }

    async fn required_version(&self, head: &Parts, id: i64) -> Result<i64, Problem> {
        let Some(condition) = IfMatch::find(&head.headers) else { return Ok(ANY_VERSION) };
        match self.find(id).await.map_err(failure)? {
            Some((student, version)) if condition.permits(&student.to_json()) => Ok(version),
            _ => Err(was_changed()),
        }
    }

    fn content(&self, head: &Parts, json: Vec<u8>) -> Response {
        let etag = Etag::new(&json);
        let mut fields = head.headers.get_all(header::IF_NONE_MATCH).iter();
        let mut response =
            if fields.any(|field| field.to_str().is_ok_and(|field| etag.matches(field))) {
                StatusCode::NOT_MODIFIED.into_response()
            } else {
                json_response(StatusCode::OK, json)
            };
        response.headers_mut().insert(header::CACHE_CONTROL, self.cache_control.clone());
        insert(&mut response, header::ETAG, etag.as_str());
        response
    }
}

fn changed(status: StatusCode, student: &Student) -> Response {
    let json = student.to_json();
    let etag = Etag::new(&json);
    let mut response = json_response(status, json);
    insert(&mut response, header::ETAG, etag.as_str());
    response
}

fn json_response(status: StatusCode, json: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn read_student(head: &Parts, body: Body, id: Option<i64>) -> Result<Student, Problem> {
    check_media_type(&head.headers, &["application/json"])?;
    check_body(&head.headers, BODY_BYTES_MAX)?;
    let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| body_too_large(BODY_BYTES_MAX))?;
    Ok(Student::from_json(&body, id)?)
}

fn values<'q>(
    query: Query<'q, Postgres, PgArguments>,
    student: &'q Student,
) -> Query<'q, Postgres, PgArguments> {
    query
        .bind(&student.apellido)
        .bind(&student.nombre)
        .bind(student.nro_documento)
        .bind(student.tipo_documento.as_str())
        .bind(Days::from(student.fecha_nacimiento))
        .bind(student.sexo.as_str())
        .bind(student.nro_legajo)
        .bind(Days::from(student.fecha_ingreso))
}

/// A date as PostgreSQL sends it: the number of days since 2000-01-01.
struct Days(i32);

impl Type<Postgres> for Days {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("date")
    }
}

impl Encode<'_, Postgres> for Days {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buffer)
    }
}

impl Decode<'_, Postgres> for Days {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(i32::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}

impl From<Date> for Days {
    fn from(day: Date) -> Self {
        let (year, month, day) = day.parts();
        let [year, month, day] = [year, month.into(), day.into()].map(|part| part as i16);
        let since = date(2000, 1, 1).until(date(year, month as i8, day as i8));
        Self(since.map(|span| span.get_days()).unwrap_or_default())
    }
}

impl Days {
    fn date(&self) -> Option<Date> {
        let day = date(2000, 1, 1).checked_add(self.0.days()).ok()?;
        Date::new(day.year().into(), day.month().try_into().ok()?, day.day().try_into().ok()?)
    }
}

fn student(row: &PgRow) -> Result<Student, sqlx::Error> {
    let invalid = |reason: String| sqlx::Error::Decode(reason.into());
    let date = |index| {
        let days: Days = row.try_get(index)?;
        days.date().ok_or_else(|| invalid("a date is too early or too late".into()))
    };
    Ok(Student {
        id: Some(row.try_get(0)?),
        apellido: row.try_get(1)?,
        nombre: row.try_get(2)?,
        nro_documento: row.try_get(3)?,
        tipo_documento: row.try_get::<&str, _>(4)?.parse().map_err(invalid)?,
        fecha_nacimiento: date(5)?,
        sexo: row.try_get::<&str, _>(6)?.parse().map_err(invalid)?,
        nro_legajo: row.try_get(7)?,
        fecha_ingreso: date(8)?,
    })
}

fn enrolment(row: &PgRow) -> Result<Enrolment, sqlx::Error> {
    let invalid = |reason: String| sqlx::Error::Decode(reason.into());
    Ok(Enrolment {
        anio_ingreso: row.try_get(0)?,
        sexo: row.try_get::<&str, _>(1)?.parse().map_err(invalid)?,
        alumnos: row.try_get(2)?,
    })
}

fn failure(error: sqlx::Error) -> Problem {
    let error = match &error {
        sqlx::Error::Database(refusal) => {
            StoreError::from_sqlstate(&refusal.code().unwrap_or_default(), refusal.message())
        }
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            StoreError::Unavailable(error.to_string())
        }
        _ => StoreError::Refused(error.to_string()),
    };
    Problem::from(&error)
}

fn no_student() -> Problem {
    let kind = "urn:doorbuster:problem:not-found";
    Problem::new(kind, StatusCode::NOT_FOUND, "there is no such student")
}

fn was_changed() -> Problem {
    let kind = "urn:university:problem:precondition";
    Problem::new(kind, StatusCode::PRECONDITION_FAILED, "the student was changed or deleted")
}

fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
