-- Adds students until there are 2,000,000, or as many as the variable `rows` says.
SET statement_timeout = 0;
\if :{?rows} \else \set rows 2000000 \endif

WITH last AS (SELECT coalesce(max(nro_legajo), 0) AS legajo, count(*) AS students FROM students)
INSERT INTO students (apellido, nombre, nro_documento, tipo_documento, fecha_nacimiento, sexo,
                      nro_legajo, fecha_ingreso)
SELECT (ARRAY['Acosta', 'Bonilla', 'Castro', 'Díaz', 'Fernández', 'Gómez', 'Hernández', 'Ibáñez',
              'Juárez', 'López', 'Muñoz', 'Núñez', 'Ortiz', 'Pérez', 'Quiroga', 'Romero'])[1 + n % 16],
       (ARRAY['Ana', 'Bruno', 'Camila', 'Diego', 'Elena', 'Facundo', 'Gabriela', 'Hugo', 'Inés',
              'Joaquín', 'Lucía'])[1 + n % 11],
       20000000 + n,
       'DNI',
       date '1980-01-01' + (n * 7 % 8000)::integer,
       (ARRAY['F', 'M'])[1 + n % 2],
       n,
       date '1998-03-01' + (n * 7 % 8000)::integer + (n % 2000)::integer
FROM last, generate_series(last.legajo + 1, last.legajo + greatest(0, :rows - last.students)) AS n;

VACUUM (ANALYZE) students;
VACUUM (ANALYZE) student_blocks;
