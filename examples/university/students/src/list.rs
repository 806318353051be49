//! The answer to a request for a page.

use crate::{Page, Student};

/// A page as JSON: an array of students, as in the original service.
pub fn json(students: &[Student]) -> Vec<u8> {
    // This cannot fail: texts and numbers are written to memory.
    serde_json::to_vec(students).unwrap_or_default()
}

/// The value of the `Link` field, with the next page by its position; `None` behind the last page. It is
/// relative to the URL of the request.
pub fn link(page: Page, students: &[Student]) -> Option<String> {
    let Page { limit, .. } = page;
    let last = students.get(usize::from(limit).checked_sub(1)?)?.id?;
    Some(format!("<?limit={limit}&after={last}>; rel=\"next\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Start;
    use crate::student::tests::valid;

    #[test]
    fn a_full_page_links_to_the_next_one() {
        let student = |id| Student::from_json(valid().to_string().as_bytes(), Some(id)).unwrap();
        let students = [student(3), student(9)];
        let link_of = |limit| link(Page { limit, start: Start::Offset(1) }, &students);
        assert_eq!(link_of(2).as_deref(), Some("<?limit=2&after=9>; rel=\"next\""));
        assert_eq!(link_of(3), None);
        let list: serde_json::Value = serde_json::from_slice(&json(&students)).unwrap();
        assert_eq!((list[0]["id"].as_i64(), list[1]["id"].as_i64()), (Some(3), Some(9)));
        assert_eq!(json(&[]), b"[]");
    }
}
