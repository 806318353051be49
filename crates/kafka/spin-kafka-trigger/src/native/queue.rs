//! The queue of the fetched records of one partition.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::Owned;
use super::record::FetchedRecord;
use crate::Message;
use crate::consumer::Consumer;
use crate::content::ContentBuffer;

/// A partition's queue, split from the consumer's main queue. Unlike `rdkafka`'s own type, it
/// reports the offset at which the end of the log was reached, and the broker that answered the
/// fetch.
pub(crate) struct PartitionQueue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    nonempty: Arc<Notify>,
    content: ContentBuffer,
    /// Keeps the client of the queue open.
    _consumer: Arc<Consumer>,
}

/// An event of a fetch.
pub(crate) struct Fetched {
    pub event: Event,
    /// The broker that answered; negative if librdkafka does not say.
    pub broker: i32,
    /// The leader epoch under which the record was written, which counts the elections of the
    /// partition's leader; negative if the record has none.
    pub epoch: i32,
}

pub(crate) enum Event {
    /// A record. It is copied only if it was accepted.
    Record {
        offset: i64,
        message: Option<Message>,
    },
    /// Everything before this offset was read, and there is nothing more to read at present. It is
    /// the end of the log, or the first offset of an open transaction.
    End(i64),
    Failed(RDKafkaErrorCode),
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for PartitionQueue {}
// SAFETY: as above; every call locks the queue.
unsafe impl Sync for PartitionQueue {}

impl PartitionQueue {
    /// Splits the partition's queue from the main queue. Returns `None` if librdkafka does not
    /// accept the topic's name. `nonempty` is notified when records arrive in the empty queue.
    pub fn split(
        consumer: &Arc<Consumer>,
        topic: &str,
        partition: i32,
        nonempty: Arc<Notify>,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is live, and the name outlives the call.
        let queue = unsafe {
            let native = consumer.client().native_ptr();
            NonNull::new(rd::rd_kafka_queue_get_partition(native, topic.as_ptr(), partition))?
        };
        let split = Self {
            queue,
            nonempty,
            content: ContentBuffer::default(),
            _consumer: consumer.clone(),
        };
        let opaque = Arc::as_ptr(&split.nonempty).cast_mut().cast();
        // SAFETY: the queue is live. `opaque` points to what `split` owns; the callback is
        // removed before that is dropped.
        unsafe {
            rd::rd_kafka_queue_forward(split.queue.as_ptr(), ptr::null_mut());
            rd::rd_kafka_queue_cb_event_enable(split.queue.as_ptr(), Some(notify), opaque);
        }
        Some(split)
    }

    /// The next event, if one is queued. Does not wait. A record is copied only if `accepts`
    /// returns `true` for it.
    pub fn poll(&mut self, accepts: impl FnOnce(&FetchedRecord<'_>) -> bool) -> Option<Fetched> {
        // SAFETY: the queue is live. The message is ours until `native` destroys it, and everything
        // that is returned is copied from it.
        unsafe {
            let object = NonNull::new(rd::rd_kafka_consume_queue(self.queue.as_ptr(), 0))?;
            let native = Owned { object, destroy: rd::rd_kafka_message_destroy };
            let event = match RDKafkaErrorCode::from((*native.ptr()).err) {
                RDKafkaErrorCode::NoError => {
                    let record = FetchedRecord::new(native.ptr());
                    let message = accepts(&record).then(|| record.to_message(&mut self.content));
                    Event::Record { offset: record.offset(), message }
                }
                RDKafkaErrorCode::PartitionEOF => Event::End((*native.ptr()).offset),
                code => Event::Failed(code),
            };
            let broker = rd::rd_kafka_message_broker_id(native.ptr());
            let epoch = rd::rd_kafka_message_leader_epoch(native.ptr());
            Some(Fetched { event, broker, epoch })
        }
    }

    /// Frees the buffer that the next record would have used.
    pub fn release(&mut self) {
        self.content = ContentBuffer::default();
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is live and ours. Removing the callback waits for a call of it that is
        // in progress.
        unsafe {
            rd::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            rd::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Callback of librdkafka for a queue that is no longer empty.
unsafe extern "C" fn notify(_: *mut rd::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Notify` of a queue whose callback was not removed yet.
    unsafe { (*opaque.cast::<Notify>()).notify_one() }
}
