use std::time::Instant;
use aggregate::*;
use local_servers::{Valkey, ValkeyConfig};
use sale::Sale;
fn main() {
    let rt = tokio::runtime::Runtime::new().unwrap();
    for distinct in [1000usize, 50] {
        let recs: Vec<Vec<u8>> = (0..1000usize).map(|i| Sale { category: (i * 7 % 4) as i32 + 1, product_id: format!("producto-{}", (i * 7919) % distinct), price: (i * 37 % 100000) as f64 / 100.0, quantity: (i % 9) as i32 + 1 }.to_json()).collect();
        let src = || Source { group: "g".into(), topic: "t".into(), log_id: "l".into(), partition: 0 };
        let n = 500;
        for _ in 0..2 {
        let t = Instant::now();
        for _ in 0..n { for r in &recs { std::hint::black_box(Sale::from_record_json(r).unwrap()); } }
        println!("parse {:?}/rec", t.elapsed() / (n * 1000));
        let t = Instant::now();
        for _ in 0..n { std::hint::black_box(Update::read(src(), (0, 1000), recs.iter().enumerate().map(|(i, v)| (i as i64, Some(v.as_slice()))))); }
        println!("read {:?}/rec", t.elapsed() / (n * 1000));
        let u = Update::read(src(), (0, 1000), recs.iter().enumerate().map(|(i, v)| (i as i64, Some(v.as_slice()))));
        let m = Monitored::default();
        let t = Instant::now();
        for _ in 0..n { std::hint::black_box(u.command(&m)); }
        println!("command {:?}/rec ({} args)", t.elapsed() / (n * 1000), u.command(&m).len());
        }
        let v = rt.block_on(Valkey::start(ValkeyConfig::default())).unwrap();
        let mut c = redis::Client::open(v.url()).unwrap().get_connection().unwrap();
        let mut m = Monitored::default();
        let mut best = f64::MAX;
        let mut sum = 0.0; let k = 300;
        for b in 0..k {
            if b == 20 { redis::cmd("CONFIG").arg("RESETSTAT").query::<()>(&mut c).unwrap(); sum = 0.0; }
            let mut u = Update::read(src(), (b * 1000, b * 1000 + 1000), recs.iter().enumerate().map(|(i, v)| (b * 1000 + i as i64, Some(v.as_slice()))));
            let t = Instant::now();
            loop {
                let mut cmd = redis::Cmd::new();
                for a in u.command(&m) { cmd.arg(a); }
                let reply = match cmd.query::<Vec<String>>(&mut c) { Ok(a) => Reply::Answer(a), Err(e) => Reply::Error(format!("{} {}", e.code().unwrap_or_default(), e.detail().unwrap_or_default())) };
                match u.reply(reply, &mut m).unwrap() { Step::Again => {}, Step::Done => break, s => panic!("{s:?}") }
            }
            let e = t.elapsed().as_secs_f64() * 1e6; sum += e; best = best.min(e);
        }
        let info: String = redis::cmd("INFO").arg("commandstats").query(&mut c).unwrap();
        for l in info.lines().filter(|l| l.contains("eval") || l.contains("zincr") || l.contains("xadd")|| l.contains("zadd")|| l.contains("zmscore")|| l.contains("script")) { println!("{distinct}: {l}"); }
        println!("{distinct}: round trip mean {:.0} best {:.0} us", sum / (k - 20) as f64, best);
    }
}
