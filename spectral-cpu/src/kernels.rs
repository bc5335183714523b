//! The loops over numbers; the only unsafe code of the crate.
