// Package export_spin_kafka_events_sync_handler forwards each order; see `src/lib.rs` beside this
// file.
package export_spin_kafka_events_sync_handler

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/orders"
	producer "wit_component/spin_kafka_events_sync_producer"
	kafka "wit_component/spin_kafka_events_types"
)

// As in the template: no collection starts while the host passes a batch.
func init() {
	debug.SetGCPercent(-1)
}

func forwarded(batch kafka.Batch, record kafka.Record) (kafka.Outgoing, error) {
	order, err := orders.Parse(record.Value.SomeOr(nil))
	if err != nil {
		return kafka.Outgoing{}, err
	}
	if order.Product == "poison" {
		panic("poison")
	}
	offset := strconv.FormatInt(record.Offset, 10)
	quantity := strconv.FormatUint(uint64(order.Quantity), 10)
	return kafka.Outgoing{
		Topic:   batch.Group,
		Key:     wit.Some([]byte(order.Product)),
		Value:   wit.Some([]byte(quantity)),
		Headers: []kafka.Header{{Name: "offset", Value: wit.Some([]byte(offset))}},
	}, nil
}

func Handle(batch kafka.Batch) wit.Result[[]kafka.Rejection, kafka.Failure] {
	defer runtime.GC()
	records, rejections := []kafka.Outgoing{}, []kafka.Rejection{}
	for _, record := range batch.Records {
		outgoing, err := forwarded(batch, record)
		if err != nil {
			rejections = append(rejections, kafka.Rejection{Offset: record.Offset, Reason: err.Error()})
			continue
		}
		records = append(records, outgoing)
	}
	for _, result := range producer.Send(records) {
		if result.IsErr() {
			reason := fmt.Sprint(result.Err())
			return wit.Err[[]kafka.Rejection](kafka.MakeFailureRetry(reason))
		}
	}
	return wit.Ok[[]kafka.Rejection, kafka.Failure](rejections)
}
