//! Conformance suites and gradient checks for backends, layers and criteria.
