//! The statements. Their parameters are values, never parts of a statement.

/// The columns, in the order of the fields of a [`Student`](crate::Student).
macro_rules! columns {
    () => {
        "id, apellido, nombre, nro_documento, tipo_documento, fecha_nacimiento, sexo, nro_legajo, \
         fecha_ingreso"
    };
}

/// The students behind the id `$1`, at most `$2`.
pub const PAGE_AFTER: &str =
    concat!("SELECT ", columns!(), " FROM students WHERE id > $1 ORDER BY id LIMIT $2");

/// The students behind the first `$1`, at most `$2`. The numbers of students in blocks of ids lead to
/// the block in which the page begins, so that at most one block is counted through.
pub const PAGE_AT_OFFSET: &str = concat!(
    "WITH counted AS (\
       SELECT block, students, sum(students) OVER (ORDER BY block) AS until FROM student_blocks\
     ), start AS (\
       SELECT block << 11 AS id, $1 - (until - students) AS skipped \
       FROM counted WHERE until > $1 ORDER BY block LIMIT 1\
     ), first AS (\
       SELECT id FROM students WHERE id >= (SELECT id FROM start) \
       ORDER BY id OFFSET (SELECT skipped FROM start) LIMIT 1\
     ) SELECT ",
    columns!(),
    " FROM students WHERE id >= (SELECT id FROM first) ORDER BY id LIMIT $2"
);

/// The student `$1`, and the version of the row.
pub const ONE: &str =
    concat!("SELECT ", columns!(), ", xmin::text::bigint AS version FROM students WHERE id = $1");

/// Creates a student from the columns without the id, and returns the id.
pub const CREATE: &str = "INSERT INTO students (apellido, nombre, nro_documento, tipo_documento, \
     fecha_nacimiento, sexo, nro_legajo, fecha_ingreso) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     RETURNING id";

/// Replaces the columns without the id of the student `$9`, if the row has the version `$10`.
pub const REPLACE: &str = "UPDATE students SET apellido = $1, nombre = $2, nro_documento = $3, \
     tipo_documento = $4, fecha_nacimiento = $5, sexo = $6, nro_legajo = $7, fecha_ingreso = $8 \
     WHERE id = $9 AND $10::bigint IN (0, xmin::text::bigint)";

/// Deletes the student `$1`, if the row has the version `$2`.
pub const DELETE: &str =
    "DELETE FROM students WHERE id = $1 AND $2::bigint IN (0, xmin::text::bigint)";

/// Year of enrolment, sex and number of all students. It reads the complete table.
pub const ENROLMENT: &str = "SELECT extract(year FROM fecha_ingreso)::bigint, sexo, count(*) \
     FROM students GROUP BY 1, 2 ORDER BY 1, 2";

/// The version that every row has for [`REPLACE`] and [`DELETE`].
pub const ANY_VERSION: i64 = 0;
