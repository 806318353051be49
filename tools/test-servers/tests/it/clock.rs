//! The wall clock of a child process jumps; its monotonic clock and its waits do not.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::dialogue::Dialogue;
use test_servers::FakeClock;

/// Seconds by which a reading may differ, because reading takes time.
const TOLERANCE: i64 = 5;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn assert_ahead(told: &str, seconds: i64) {
    let ahead = told.trim().parse::<f64>().unwrap() as i64 - now();
    assert!((ahead - seconds).abs() <= TOLERANCE, "{ahead} s ahead instead of {seconds}");
}

fn python(program: &str, clock: &FakeClock) -> Dialogue {
    Dialogue::start(Command::new("python3").args(["-c", program]).envs(clock.envs()))
}

#[test]
fn every_new_process_sees_a_jump() {
    let clock = FakeClock::new().unwrap();
    let date = || {
        let output = Command::new("date").arg("+%s").envs(clock.envs()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for seconds in [0, 86_400, -3_600, 0] {
        clock.jump(seconds).unwrap();
        assert_ahead(&date(), seconds);
    }
}

#[test]
fn a_running_process_sees_jumps_of_the_wall_clock_only() {
    const LOOP: &str = "import sys, time
for _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)";
    let clock = FakeClock::new().unwrap();
    let mut python = python(LOOP, &clock);
    let mut last = 0.0;
    for seconds in [0, 86_400, -3_600, 0] {
        clock.jump(seconds).unwrap();
        let answer = python.ask();
        let (wall, monotonic) = answer.split_once(' ').unwrap();
        assert_ahead(wall, seconds);
        let monotonic: f64 = monotonic.trim().parse().unwrap();
        let passed = if last == 0.0 { 0.0 } else { monotonic - last };
        assert!((0.0..TOLERANCE as f64).contains(&passed), "{passed} s passed");
        last = monotonic;
    }
    python.end();
}

#[test]
fn a_wait_until_a_moment_of_the_wall_clock_keeps_its_length() {
    // This is how librdkafka waits: with C11 threads.
    const LOOP: &str = "import ctypes, sys, time
c, mutex, condition = ctypes.CDLL(None), ctypes.create_string_buffer(64), ctypes.create_string_buffer(64)
c.mtx_init(mutex, 0), c.cnd_init(condition), c.mtx_lock(mutex)
for _ in sys.stdin:
    start, until = time.monotonic(), time.time_ns() + 200_000_000
    c.cnd_timedwait(condition, mutex, (ctypes.c_long * 2)(*divmod(until, 10**9)))
    print(time.monotonic() - start, flush=True)";
    let clock = FakeClock::new().unwrap();
    let mut python = python(LOOP, &clock);
    for seconds in [3_600, -3_600] {
        clock.jump(seconds).unwrap();
        let waited: f64 = python.ask().trim().parse().unwrap();
        assert!((0.19..TOLERANCE as f64).contains(&waited), "{waited} s waited");
    }
    python.end();
}
