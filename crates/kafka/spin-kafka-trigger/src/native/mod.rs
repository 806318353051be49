//! Functions of librdkafka that `rdkafka` does not offer. The only unsafe code of the crate.
#![allow(unsafe_code)]

mod admin;
mod queue;
mod record;

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult};

pub(crate) use admin::topic_id;
pub(crate) use queue::{Event, Fetched, PartitionQueue};
pub(crate) use record::FetchedRecord;

/// The partition's lowest offset and high watermark according to the last fetch response; the
/// cluster is not queried. Negative if not known yet.
pub(crate) fn watermarks<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<(i64, i64)> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives as long as its borrow; the string outlives the call, which
    // writes the two numbers and keeps nothing.
    let code = unsafe {
        rd::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut low,
            &mut high,
        )
    };
    (code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then_some((low, high))
}

/// Whether the client is a member of its consumer group.
pub(crate) fn is_member<C: ClientContext>(client: &Client<C>) -> bool {
    // SAFETY: the client lives as long as its borrow. This function owns the returned string and
    // frees it.
    unsafe {
        let id = rd::rd_kafka_memberid(client.native_ptr());
        if id.is_null() {
            return false;
        }
        let joined = !CStr::from_ptr(id).is_empty();
        rd::rd_kafka_mem_free(client.native_ptr(), id.cast());
        joined
    }
}

/// The group's metadata for a transaction, with which the broker refuses the offsets of a member
/// that does not own its partitions any more. `None` if the client is not a member at this moment:
/// the broker would accept offsets without a member.
pub(crate) fn group_metadata<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
) -> Option<ConsumerGroupMetadata> {
    let before = membership(consumer.client())?;
    let metadata = consumer.group_metadata()?;
    // A member never gets an earlier generation again, so the metadata is that of this generation.
    (membership(consumer.client())? == before).then_some(metadata)
}

/// The member's id and the generation of the group; `None` if the client is not a member.
fn membership<C: ClientContext>(client: &Client<C>) -> Option<(CString, i32)> {
    // SAFETY: the client lives as long as its borrow. This function owns the returned metadata and
    // frees it after the member's id was copied.
    unsafe {
        let metadata = rd::rd_kafka_consumer_group_metadata(client.native_ptr());
        if metadata.is_null() {
            return None;
        }
        let generation = rd::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = rd::rd_kafka_consumer_group_metadata_member_id(metadata);
        let member = (!member.is_null()).then(|| CStr::from_ptr(member).to_owned());
        rd::rd_kafka_consumer_group_metadata_destroy(metadata);
        member.filter(|id| !id.is_empty() && generation >= 0).map(|id| (id, generation))
    }
}

/// The leader epoch of the list's only partition; negative if it has none.
pub(crate) fn leader_epoch(list: &TopicPartitionList) -> i32 {
    // SAFETY: the list lives as long as its borrow, and an element is read only if there is one.
    unsafe {
        let list = &*list.ptr();
        if list.cnt == 0 { -1 } else { rd::rd_kafka_topic_partition_get_leader_epoch(list.elems) }
    }
}

/// Sets the leader epoch of the list's last partition; a negative value removes it.
pub(crate) fn set_last_leader_epoch(list: &mut TopicPartitionList, epoch: i32) {
    // SAFETY: the list is borrowed alone, and `elems` has `cnt` elements, of which the last one is
    // written.
    unsafe {
        let list = &*list.ptr();
        if let Some(last) = usize::try_from(list.cnt).ok().and_then(|count| count.checked_sub(1)) {
            let last = list.elems.add(last);
            rd::rd_kafka_topic_partition_set_leader_epoch(last, epoch.max(-1));
        }
    }
}

/// A native object that is destroyed with its owner.
struct Owned<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// # Safety
    /// `object` must be null or owned by the caller, and `destroy` its destructor.
    unsafe fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> KafkaResult<Self> {
        match NonNull::new(object) {
            Some(object) => Ok(Self { object, destroy }),
            None => Err(KafkaError::AdminOpCreation("librdkafka is out of memory".into())),
        }
    }

    fn ptr(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` was given an owned object and its destructor, and this runs once.
        unsafe { (self.destroy)(self.object.as_ptr()) }
    }
}
