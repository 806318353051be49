// Package orders contains the orders in the records of the topic `{{kafka-topic}}`.
package orders

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// Why a value is not an order.
var (
	ErrNotJSON    = errors.New("the value is not JSON")
	ErrNotAnOrder = errors.New("the value is not an order")
)

// Order is the JSON in the value of a record.
type Order struct {
	Product  string
	Quantity uint32
}

// Parse returns the order in the value of a record.
func Parse(value []byte) (Order, error) {
	// Unmarshal would accept and replace bytes that are not UTF-8.
	if !utf8.Valid(value) || !json.Valid(value) {
		return Order{}, ErrNotJSON
	}
	// Unmarshal ignores case in the names of a struct's fields, but not in the keys of a map.
	var fields map[string]json.RawMessage
	var product *string
	var quantity uint32
	err := errors.Join(
		json.Unmarshal(value, &fields),
		json.Unmarshal(fields["product"], &product),
		json.Unmarshal(fields["quantity"], &quantity),
	)
	if err != nil || product == nil || quantity == 0 {
		return Order{}, ErrNotAnOrder
	}
	// Unmarshal replaces half of a surrogate pair, such as "\ud800", by this character.
	if strings.ContainsRune(*product, utf8.RuneError) {
		return Order{}, ErrNotJSON
	}
	return Order{*product, quantity}, nil
}
