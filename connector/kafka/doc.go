// Package kafka is the engine's way to Kafka: records in, offsets and dead letters out.
package kafka
