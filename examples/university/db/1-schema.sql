-- The students, and the number of students in each block of ids. README.md explains what the blocks
-- are for. The script can be run again: it keeps the data.

CREATE TABLE IF NOT EXISTS students (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    apellido text NOT NULL CHECK (char_length(apellido) BETWEEN 1 AND 100),
    nombre text NOT NULL CHECK (char_length(nombre) BETWEEN 1 AND 100),
    nro_documento bigint NOT NULL CHECK (nro_documento BETWEEN 1 AND 999999999),
    tipo_documento text NOT NULL CHECK (tipo_documento IN ('DNI', 'LC', 'LE', 'PASAPORTE')),
    fecha_nacimiento date NOT NULL CHECK (fecha_nacimiento BETWEEN '1900-01-01' AND '2099-12-31'),
    sexo text NOT NULL CHECK (sexo IN ('F', 'M', 'X')),
    nro_legajo bigint NOT NULL UNIQUE CHECK (nro_legajo BETWEEN 1 AND 999999999),
    fecha_ingreso date NOT NULL CHECK (fecha_ingreso BETWEEN '1900-01-01' AND '2099-12-31'),
    UNIQUE (nro_documento, tipo_documento),
    CHECK (fecha_ingreso > fecha_nacimiento)
);

-- A block has 2,048 ids: its number is id >> 11. Half of each page is left free, because the last block
-- changes with each new student.
CREATE TABLE IF NOT EXISTS student_blocks (
    block bigint PRIMARY KEY,
    students integer NOT NULL CHECK (students >= 0)
) WITH (fillfactor = 50);

-- Each statement changes blocks in the order of their numbers, so that two transactions with one statement
-- each cannot wait for each other because of blocks. Longer transactions can: PostgreSQL then aborts one
-- of them (40P01).
CREATE OR REPLACE FUNCTION count_students() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO student_blocks AS counted (block, students)
            SELECT id >> 11, count(*) FROM changed GROUP BY 1 ORDER BY 1
            ON CONFLICT (block) DO UPDATE SET students = counted.students + excluded.students;
    ELSE
        PERFORM 1 FROM student_blocks
            WHERE block IN (SELECT id >> 11 FROM changed) ORDER BY block FOR UPDATE;
        UPDATE student_blocks AS counted SET students = counted.students - gone.students
            FROM (SELECT id >> 11 AS block, count(*) AS students FROM changed GROUP BY 1) AS gone
            WHERE counted.block = gone.block;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION clear_student_blocks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM student_blocks;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION refuse_change_of_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the id of a student cannot be changed' USING ERRCODE = 'integrity_constraint_violation';
END $$;

-- Counts all blocks again. It waits until no transaction changes students, and changes wait for it.
CREATE OR REPLACE FUNCTION recount_students() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE students IN SHARE MODE;
    DELETE FROM student_blocks;
    INSERT INTO student_blocks (block, students) SELECT id >> 11, count(*) FROM students GROUP BY 1;
END $$;

CREATE OR REPLACE TRIGGER students_added AFTER INSERT ON students
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_students();
CREATE OR REPLACE TRIGGER students_removed AFTER DELETE ON students
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_students();
CREATE OR REPLACE TRIGGER students_keep_ids BEFORE UPDATE OF id ON students
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_id();
CREATE OR REPLACE TRIGGER students_truncated AFTER TRUNCATE ON students
    FOR EACH STATEMENT EXECUTE FUNCTION clear_student_blocks();

-- The table may have had students before it had the triggers.
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM student_blocks) THEN
        PERFORM recount_students();
    END IF;
END $$;
