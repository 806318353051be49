//! Statements for PostgreSQL.

use spin_sdk::pg::{
    Certificate, Connection, Interval, OpenOptions, ParameterValue, RangeBoundKind,
};

/// Executes statements on one connection. Each has its parameters in the following lines, as
/// `type:value`. It begins with `query`, `execute` or `first` (the stream of rows is dropped after the
/// first one).
pub async fn run(address: &str, authority: Option<String>, commands: &[&str]) -> Vec<String> {
    let options = OpenOptions { ca_root: authority.map(Certificate::Text) };
    let connection = match Connection::open_with_options(address, options).await {
        Ok(connection) => connection,
        Err(error) => return vec![format!("{error:?}")],
    };
    let mut results = Vec::new();
    for command in commands {
        results.push(execute(&connection, command).await.replace("DbValue::", ""));
    }
    results
}

async fn execute(connection: &Connection, command: &str) -> String {
    let mut lines = command.lines();
    let (kind, statement) = lines.next().unwrap_or_default().split_once(' ').unwrap_or_default();
    let parameters: Vec<ParameterValue> = lines.map(parameter).collect();
    match kind {
        "execute" => format!("{:?}", connection.execute(statement, parameters).await),
        "query" | "first" => match connection.query(statement, parameters).await {
            Err(error) => format!("{error:?}"),
            Ok(mut result) => {
                let columns = format!("{:?}", result.columns());
                let mut rows = Vec::new();
                while let Some(row) = result.rows().next().await {
                    rows.push(row);
                    if kind == "first" {
                        return format!("{columns} {rows:?}");
                    }
                }
                // Many rows are only counted.
                match (result.result().await, rows.len()) {
                    (Ok(()), 0..10) => format!("{columns} {rows:?}"),
                    (Ok(()), many) => format!("{many} rows"),
                    (Err(error), many) => format!("{error:?} after {many} rows"),
                }
            }
        },
        _ => format!("no command {kind}"),
    }
}

fn parameter(line: &str) -> ParameterValue {
    let (kind, text) = line.split_once(':').unwrap_or((line, ""));
    let numbers = || text.split(',').map(|number| number.parse().ok());
    match kind {
        "bool" => ParameterValue::Boolean(text == "true"),
        "int16" => ParameterValue::Int16(text.parse().unwrap_or_default()),
        "int32" => ParameterValue::Int32(text.parse().unwrap_or_default()),
        "int64" => ParameterValue::Int64(text.parse().unwrap_or_default()),
        "float32" => ParameterValue::Floating32(text.parse().unwrap_or_default()),
        "float64" => ParameterValue::Floating64(text.parse().unwrap_or_default()),
        "bytes" => ParameterValue::Binary(text.into()),
        "date" => ParameterValue::Date((2024, 2, 29)),
        "time" => ParameterValue::Time((23, 59, 58, 123_456_000)),
        "datetime" => ParameterValue::Datetime((1969, 12, 31, 23, 59, 58, 1_000)),
        "timestamp" => ParameterValue::Timestamp(text.parse().unwrap_or_default()),
        "uuid" => ParameterValue::Uuid(text.into()),
        "jsonb" => ParameterValue::Jsonb(text.into()),
        "decimal" => ParameterValue::Decimal(text.into()),
        "range32" => {
            let bound = |kind| move |number: i32| (number, kind);
            let mut bounds = numbers().map(|number| number.map(|number: i64| number as i32));
            let lower = bounds.next().flatten().map(bound(RangeBoundKind::Inclusive));
            let upper = bounds.next().flatten().map(bound(RangeBoundKind::Exclusive));
            ParameterValue::RangeInt32((lower, upper))
        }
        "range-decimal" => {
            ParameterValue::RangeDecimal((Some((text.into(), RangeBoundKind::Exclusive)), None))
        }
        "ints" => ParameterValue::ArrayInt64(numbers().collect()),
        "texts" => {
            let texts = text.split(',').map(|text| (!text.is_empty()).then(|| text.into()));
            ParameterValue::ArrayStr(texts.collect())
        }
        "interval" => ParameterValue::Interval(Interval { micros: 3, days: 2, months: 1 }),
        "null" => ParameterValue::DbNull,
        _ => ParameterValue::Str(text.into()),
    }
}

/// Inserts values into the table `arrivals` of the database in the variable `database`.
pub async fn insert(values: Vec<String>) -> Result<(), String> {
    let address = spin_sdk::variables::get("database").await.map_err(|e| e.to_string())?;
    let connection = Connection::open(address).await.map_err(|e| e.to_string())?;
    let statement = "INSERT INTO arrivals SELECT unnest($1::text[]) ON CONFLICT DO NOTHING";
    let values = ParameterValue::ArrayStr(values.into_iter().map(Some).collect());
    connection.execute(statement, [values]).await.map_err(|e| e.to_string())?;
    Ok(())
}
