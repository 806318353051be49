-- The students, and the number of students in each block of ids. README.md explains what the blocks
-- are for. The script can be run again: it keeps the data.

CREATE TABLE IF NOT EXISTS students (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    apellido text NOT NULL CHECK (char_length(apellido) BETWEEN 1 AND 100),
    nombre text NOT NULL CHECK (char_length(nombre) BETWEEN 1 AND 100),
    nro_documento bigint NOT NULL CHECK (nro_documento BETWEEN 1 AND 999999999),
    tipo_documento text NOT NULL CHECK (tipo_documento IN ('DNI', 'LC', 'LE', 'PASAPORTE')),
    fecha_nacimiento date NOT NULL,
    sexo text NOT NULL CHECK (sexo IN ('F', 'M', 'X')),
    nro_legajo bigint NOT NULL UNIQUE CHECK (nro_legajo BETWEEN 1 AND 999999999),
    fecha_ingreso date NOT NULL,
    UNIQUE (nro_documento, tipo_documento)
);

-- A block has 2,048 ids: its number is id >> 11. Half of each page is left free, because the last block
-- changes with each new student.
CREATE TABLE IF NOT EXISTS student_blocks (
    block bigint PRIMARY KEY,
    students integer NOT NULL CHECK (students >= 0)
) WITH (fillfactor = 50);

-- Blocks are changed in the order of their numbers, so that two transactions cannot wait for each
-- other.
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

CREATE OR REPLACE TRIGGER students_added AFTER INSERT ON students
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_students();
CREATE OR REPLACE TRIGGER students_removed AFTER DELETE ON students
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_students();
CREATE OR REPLACE TRIGGER students_truncated AFTER TRUNCATE ON students
    FOR EACH STATEMENT EXECUTE FUNCTION clear_student_blocks();
