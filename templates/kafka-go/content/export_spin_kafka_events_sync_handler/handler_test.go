package export_spin_kafka_events_sync_handler

import (
	"slices"
	"testing"

	wit "go.bytecodealliance.org/pkg/wit/types"
	kafka "wit_component/spin_kafka_events_types"
)

func TestAnOrderOfNothingIsRejected(t *testing.T) {
	values := []string{`{"product":"tv","quantity":1}`, `{"product":"tv","quantity":0}`}
	var batch kafka.Batch
	for offset, value := range values {
		record := kafka.Record{Offset: int64(offset), Value: wit.Some([]byte(value))}
		batch.Records = append(batch.Records, record)
	}
	rejected := kafka.Rejection{Offset: 1, Reason: "the value is not an order"}
	if result := Handle(batch); !slices.Equal(result.Ok(), []kafka.Rejection{rejected}) {
		t.Error(result)
	}
}
