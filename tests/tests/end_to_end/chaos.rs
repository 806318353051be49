//! The short form of the fault suite: every fault once, in a random order.

use pipeline_tests::chaos::{Books, Episode, Fault, Schedule, Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn after_each_fault_every_acknowledged_record_is_counted_once() {
    let seed = fastrand::u64(..);
    println!("cargo xtask chaos --seed {seed}");
    let (mut world, mut books) = (World::start(&Setup::default()).await.unwrap(), Books::default());
    let cycle = Schedule::new(seed, |_| true).unwrap().take(Fault::all().len());
    for (fault, seed) in cycle {
        let outcome = Episode { fault, seed }.run(&mut world, &mut books).await;
        let outcome = outcome.unwrap_or_else(|error| {
            panic!("{}: {error:#}\n{}", fault.describe(), world.logs());
        });
        println!("{}: {:?}", fault.describe(), outcome.passed);
        assert!(
            outcome.verdict.agrees(),
            "{}: {:?}\n{}",
            fault.describe(),
            outcome.verdict,
            world.logs()
        );
    }
}
