use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Empty};
use wasmtime_wasi_http::WasiBody;

use super::*;

fn empty() -> WasiBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn request() -> InstanceRequest {
    InstanceRequest::Streamed(http::Request::new(empty()))
}

/// A pool of one instance, which is given to this function when it is to be created.
fn pool(launch: impl Fn(InstanceSlot) + Send + Sync + 'static) -> Arc<Pool> {
    let limits = PoolLimits {
        requests_at_once_max: 10,
        at_once_per_instance_max: 2,
        instances_max: 1,
        parallel: 1,
    };
    let instance_limits = InstanceLimits {
        requests_max: 10,
        at_once_max: 2,
        idle_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(30),
    };
    let gauges = PoolGauges::default();
    Pool::new(&"component".into(), limits, instance_limits, gauges, Box::new(launch))
}

#[tokio::test]
async fn a_request_is_answered_by_the_instance_that_takes_it() {
    let pool = pool(|mut slot| {
        tokio::spawn(async move {
            slot.created();
            for job in slot.take(true) {
                job.answer.send(Ok(Response::new(empty()))).unwrap();
                slot.answered(true, 0);
            }
        });
    });
    for _ in 0..2 {
        assert_eq!(pool.handle(request()).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn requests_are_refused_if_no_instance_can_be_created() {
    let pool = pool(|mut slot| slot.failed(&wasmtime::Error::msg("no memory")));
    let error = pool.handle(request()).await.unwrap_err();
    assert!(error.is::<NoInstance>() && error.to_string().contains("no memory"), "{error}");
}

#[tokio::test]
async fn requests_beyond_the_limits_are_refused() {
    let (sender, mut slots) = tokio::sync::mpsc::unbounded_channel();
    let pool = pool(move |slot| sender.send(slot).map_err(drop).unwrap());
    let mut waiting = [request(), request()].map(|request| Box::pin(pool.handle(request)));
    for request in &mut waiting {
        assert!(request.now_or_never().is_none(), "the instance has room for it");
    }
    let error = pool.handle(request()).await.unwrap_err();
    assert!(error.is::<NoInstance>(), "{error}");
    assert!(slots.try_recv().is_ok() && slots.try_recv().is_err(), "one instance was started");
}

#[tokio::test]
async fn requests_of_an_instance_that_fails_have_no_answer_and_the_next_one_starts_another() {
    let pool = pool(|mut slot| {
        tokio::spawn(async move {
            slot.created();
            assert_eq!(slot.take(true).len(), 1);
        });
    });
    for _ in 0..2 {
        let error = pool.handle(request()).await.unwrap_err();
        assert!(error.is::<InstanceFailed>(), "{error}");
    }
}

#[tokio::test]
async fn an_instance_whose_creation_is_cancelled_is_not_replaced() {
    let pool = pool(drop);
    let error = pool.handle(request()).await.unwrap_err();
    assert!(error.is::<NoInstance>() && error.to_string().contains("cancelled"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn abandoned_requests_do_not_reach_an_instance() {
    let (sender, mut slots) = tokio::sync::mpsc::unbounded_channel();
    let pool = pool(move |slot| sender.send(slot).map_err(drop).unwrap());
    assert!(pool.handle(request()).now_or_never().is_none());
    tokio::time::sleep(2 * STANDSTILL).await;
    assert!(!pool.schedule().has_waiting());
    let mut slot = slots.try_recv().unwrap();
    slot.created();
    assert!(slot.take(true).is_empty());
}

#[tokio::test]
async fn waiting_requests_and_instances_are_counted() {
    let (sender, mut slots) = tokio::sync::mpsc::unbounded_channel();
    let pool = pool(move |slot| sender.send(slot).map_err(drop).unwrap());
    let gauges = pool.gauges.clone();
    let numbers = || (gauges.waiting.get(), gauges.instances.get());
    let mut waiting = Box::pin(pool.handle(request()));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(numbers(), (1, 1));
    let mut slot = slots.try_recv().unwrap();
    slot.created();
    drop(slot.take(true));
    assert_eq!(numbers(), (0, 1));
    drop(slot);
    assert_eq!(numbers(), (0, 0));
}
