//! Commands for Redis.

use spin_sdk::redis::{Connection, RedisParameter};

/// Executes commands, each of which is a line of words. A word `#1` is an integer.
pub async fn run(address: &str, commands: &[&str]) -> Vec<String> {
    let connection = match Connection::open(address).await {
        Ok(connection) => connection,
        Err(error) => return vec![format!("{error:?}")],
    };
    let mut results = Vec::new();
    for command in commands {
        results.push(execute(&connection, command).await);
    }
    results
}

async fn execute(connection: &Connection, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    match words.as_slice() {
        ["get", key] => format!("{:?}", connection.get(key).await),
        ["set", key, value] => format!("{:?}", connection.set(key, value.as_bytes()).await),
        ["incr", key] => format!("{:?}", connection.incr(key).await),
        ["del", keys @ ..] => format!("{:?}", connection.del(keys.iter().copied()).await),
        ["sadd", key, values @ ..] => {
            format!("{:?}", connection.sadd(key, values.iter().copied()).await)
        }
        ["srem", key, values @ ..] => {
            format!("{:?}", connection.srem(key, values.iter().copied()).await)
        }
        ["smembers", key] => format!("{:?}", connection.smembers(key).await),
        ["publish", channel, text] => {
            format!("{:?}", connection.publish(channel, text.as_bytes()).await)
        }
        [name, arguments @ ..] => {
            let argument = |word: &&str| match word.strip_prefix('#') {
                Some(number) => RedisParameter::Int64(number.parse().unwrap_or_default()),
                None => RedisParameter::Binary(word.as_bytes().to_vec()),
            };
            format!("{:?}", connection.execute(name, arguments.iter().map(argument)).await)
        }
        [] => "no command".into(),
    }
}
