//! What a request asks for.

use http::Method;
use intake::Problem;
use intake::request::{method_not_allowed, unknown_path};

use crate::Page;

/// The paths of the list: the second one is that of the original service.
const LISTS: [&str; 2] = ["/students", "/api/v1/alumno/alumno"];

const ENROLMENT: &str = "/reports/enrolment";

const HEALTH: &str = "/health";

/// A resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// All students.
    List,
    /// The student with this id.
    One(i64),
    /// The report about all students.
    Enrolment,
    /// Whether the service can do its work.
    Health,
}

/// An operation on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reads a page of the list.
    Read(Page),
    /// Creates a student.
    Create,
    /// Reads a student.
    ReadOne(i64),
    /// Replaces a student.
    Replace(i64),
    /// Deletes a student.
    Delete(i64),
    /// Counts all students by year of enrolment and sex.
    CountEnrolment,
    /// Answers, and does nothing else.
    CheckHealth,
}

impl Route {
    /// The resource at a path.
    pub fn find(path: &str) -> Result<Self, Problem> {
        if LISTS.contains(&path) {
            return Ok(Self::List);
        }
        match path {
            ENROLMENT => return Ok(Self::Enrolment),
            HEALTH => return Ok(Self::Health),
            _ => {}
        }
        let id = LISTS.iter().find_map(|list| path.strip_prefix(list)?.strip_prefix('/'));
        // Each student has one path: an id has no sign and no leading zero.
        let id =
            id.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with('0'));
        let id = id.and_then(|id| id.parse().ok());
        id.map(Self::One).ok_or_else(|| unknown_path(path))
    }

    /// The methods that the resource has.
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::List => &["GET", "HEAD", "POST"],
            Self::One(_) => &["GET", "HEAD", "PUT", "DELETE"],
            // Not `HEAD`, which would read all students for nothing.
            Self::Enrolment => &["GET"],
            Self::Health => &["GET", "HEAD"],
        }
    }

    /// The operation that a method and a query string stand for.
    pub fn operation(self, method: &Method, query: &str) -> Result<Operation, Problem> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if let Self::List = self
            && reads
        {
            return Ok(Operation::Read(Page::parse(query)?));
        }
        let operation = match self {
            Self::List if *method == Method::POST => Operation::Create,
            Self::One(id) if reads => Operation::ReadOne(id),
            Self::One(id) if *method == Method::PUT => Operation::Replace(id),
            Self::One(id) if *method == Method::DELETE => Operation::Delete(id),
            Self::Enrolment if *method == Method::GET => Operation::CountEnrolment,
            Self::Health if reads => Operation::CheckHealth,
            _ => return Err(method_not_allowed(self.methods())),
        };
        figures::reject_parameters(query)?;
        Ok(operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_student_has_one_path() {
        assert_eq!(Route::find("/students"), Ok(Route::List));
        assert_eq!(Route::find("/api/v1/alumno/alumno"), Ok(Route::List));
        assert_eq!(Route::find("/students/7"), Ok(Route::One(7)));
        assert_eq!(Route::find("/students/9223372036854775807"), Ok(Route::One(i64::MAX)));
        assert_eq!(Route::find("/reports/enrolment"), Ok(Route::Enrolment));
        assert_eq!(Route::find("/health"), Ok(Route::Health));
        for path in [
            "/",
            "/health/",
            "/reports",
            "/students/",
            "/studentsx",
            "/students/0",
            "/students/07",
            "/students/-1",
            "/students/+1",
            "/students/1/",
            "/students/1;DROP TABLE students",
            "/students/9223372036854775808",
            "/students/%31",
        ] {
            assert_eq!(Route::find(path).unwrap_err().status, 404, "{path}");
        }
    }

    #[test]
    fn a_method_that_a_resource_does_not_have_is_refused() {
        let operation = |route: Route, method: Method, query: &str| route.operation(&method, query);
        assert_eq!(operation(Route::List, Method::POST, ""), Ok(Operation::Create));
        assert_eq!(operation(Route::One(1), Method::HEAD, ""), Ok(Operation::ReadOne(1)));
        assert_eq!(operation(Route::One(1), Method::PUT, ""), Ok(Operation::Replace(1)));
        assert_eq!(operation(Route::One(1), Method::DELETE, ""), Ok(Operation::Delete(1)));
        assert_eq!(operation(Route::Enrolment, Method::GET, ""), Ok(Operation::CountEnrolment));
        assert_eq!(operation(Route::Health, Method::HEAD, ""), Ok(Operation::CheckHealth));
        for (route, method) in [
            (Route::Enrolment, Method::POST),
            (Route::Enrolment, Method::HEAD),
            (Route::Health, Method::DELETE),
            (Route::List, Method::PUT),
            (Route::List, Method::DELETE),
            (Route::One(1), Method::POST),
            (Route::One(1), Method::PATCH),
        ] {
            let problem = route.operation(&method, "").unwrap_err();
            assert_eq!(problem.status, 405, "{method} {route:?}");
        }
        assert_eq!(operation(Route::One(1), Method::GET, "limit=1").unwrap_err().status, 400);
    }
}
