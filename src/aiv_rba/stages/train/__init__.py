"""Stage train: the network, and samples of what its flow may be off by."""
