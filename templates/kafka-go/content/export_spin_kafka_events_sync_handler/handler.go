// Package export_spin_kafka_events_sync_handler handles the records of the topic `{{kafka-topic}}`.
// The generated code calls it by this name.
package export_spin_kafka_events_sync_handler

import (
	"fmt"
	"runtime"
	"runtime/debug"

	wit "go.bytecodealliance.org/pkg/wit/types"
	"wit_component/orders"
	kafka "wit_component/spin_kafka_events_types"
)

// A garbage collection reads the clock, but a component must not call the host while the host passes
// it a batch. So no collection starts by itself; Handle ends with one.
func init() {
	debug.SetGCPercent(-1)
}

// handle is called for each record. A record with an error is rejected: it is written to the
// dead-letter topic, with the error as the reason. A panic is a failed attempt; after
// `poison_attempts` of them the record is written to that topic, too.
func handle(record kafka.Record) error {
	order, err := orders.Parse(record.Value.SomeOr(nil))
	if err != nil {
		return err
	}
	fmt.Printf("offset %d: %d of %s ordered\n", record.Offset, order.Quantity, order.Product)
	return nil
}

// Handle is exported to the host.
func Handle(batch kafka.Batch) wit.Result[[]kafka.Rejection, kafka.Failure] {
	defer runtime.GC()
	rejections := []kafka.Rejection{}
	for _, record := range batch.Records {
		if err := handle(record); err != nil {
			rejections = append(rejections, kafka.Rejection{Offset: record.Offset, Reason: err.Error()})
		}
	}
	return wit.Ok[[]kafka.Rejection, kafka.Failure](rejections)
}
